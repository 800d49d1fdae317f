from mmemo.audit.counts import (
    DialogueGap,
    count_splits,
    find_collisions,
    find_gaps,
)
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
