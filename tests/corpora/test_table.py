import csv
from dataclasses import fields, replace
from pathlib import Path

import pytest

from mmemo.corpora.table import TableCorpus
from mmemo.corpora.utterance import Utterance
from mmemo.errors import InputError

Rows = list[dict[str, str]]


def write(path: Path, rows: Rows) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(
            file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ","
        )
        writer.writeheader()
        writer.writerows(rows)
    return path


def row(number: int, **cells: str) -> dict[str, str]:
    base = {"path": f"a/{number}.wav", "transcript": f"Line {number}.", "emotion": "joy"}
    return base | cells


def splits(utterances: tuple[Utterance, ...]) -> dict[str, str]:
    return {u.key: u.split for u in utterances}


def test_rows_with_their_own_split_dialogue_and_order(tmp_path: Path) -> None:
    rows = [
        row(0, split="train", speaker="Ada", dialogue="kitchen", order="4", sentiment="Positive"),
        row(1, split="dev", speaker="Bob", dialogue="hall", order="0", sentiment=""),
        row(2, split="Test", speaker="Ada", dialogue="kitchen", order="5", sentiment="negative"),
    ]
    annotations = TableCorpus(write(tmp_path / "own.csv", rows)).read()
    first, second, third = annotations.utterances
    assert [u.split for u in annotations.utterances] == ["train", "val", "test"]
    assert (first.key, first.media_path) == ("a/0.wav", str(tmp_path / "a" / "0.wav"))
    assert (first.dialogue_id, second.dialogue_id, third.dialogue_id) == (0, 1, 0)
    assert (first.utterance_id, third.utterance_id) == (4, 5)
    assert (first.sentiment, second.sentiment) == ("positive", None)
    assert annotations.split_origin == "its own"


def test_other_names_of_columns_and_emotions(tmp_path: Path) -> None:
    rows = [
        {"file": "0.flac", "words": "Hi.", "label": " Happy ", "split": "train"},
        {"file": "1.flac", "words": "Oh.", "label": "ANGER", "split": "val"},
    ]
    columns = {"path": "file", "transcript": "words", "emotion": "label"}
    corpus = TableCorpus(
        write(tmp_path / "own.tsv", rows),
        root=tmp_path / "sounds",
        columns=columns,
        emotions={"happy": "joy"},
    )
    utterances = corpus.read().utterances
    assert [u.emotion for u in utterances] == ["joy", "anger"]
    assert utterances[0].media_path == str(tmp_path / "sounds" / "0.flac")
    assert (utterances[0].dialogue_id, utterances[1].dialogue_id) == (0, 1)


@pytest.mark.parametrize("group", ["speaker", "dialogue"])
def test_made_split_keeps_a_group_together(tmp_path: Path, group: str) -> None:
    emotions = ("joy", "anger", "boredom")
    rows = [
        row(10 * who + i, emotion=emotions[i % 3]) | {group: f"g{who}"}
        for who in range(12)
        for i in range(9)
    ]
    path = write(tmp_path / "own.csv", rows)
    annotations = TableCorpus(path, num_test_folds=4, num_val_folds=3).read()
    of_row = splits(annotations.utterances)
    of_group: dict[str, set[str]] = {}
    for cells in rows:
        of_group.setdefault(cells[group], set()).add(of_row[cells["path"]])
    assert all(len(found) == 1 for found in of_group.values())
    sizes = [sum(s == split for s in of_row.values()) for split in ("train", "val", "test")]
    assert sizes == [54, 27, 27], "six, three and three of twelve groups of nine"
    assert annotations.split_origin == f"made here, by {group}, seed 0"
    again = TableCorpus(path, num_test_folds=4, num_val_folds=3).read()
    assert splits(again.utterances) == of_row
    other = TableCorpus(path, num_test_folds=4, num_val_folds=3, seed=1).read()
    assert splits(other.utterances) != of_row


def test_rows_without_a_needed_cell_are_skips(tmp_path: Path) -> None:
    rows = [row(0, split="train"), row(1, split="dev", emotion=" "), row(2, split="", path="")]
    annotations = TableCorpus(write(tmp_path / "own.csv", rows)).read()
    assert [(s.key, s.split, s.reason, s.detail) for s in annotations.skips] == [
        ("a/1.wav", "val", "missing field", "emotion empty"),
        ("row4", "none", "missing field", "path empty"),
    ]
    assert len(annotations.utterances) == 1


def test_a_file_named_twice_gets_two_keys(tmp_path: Path) -> None:
    rows = [row(0, split="train"), row(0, split="train")]
    annotations = TableCorpus(write(tmp_path / "own.csv", rows)).read()
    assert [u.key for u in annotations.utterances] == ["a/0.wav", "a/0.wav (row 3)"]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([{"path": "x", "mood": "joy"}], {}, r"missing a column with each clip's emotion \(called"),
        (
            [row(0, split="later")],
            {},
            r"own\.csv: expected train, .* in split, found 'later' \(1 r",
        ),
        ([row(0, split="train", order="b")], {}, r"row 2: expected a whole number in order, got"),
        ([row(0, speaker="Ada")], {}, r"expected a column 'split', or rows that a split by speak"),
        ([row(0)], {"columns": {"speaker": "who"}}, r"missing the column who, which co"),
        ([row(0)], {"columns": {"mood": "label"}}, r"corpus\.columns: expected some of .*got mood"),
        ([row(0)], {"num_test_folds": 1}, r"corpus\.num_test_folds: expected at least 2, got 1"),
        ([row(0, emotion="")], {}, r"expected at least one row with path and emotion, found none"),
    ],
)
def test_faults_are_named(tmp_path: Path, rows: Rows, options: dict, message: str) -> None:
    path = write(tmp_path / "own.csv", rows)
    with pytest.raises(InputError, match=message):
        TableCorpus(path, **options).read()


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"found nothing; give it with corpus\.csv=FILE"):
        TableCorpus(tmp_path / "none.csv").read()


def test_rare_emotions_do_not_hinder_the_split(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    emotions = ["joy", "anger"] * 30
    rows = [row(i, emotion=emotions[i], speaker=f"s{i % 6}") for i in range(60)]
    rows.append(row(60, emotion="confused", speaker="s0"))
    corpus = TableCorpus(write(tmp_path / "own.csv", rows), num_test_folds=3, num_val_folds=2)
    found = splits(corpus.read().utterances)
    assert sorted(found.values()).count("train") >= 20
    assert "has no confused" in capsys.readouterr().err


def test_optional_columns_may_be_empty(tmp_path: Path) -> None:
    rows = [row(i, speaker="", dialogue=f"d{i // 5}", order="", split="") for i in range(30)]
    for number, order in enumerate(("7", "8.0", "9", "11", "10")):
        rows[number]["order"] = order
    corpus = TableCorpus(write(tmp_path / "own.csv", rows), num_test_folds=3, num_val_folds=2)
    annotations = corpus.read()
    assert annotations.split_origin == "made here, by dialogue, seed 0"
    assert [u.utterance_id for u in annotations.utterances[:7]] == [7, 8, 9, 11, 10, 0, 1]


def test_a_row_without_a_place_among_numbered_ones_is_refused(tmp_path: Path) -> None:
    rows = [row(i, split="train", dialogue="d", order=order) for i, order in enumerate(("7", ""))]
    with pytest.raises(InputError, match=r"row 3: expected a whole number in order, got ''"):
        TableCorpus(write(tmp_path / "own.csv", rows)).read()


def test_rows_that_name_no_dialogue_are_each_alone(tmp_path: Path) -> None:
    rows = [row(i, split="train", dialogue=name) for i, name in enumerate(("", "d", "", "d", "e"))]
    utterances = TableCorpus(write(tmp_path / "own.csv", rows)).read().utterances
    assert [u.dialogue_id for u in utterances] == [2, 0, 3, 0, 1]
    assert [u.utterance_id for u in utterances] == [0, 0, 0, 1, 0]


def test_one_folder_is_not_taken_for_another(tmp_path: Path) -> None:
    path = write(tmp_path / "own.csv", [row(0, split="train")])
    variants = {TableCorpus(path, root=tmp_path / name).read().variant for name in ("a", "b")}
    assert len(variants) == 2


@pytest.mark.parametrize(
    "path",
    ["a.wav", "b/c.wav", "./a.wav", "b//c.wav", "b/./c.wav", "../a.wav", "b/", "b.", "/x/a.wav"],
)
def test_clips_lie_where_pathlib_says(tmp_path: Path, path: str) -> None:
    (first,) = (
        TableCorpus(write(tmp_path / "own.csv", [row(0, path=path, split="val")])).read().utterances
    )
    assert first.media_path == str(tmp_path / path)


def test_rows_of_nobody_are_dealt_one_by_one(tmp_path: Path) -> None:
    rows = [row(number, emotion=("joy", "anger")[number % 2]) for number in range(60)]
    corpus = TableCorpus(write(tmp_path / "own.csv", rows), num_test_folds=3, num_val_folds=4)
    annotations = corpus.read()
    assert annotations.split_origin == "made here, by row, seed 0"
    found = [(u.split, u.emotion) for u in annotations.utterances]
    # A third of 30 is tested; a quarter of the other 20 validates.
    assert {pair: found.count(pair) for pair in set(found)} == {
        **{(split, "joy"): num for split, num in (("train", 15), ("val", 5), ("test", 10))},
        **{(split, "anger"): num for split, num in (("train", 15), ("val", 5), ("test", 10))},
    }


def test_the_digest_tells_of_every_field_but_the_folder(tmp_path: Path) -> None:
    path = write(tmp_path / "own.csv", [row(0, split="train"), row(1, split="val")])
    whole = TableCorpus(path).read()
    first, second = whole.utterances
    others: dict[str, object] = {"media_path": "b.wav", "emotion": "fear", "utterance_id": 9}
    others["traits"] = (("take", "2"),)
    for field in fields(first):
        changed = replace(first, **{field.name: others.get(field.name, "other")})
        assert replace(whole, utterances=(changed, second)).digest() != whole.digest()
    moved = replace(first, media_path=first.media_path.replace(str(tmp_path), "/elsewhere"))
    assert replace(whole, utterances=(moved, second)).digest() == whole.digest()
    assert replace(whole, utterances=(second, first)).digest() != whole.digest()


def test_further_columns_are_traits_where_they_are_named(tmp_path: Path) -> None:
    rows = [
        row(0, split="train", sex="f", age="31"),
        row(1, split="val", sex="", age="x"),
        row(2, split="test", sex="m", age=""),
    ]
    table = write(tmp_path / "own.csv", rows)
    plain = TableCorpus(table).read()
    assert all(utterance.traits == () for utterance in plain.utterances)
    found = TableCorpus(table, traits=["sex", "age"]).read()
    assert [u.traits for u in found.utterances] == [
        (("sex", "f"), ("age", "31")),
        (("age", "x"),),
        (("sex", "m"),),
    ]
    assert found.frame()["sex"].fillna("").tolist() == ["f", "", "m"]
    assert found.digest() != plain.digest()
    with pytest.raises(InputError, match=r"missing the column height, which corpus\.traits names"):
        TableCorpus(table, traits=["height"]).read()
    with pytest.raises(InputError, match=r"corpus\.traits: .* got speaker"):
        TableCorpus(table, traits=["speaker"])
