import json
from pathlib import Path
from typing import Any

import pytest

from mmemo.corpora.m3ed import M3edCorpus
from mmemo.errors import InputError

SPLITS = {"train": ["anjia", "shaonianpai"], "val": ["xiaohuanxi"], "test": ["rucikeaidewomen"]}


def line(speaker: str, emotion: str, text: str = "你先把衣服换了") -> dict[str, Any]:
    votes = dict.fromkeys(("EmoAnnotator1", "EmoAnnotator2", "EmoAnnotator3"), emotion)
    labels = {**votes, "final_mul_emo": emotion, "final_main_emo": emotion}
    times = {"StartTime": "00:00:00:01", "EndTime": "00:00:01:04"}
    return {**times, "Text": text, "Speaker": speaker, "EmoAnnotation": labels}


def dialogue(lines: dict[str, Any], names: str = "AB") -> dict[str, Any]:
    people = {
        letter: {"Name": name, "Age": "mid", "Gender": "female", "OtherName": []}
        for letter, name in zip("AB", names, strict=True)
    }
    return {"SpeakerInfo": people, "Dialog": lines}


def release() -> dict[str, Any]:
    found: dict[str, Any] = {
        series: {f"{series}_1": dialogue({f"{series}_1_1": line("A", "Neutral")})}
        for series in (name for names in SPLITS.values() for name in names)
    }
    found["anjia"] = {
        "anjia_1": dialogue(
            {
                "anjia_1_10": line("B", "Surprise", "真的?"),
                "anjia_1_2": line("B", "Sad"),
                "anjia_1_1": line("A", "Happy", " 好 "),
            },
            "房朱",
        ),
        "anjia_2": dialogue({"anjia_2_1": line("A", "Disgust")}, "房李"),
    }
    return found


def write(root: Path, content: object, splits: dict[str, list[str]] = SPLITS) -> Path:
    (root / "splitInfo").mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, ensure_ascii=False)
    (root / "annotation.json").write_text(text, encoding="utf-8")
    for split, series in splits.items():
        (root / "splitInfo" / f"movie_list_{split}.txt").write_text("\n".join([*series, ""]))
    return root


def test_dialogues_in_their_order_with_series_and_speakers(tmp_path: Path) -> None:
    annotations = M3edCorpus(write(tmp_path, release())).read()
    rows = annotations.utterances
    assert [(u.key, u.dialogue_id, u.utterance_id) for u in rows if u.session == "anjia"] == [
        ("anjia_1_1", 0, 1),
        ("anjia_1_2", 0, 2),
        ("anjia_1_10", 0, 10),
        ("anjia_2_1", 1, 1),
    ]
    by_key = {u.key: u for u in rows}
    assert len(by_key) == len(rows) == 7
    first, last = by_key["anjia_1_1"], by_key["anjia_1_10"]
    assert (first.emotion, last.emotion) == ("joy", "surprise")
    assert first.transcript == "好"
    assert first.media_path == str(tmp_path / "modality_speech/A_anjia_1_1.wav")
    assert (first.speaker, last.speaker) == ("anjia 房", "anjia 朱")
    assert by_key["anjia_2_1"].speaker == first.speaker, "one character in two dialogues"
    assert {u.session: u.split for u in rows} == {
        "anjia": "train",
        "shaonianpai": "train",
        "xiaohuanxi": "val",
        "rucikeaidewomen": "test",
    }
    assert annotations.split_origin == "its own"


def test_ratings_of_three_annotators(tmp_path: Path) -> None:
    content = release()
    labels = content["anjia"]["anjia_2"]["Dialog"]["anjia_2_1"]["EmoAnnotation"]
    labels |= {"EmoAnnotator1": "Disgust,Anger", "EmoAnnotator2": "", "EmoAnnotator3": "Disgust"}
    annotations = M3edCorpus(write(tmp_path, content)).read()
    ratings = {u.key: json.loads(u.ratings or "") for u in annotations.utterances}
    assert ratings["anjia_1_1"] == {"joy": 3}
    assert ratings["anjia_2_1"] == {"disgust": 2, "anger": 1}
    assert annotations.agreement is not None
    assert (annotations.agreement.num_items, annotations.agreement.num_raters) == (7, 3)
    assert annotations.agreement.num_ties == 0


def test_no_label_is_a_skip_and_no_name_no_speaker(tmp_path: Path) -> None:
    content = release()
    lines = {"xiaohuanxi_2_1": line("A", ""), "xiaohuanxi_2_2": line("A", "Fear")}
    content["xiaohuanxi"]["xiaohuanxi_2"] = {"SpeakerInfo": {}, "Dialog": lines}
    annotations = M3edCorpus(write(tmp_path, content)).read()
    assert [(s.key, s.split, s.detail) for s in annotations.skips] == [
        ("xiaohuanxi_2_1", "val", "final_main_emo empty")
    ]
    row = next(u for u in annotations.utterances if u.key == "xiaohuanxi_2_2")
    assert (row.speaker, row.emotion, row.utterance_id) == ("", "fear", 2)


def test_where_the_sound_may_lie(tmp_path: Path) -> None:
    root = write(tmp_path / "release", release())
    assert not M3edCorpus(root).has_clips
    (root / "M3ED_audio" / "modality_speech").mkdir(parents=True)
    corpus = M3edCorpus(root)
    assert corpus.has_clips
    first = corpus.read().utterances[0]
    assert Path(first.media_path).parent == root / "M3ED_audio" / "modality_speech"
    (tmp_path / "wavs").mkdir()
    elsewhere = M3edCorpus(root, sounds=tmp_path / "wavs").read().utterances[0]
    assert Path(elsewhere.media_path).parent == tmp_path / "wavs"


def test_wrong_and_partial_releases_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing annotation\.json, splitInfo/movie_list_train"):
        M3edCorpus(tmp_path).check()
    write(tmp_path, release(), {**SPLITS, "test": []})
    with pytest.raises(InputError, match="each series in one list, missing rucikeaidewomen"):
        M3edCorpus(tmp_path).read()
    write(tmp_path, release(), {**SPLITS, "test": ["rucikeaidewomen", "anjia"]})
    with pytest.raises(InputError, match="found anjia in that of train too"):
        M3edCorpus(tmp_path).read()
    content = release()
    content["anjia"]["anjia_2"]["Dialog"]["anjia_2_1"]["EmoAnnotation"]["final_main_emo"] = "Calm"
    write(tmp_path, content)
    with pytest.raises(InputError, match="anjia_2_1: expected a label out of .*, got 'Calm'"):
        M3edCorpus(tmp_path).read()
    del content["anjia"]["anjia_2"]["Dialog"]["anjia_2_1"]["Speaker"]
    write(tmp_path, content)
    with pytest.raises(InputError, match=r"anjia\.anjia_2\.Dialog\.anjia_2_1\.Speaker: Field"):
        M3edCorpus(tmp_path).read()
    (tmp_path / "annotation.json").write_text('{"anjia": {', encoding="utf-8")
    with pytest.raises(InputError, match="expected M3ED's dialogues by series; it is no JSON"):
        M3edCorpus(tmp_path).read()
