from pathlib import Path

import pytest

from mmemo.corpora.meld import COLUMNS, MeldCorpus, parse_time_s
from mmemo.errors import InputError
from tests.conftest import MeldMaker, meld_row, write_csv


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("00:16:16,059", 976.059),
        ("1:00:00,5", 3600.5),
        ("0:01:02", 62.0),
        ("", None),
        ("soon", None),
    ],
)
def test_times_are_parsed(text: str, seconds: float | None) -> None:
    assert parse_time_s(text) == seconds


def test_reads_utterances_of_all_splits(make_meld: MeldMaker) -> None:
    root = make_meld(clips=False)
    annotations = MeldCorpus(root).read()
    assert len(annotations.utterances) == 15
    first = annotations.utterances[0]
    assert first.key == "train/dia0_utt0"
    assert first.media_path == str(root / "train_splits" / "dia0_utt0.mp4")
    assert (first.emotion, first.speaker, first.season, first.episode) == ("anger", "Ada", 1, 2)
    assert (first.start_s, first.end_s) == (1.5, 2.0)
    folders = {u.split: Path(u.media_path).parent.name for u in annotations.utterances}
    assert folders == {
        "train": "train_splits",
        "val": "dev_splits_complete",
        "test": "output_repeated_splits_test",
    }


def test_a_row_without_its_text_is_a_recorded_skip(make_meld: MeldMaker) -> None:
    root = make_meld(clips=False)
    rows = [meld_row(0, 0, "joy", text=" "), meld_row(0, 1, "joy")]
    write_csv(root / "train_sent_emo.csv", rows)
    annotations = MeldCorpus(root).read()
    (skip,) = annotations.skips
    assert (skip.split, skip.reason, skip.detail) == ("train", "missing field", "Utterance empty")
    assert len(annotations.utterances) + len(annotations.skips) == 12


def test_mojibake_free_text_and_word_nan_survive(make_meld: MeldMaker) -> None:
    root = make_meld(clips=False)
    write_csv(root / "train_sent_emo.csv", [meld_row(0, 0, "joy", "None of it’s NA, “really”…")])
    assert MeldCorpus(root).read().utterances[0].transcript == "None of it’s NA, “really”…"


def bad_trees(root: Path) -> dict[str, tuple[str, str]]:
    """What is wrong, the file that the message must name, and what else it must say."""
    return {
        "column": ("train_sent_emo.csv", "missing Emotion"),
        "emotion": ("dev_sent_emo.csv, row 2", "got 'boredom'"),
        "id": ("test_sent_emo.csv, row 2", "whole number in Dialogue_ID, got 'x1'"),
        "empty": ("dev_sent_emo.csv", "at least one usable row for the split 'val'"),
        "absent": ("test_sent_emo.csv", "found nothing"),
        "folder": ("train_sent_emo.csv", "found a folder"),
        "clips": ("train_splits", "found a file"),
        "twice": ("train_sent_emo.csv", "train/dia0_utt0 twice"),
        "binary": ("train_sent_emo.csv", "expected a CSV with a header"),
        "blank": ("train_sent_emo.csv", "expected a CSV with a header"),
    }


@pytest.mark.parametrize("fault", sorted(bad_trees(Path())))
def test_bad_input_names_the_file_and_the_remedy(make_meld: MeldMaker, fault: str) -> None:
    root = make_meld(clips=False)
    train, val, test = (root / f"{name}_sent_emo.csv" for name in ("train", "dev", "test"))
    if fault == "column":
        write_csv(train, [], tuple(c for c in COLUMNS if c != "Emotion"))
    elif fault == "emotion":
        write_csv(val, [meld_row(0, 0, "boredom")])
    elif fault == "id":
        write_csv(test, [meld_row(0, 0, "joy") | {"Dialogue_ID": "x1"}])
    elif fault == "empty":
        write_csv(val, [])
    elif fault == "absent":
        test.unlink()
    elif fault == "folder":
        train.unlink()
        train.mkdir()
    elif fault == "clips":
        (root / "train_splits").rmdir()
        (root / "train_splits").write_text("")
    elif fault == "twice":
        write_csv(train, [meld_row(0, 0, "joy"), meld_row(0, 0, "anger")])
    elif fault == "binary":
        train.write_bytes(b"\xff\x81\x00")
    elif fault == "blank":
        train.write_bytes(b"")
    named, said = bad_trees(root)[fault]
    with pytest.raises(InputError) as caught:
        MeldCorpus(root).read().clips.check()
    message = str(caught.value)
    assert str(root / named.split(",")[0]) in message
    assert said in message
    assert ";" in message, "the remedy stands after a semicolon"


def test_missing_root_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"found nothing; give it with corpus\.root=DIR"):
        MeldCorpus(tmp_path / "nowhere").read()


def test_real_annotations_hold_the_official_counts(shared_data: Path, tmp_path: Path) -> None:
    for name in ("train", "dev", "test"):
        (tmp_path / f"{name}_sent_emo.csv").symlink_to(
            shared_data / "meld" / f"{name}_sent_emo.csv"
        )
    for folder in ("train_splits", "dev_splits_complete", "output_repeated_splits_test"):
        (tmp_path / folder).mkdir()
    utterances = MeldCorpus(tmp_path).read().utterances
    sizes = {s: sum(u.split == s for u in utterances) for s in ("train", "val", "test")}
    assert sizes == {"train": 9989, "val": 1109, "test": 2610}
    five = [u for u in utterances if u.emotion not in ("disgust", "fear")]
    assert [sum(u.split == s for u in five) for s in sizes] == [9450, 1047, 2492]
    assert sum(u.split == "test" and u.emotion == "sadness" for u in utterances) == 208
