from pathlib import Path

import pytest

from mmemo.audit.counts import (
    DialogueGap,
    Difference,
    compare_counts,
    count_splits,
    find_collisions,
    find_gaps,
)
from mmemo.audit.published_counts import PublishedSplit, read_published_counts
from mmemo.errors import InputError
from tests.audit.hand_made import table

ROWS = table(
    ("train", 0, 0, "joy", "a"),
    ("train", 0, 3, "joy", "b"),
    ("train", 2, 0, "fear", "c"),
    ("val", 0, 0, "anger", "d"),
    ("test", 0, 0, "joy", "e"),
    ("test", 0, 1, "joy", "f"),
    ("test", 2, 0, "anger", "g"),
    speaker=["Ada", "Bo", "Ada", "Ada", "Cy", "Cy", "Di"],
)


def test_splits_are_counted_in_the_usual_order() -> None:
    train, val, test = count_splits(ROWS.sample(frac=1, random_state=0), ("anger", "joy"))
    assert [s.split for s in (train, val, test)] == ["train", "val", "test"]
    assert (train.num_rows, train.num_dialogues, train.num_speakers) == (3, 2, 2)
    assert train.labels == {"fear": 1, "joy": 2}
    assert train.num_in_label_set == 2
    assert list(train.speakers.items()) == [("Ada", 2), ("Bo", 1)]
    assert (val.num_rows, test.num_rows, test.num_in_label_set) == (1, 3, 3)


def test_gaps_are_found_below_the_highest_id() -> None:
    train, val, test = find_gaps(ROWS)
    assert train.missing_dialogue_ids == (1,)
    assert train.dialogues == (DialogueGap(0, (1, 2)),)
    assert (train.num_dialogues_with_gaps, train.num_missing_utterances) == (1, 2)
    assert (val.num_missing_dialogues, val.num_missing_utterances) == (0, 0)
    assert (test.num_missing_dialogues, test.dialogues) == (1, ())


def test_ids_that_begin_at_one_are_no_gap() -> None:
    rows = table(("train", 7, 1, "joy", "a"), ("train", 8, 1, "joy", "b"))
    (train,) = find_gaps(rows)
    assert (train.missing_dialogue_ids, train.dialogues) == ((), ())


def test_keys_that_stand_in_several_splits_collide() -> None:
    collisions = find_collisions(ROWS)
    assert (collisions.num_keys, collisions.num_rows) == (2, 5)
    assert collisions.by_splits == {"train, test": 1, "train, val, test": 1}


def test_each_count_that_is_not_the_published_one_is_told() -> None:
    official = {
        "train": PublishedSplit(3, 3, 2, {"emotion": {"joy": 1, "anger": 1}}),
        "val": PublishedSplit(1, 1, 1, {"emotion": {"anger": 1}}),
    }
    assert compare_counts(count_splits(ROWS, ("joy",)), official, "emotion") == (
        Difference("train", "dialogues", 2, 3),
        Difference("train", "anger", 0, 1),
        Difference("train", "fear", 1, 0),
        Difference("train", "joy", 2, 1),
    )


def test_the_published_classes_sum_to_the_published_rows() -> None:
    published = read_published_counts("meld")
    assert published is not None
    assert [split.num_rows for split in published.splits.values()] == [9989, 1109, 2610]
    for split in published.splits.values():
        assert set(split.labels) == {"emotion", "sentiment"}
        for labels in split.labels.values():
            assert sum(labels.values()) == split.num_rows


def test_a_corpus_without_published_counts_has_none() -> None:
    assert read_published_counts("mine") is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [("{", "ParserError"), ("remark: ''", "ValidationError"), ("splits: 3", "ValidationError")],
)
def test_damaged_published_counts_are_told(
    text: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmemo.audit.published_counts.config_dir", lambda: tmp_path)
    path = tmp_path / "published" / "counts" / "mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(InputError, match=f"mine.yaml: expected the published counts.*{problem}"):
        read_published_counts("mine")
