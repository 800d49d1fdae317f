import json
from pathlib import Path
from typing import Any

import pytest

from mmemo.corpora.emobox import EmoBoxCorpus
from mmemo.corpora.facts import CorpusFacts
from mmemo.errors import InputError

LABELS = {"c": "Angry", "j": "Happy", "n": "Neutral", "t": "Sad", "x": "No-agreement"}


def row(dataset: str, name: str, emotion: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        **{"key": f"{dataset}-{name}", "dataset": dataset, "type": "raw", "sample_rate": 48_000},
        **{"wav": f"downloads/{dataset}/{name}.wav", "num_frame": 168_833.0, "task": "category"},
        **{"length": 3.5, "emo": emotion, "channel": 1},
        **more,
    }


def write(
    root: Path,
    rows: dict[str, list[dict[str, Any]]],
    speakers: dict[str, str] | None = None,
    dataset: str = "cafe",
    fold: int = 1,
) -> Path:
    folder = root / "data" / dataset
    (folder / f"fold_{fold}").mkdir(parents=True, exist_ok=True)
    (folder / "label_map.json").write_text(json.dumps(LABELS))
    for split, lines in rows.items():
        text = "".join(json.dumps(cells) + "\n" for cells in lines)
        (folder / f"fold_{fold}" / f"{dataset}_{split}_fold_{fold}.jsonl").write_text(text)
    if speakers is not None:
        lines = [f"{k} 1 {who} 0 3.5 <id={k},spk={who}> n" for k, who in speakers.items()]
        (folder / "data.seg.wrd.stm").write_text("\n".join(lines) + "\n")
    return root


def of_speakers(*speakers: str, per_speaker: int = 6) -> list[dict[str, Any]]:
    names = [f"{who}-{i}" for who in speakers for i in range(per_speaker)]
    return [row("cafe", name, "cjn"[i % 3]) for i, name in enumerate(names)]


def told(rows: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    return {r["key"]: r["key"].split("-")[1] for lines in rows.values() for r in lines}


def test_a_fold_with_its_own_validation(tmp_path: Path) -> None:
    rows = {
        "train": [row("cafe", "01-1", "c"), row("cafe", "01-2", "x")],
        "valid": [row("cafe", "02-1", "j")],
        "test": [row("cafe", "03-1", "t"), row("cafe", "03-2", "n", start_time=1.5, end_time=3.0)],
    }
    root = write(tmp_path, rows, told(rows))
    facts = CorpusFacts("MIT", "h", "c")
    annotations = EmoBoxCorpus(root, "cafe", facts=facts, num_rows={"cafe": 4}).read()
    found = [(u.key, u.split, u.emotion, u.speaker) for u in annotations.utterances]
    assert found[:3] == [
        ("cafe-01-1", "train", "anger", "01"),
        ("cafe-02-1", "val", "joy", "02"),
        ("cafe-03-1", "test", "sadness", "03"),
    ]
    assert annotations.utterances[0].media_path == str(tmp_path / "downloads/cafe/01-1.wav")
    stretch = annotations.utterances[3]
    assert (stretch.clip_start_s, stretch.clip_end_s) == (1.5, 3.0)
    assert "train on sound alone with text_encoder=none" in annotations.no_transcripts
    assert [skip.reason for skip in annotations.skips] == ["raters disagree"]
    assert annotations.skips[0].path.endswith("cafe_train_fold_1.jsonl, line 2")
    assert (annotations.split_origin, annotations.variant) == ("its own", "fold 1")
    assert annotations.facts is not None
    assert annotations.facts.total.num_rows == 4


def test_whole_speakers_validate_where_there_is_no_file(tmp_path: Path) -> None:
    rows = {"train": of_speakers(*"abcdefghij"), "test": of_speakers("k")}
    root = write(tmp_path, rows, told(rows), fold=2)
    annotations = EmoBoxCorpus(root, "cafe", fold=2).read()
    frame = annotations.frame()
    assert (frame.groupby("speaker")["split"].nunique() == 1).all()
    speakers = frame.groupby("split")["speaker"].nunique().to_dict()
    assert speakers == {"train": 8, "val": 2, "test": 1}, "a fifth of ten speakers"
    assert annotations.split_origin == "its own, but val made here of train, by speaker, seed 0"
    again = EmoBoxCorpus(root, "cafe", fold=2).read().frame()
    assert again["split"].tolist() == frame["split"].tolist()


def test_the_fold_that_tests_a_row_is_a_column(tmp_path: Path) -> None:
    first = {"train": of_speakers(*"bcdefg"), "test": of_speakers("a")}
    second = {"train": of_speakers(*"acdefg"), "test": of_speakers("b")}
    write(tmp_path, second, fold=10)
    root = write(tmp_path, first, told(first))
    frame = EmoBoxCorpus(root, "cafe").read().frame()
    folds = frame.groupby("speaker")["fold"].first().dropna().to_dict()
    assert folds == {"a": "1", "b": "10"}
    with pytest.raises(InputError, match="expected fold_2, found fold_1, fold_10; choose one"):
        EmoBoxCorpus(root, "cafe", fold=2).check()


def test_rows_of_every_class_validate_where_speakers_are_not_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = {"train": of_speakers("a", per_speaker=30), "test": of_speakers("k")}
    annotations = EmoBoxCorpus(write(tmp_path, rows), "cafe").read()
    frame = annotations.frame()
    val = frame[frame["split"] == "val"]["emotion"].value_counts().to_dict()
    assert val == {"anger": 2, "joy": 2, "neutral": 2}, "a fifth of ten of each"
    assert annotations.split_origin == "its own, but val made here of train, by row, seed 0"
    assert set(frame["speaker"]) == {""}
    assert "data.seg.wrd.stm is missing: speakers are not known" in caplog.text


def test_the_speakers_of_iemocap_are_those_who_speak(tmp_path: Path) -> None:
    """EmoBox names each dialogue's marked actor as the speaker of both."""
    names = [f"Ses0{n}F_impro01_{who}00{i}" for n in (2, 3) for who in "FM" for i in range(3)]
    rows = {
        "train": [row("iemocap", name, "cjn"[i % 3]) for i, name in enumerate(names)],
        "test": [row("iemocap", "Ses01M_script01_1_F004", "t")],
    }
    keys = [r["key"] for lines in rows.values() for r in lines]
    speakers = {key: key.split("-")[1].split("_")[0] for key in keys}
    root = write(tmp_path, rows, speakers, "iemocap")
    frame = EmoBoxCorpus(root, "iemocap").read().frame()
    assert set(frame["speaker"]) == {"Ses01F", "Ses02F", "Ses02M", "Ses03F", "Ses03M"}
    assert (frame.groupby("speaker")["split"].nunique() == 1).all()


def test_other_spellings_of_the_files(tmp_path: Path) -> None:
    rows = {"train": of_speakers(*"abcde"), "test": of_speakers("k")}
    root = write(tmp_path, rows, told(rows))
    folder = root / "data/cafe"
    (folder / "label_map.json").rename(folder / "label_dict.json")
    for split in rows:
        path = folder / "fold_1" / f"cafe_{split}_fold_1.jsonl"
        path.rename(path.with_name(f"cafe_{split}_fold1.jsonl"))
    corpus = EmoBoxCorpus(root, "cafe", sounds=tmp_path / "elsewhere")
    first = corpus.read().utterances[0]
    assert first.media_path == str(tmp_path / "elsewhere/downloads/cafe/a-0.wav")
    assert not corpus.has_clips


def test_wrong_choices_and_damaged_manifests_are_told(tmp_path: Path) -> None:
    rows = {"train": of_speakers(*"abcde"), "test": of_speakers("k")}
    root = write(tmp_path, rows, told(rows))
    with pytest.raises(InputError, match="with data/cafes, found cafe; give them with"):
        EmoBoxCorpus(root, "cafes").check()
    with pytest.raises(InputError, match=r"expected fold_3, found fold_1; choose one with corpus"):
        EmoBoxCorpus(root, "cafe", fold=3).read()
    doubled = {**rows, "test": rows["train"][:1]}
    with pytest.raises(InputError, match=r"cafe_test_fold_1\.jsonl, line 1: .* cafe-a-0 twice"):
        EmoBoxCorpus(write(tmp_path, doubled), "cafe").read()
    with pytest.raises(InputError, match=r"line 1: expected a label of the label map .*, got 'q'"):
        EmoBoxCorpus(write(tmp_path, {**rows, "test": [row("cafe", "k-1", "q")]}), "cafe").read()
    manifest = root / "data/cafe/fold_1/cafe_test_fold_1.jsonl"
    manifest.write_text('{"key": "cafe-k-1", "emo": "c"}\n')
    with pytest.raises(InputError, match=r"line 1: .*; wav: Field required; fetch EmoBox again"):
        EmoBoxCorpus(root, "cafe").read()
    manifest.write_text('{"key": "cafe-k-1", "em')
    with pytest.raises(InputError, match=r"line 1: expected .*; it is no JSON"):
        EmoBoxCorpus(root, "cafe").read()
    manifest.unlink()
    with pytest.raises(InputError, match=r"expected cafe_test_fold_1\.jsonl, found no such file"):
        EmoBoxCorpus(root, "cafe").check()
