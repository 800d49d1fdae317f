"""Which column holds what, and what its splits and folds mean."""

import csv
from pathlib import Path

import pytest

from mmemo.corpora.table import TableCorpus
from mmemo.corpora.table_columns import USUAL_NAMES
from mmemo.corpora.utterance import Utterance
from mmemo.errors import InputError

BASE = {"path": "a.wav", "transcript": "Hi.", "emotion": "joy", "split": "train"}


def write(folder: Path, *rows: dict[str, str]) -> Path:
    path = folder / "own.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def read(path: Path, **options: object) -> tuple[Utterance, ...]:
    return TableCorpus(path, **options).read().utterances


@pytest.mark.parametrize("column", ["path", "transcript", "emotion", "split", "speaker"])
def test_each_usual_name_is_known(tmp_path: Path, column: str) -> None:
    cells = BASE | {"speaker": "Ada"}
    for name in USUAL_NAMES[column]:
        for written in (name, name.upper(), name.replace("_", " ").title()):
            own = {written if key == column else key: cell for key, cell in cells.items()}
            (first,) = read(write(tmp_path, own))
            assert (first.key, first.transcript, first.emotion) == ("a.wav", "Hi.", "joy")
            assert (first.split, first.speaker) == ("train", "Ada")


def test_no_name_stands_for_two_columns() -> None:
    names = [name for usual in USUAL_NAMES.values() for name in usual]
    assert len(names) == len(set(names))


def test_two_columns_that_may_be_meant_are_refused_and_can_be_told(tmp_path: Path) -> None:
    path = write(tmp_path, BASE | {"file": "b.wav", "label": "3"})
    message = r"one column of the path, found path and file; say which with corpus\.columns\.path="
    with pytest.raises(InputError, match=message):
        read(path)
    with pytest.raises(
        InputError, match=r"the emotion, found emotion and label; .*columns\.emotio"
    ):
        read(path, columns={"path": "file"})
    (first,) = read(path, columns={"path": "file", "emotion": "emotion"})
    assert (first.key, first.emotion) == ("b.wav", "joy")


def test_two_columns_of_one_name_are_refused_where_they_differ(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("path,label,label,split\na.wav,joy,anger,train\n")
    with pytest.raises(
        InputError, match=r"one column of the emotion, found label and label\.1; say"
    ):
        read(path)
    (first,) = read(path, columns={"emotion": "label.1"})
    assert first.emotion == "anger"
    path.write_text("path,label,label,split\na.wav,joy,joy,train\n")
    (first,) = read(path)
    assert first.emotion == "joy"


def test_an_empty_split_is_to_be_filled_in(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"found '' \(1 rows\); fill them in, or leave the column"):
        read(write(tmp_path, BASE | {"split": ""}, BASE))


def test_two_columns_of_the_same_cells_are_one(tmp_path: Path) -> None:
    (first,) = read(write(tmp_path, BASE | {"label": "joy"}))
    assert first.emotion == "joy"


def test_the_message_names_what_is_missing_and_lists_what_is_there(tmp_path: Path) -> None:
    path = write(tmp_path, {"where": "a.wav", "said": "Hi.", "felt": "joy", "split": "train"})
    with pytest.raises(InputError, match=r"missing a column with each clip's emotion") as caught:
        read(path)
    assert "there are where, said, felt, split. Say which it is with corpus.columns" in str(
        caught.value
    )
    annotations = TableCorpus(path, columns={"emotion": "felt"}).read()
    with pytest.raises(
        InputError, match=r"missing a column with each clip's path .*audio_encoder=n"
    ):
        annotations.clips.check()
    assert "missing a column with each clip's transcript" in annotations.no_transcripts
    assert "text_encoder=none" in annotations.no_transcripts
    assert annotations.utterances[0].key == "row2"
    with pytest.raises(
        InputError, match=r"missing the column fealt, which corpus\.columns\.emotion"
    ):
        read(path, columns={"emotion": "fealt"})


def test_a_column_can_be_left_unread(tmp_path: Path) -> None:
    rows = [BASE | {"path": f"{i}.wav", "split": "3", "speaker": f"s{i % 9}"} for i in range(27)]
    path = write(tmp_path, *rows)
    options = {"num_test_folds": 3, "num_val_folds": 3}
    annotations = TableCorpus(path, columns={"split": False}, **options).read()
    assert annotations.split_origin == "made here, by speaker, seed 0"


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("train", ["train", "Training", "TRAIN "]),
        ("val", ["dev", "Development", "valid", "Validation", "val"]),
        ("test", ["test", "Testing", "Test1", "eval"]),
    ],
)
def test_usual_names_of_splits(tmp_path: Path, split: str, names: list[str]) -> None:
    rows = [BASE | {"path": f"{name}.wav", "split": name} for name in names]
    assert {u.split for u in read(write(tmp_path, *rows))} == {split}


def test_values_of_splits_by_mapping(tmp_path: Path) -> None:
    rows = [
        BASE | {"path": f"{i}.wav", "split": str(value)} for i, value in enumerate((0, 1, 2, 3))
    ]
    path = write(tmp_path, *rows)
    values = {0: "train", 1: "val", 2: "test", 3: None}
    annotations = TableCorpus(path, split_values=values).read()
    assert [u.split for u in annotations.utterances] == ["train", "val", "test"]
    (skip,) = annotations.skips
    assert (skip.key, skip.reason) == ("3.wav", "split left out")
    with pytest.raises(InputError, match=r"split_values: expected train, val, test, .* got later"):
        TableCorpus(path, split_values={0: "later"}).read()


def test_unknown_splits_are_told_with_counts(tmp_path: Path) -> None:
    splits = ["later", "later", "Test2", "train"]
    rows = [BASE | {"path": f"{i}.wav", "split": split} for i, split in enumerate(splits)]
    with pytest.raises(InputError, match=r"found 'later' \(2 rows\), 'Test2' \(1 rows\); say what"):
        read(write(tmp_path, *rows))


def folds(tmp_path: Path, column: str) -> Path:
    cells = {key: cell for key, cell in BASE.items() if key != "split"}
    return write(
        tmp_path, *(cells | {"path": f"{i}.wav", column: str(i % 4 + 1)} for i in range(8))
    )


@pytest.mark.parametrize(
    ("test_fold", "expected"),
    [
        (None, ["test", "val", "train", "train"]),
        (1, ["test", "val", "train", "train"]),
        (3, ["train", "train", "test", "val"]),
        (4, ["val", "train", "train", "test"]),
    ],
)
def test_of_folds_one_tests_and_the_next_validates(
    tmp_path: Path, test_fold: int | None, expected: list[str]
) -> None:
    annotations = TableCorpus(folds(tmp_path, "fold"), test_fold=test_fold).read()
    assert [u.split for u in annotations.utterances] == expected * 2
    tested, validates = (expected.index(split) + 1 for split in ("test", "val"))
    assert annotations.split_origin == f"folds of fold: {tested} tests, {validates} validates"


def test_numbers_are_taken_for_folds_where_they_are_called_so(tmp_path: Path) -> None:
    path = folds(tmp_path, "split")
    with pytest.raises(
        InputError, match=r"'1' \(2 rows\).*or corpus\.test_fold=1 if they are folds"
    ):
        read(path)
    assert [u.split for u in read(path, test_fold=2)][:4] == ["train", "test", "val", "train"]
    with pytest.raises(
        InputError, match=r"three or more folds in split, .* one of them 9, found 1"
    ):
        read(path, test_fold=9)
    words = write(tmp_path, BASE)
    with pytest.raises(
        InputError, match=r"one of them 1, found other cells; correct corpus\.test_f"
    ):
        read(words, test_fold=1)


def test_an_emotion_is_mapped_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [BASE | {"path": f"{i}.wav", "emotion": name} for i, name in enumerate("HHNX")]
    corpus = TableCorpus(write(tmp_path, *rows), emotions={"h": "joy", "N": "Neutral"})
    assert [u.emotion for u in corpus.read().utterances] == ["joy", "joy", "neutral", "x"]
    corpus.read()
    said = capsys.readouterr().err.splitlines()
    assert said[1:] == [
        "mmemo: own.csv: emotions mapped: h → joy (2), n → neutral (1)",
        "mmemo: own.csv: emotions as they are: x (1)",
    ]
