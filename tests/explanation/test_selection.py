import pandas as pd
import pytest

from mmemo.errors import InputError
from mmemo.explanation.selection import Selection


@pytest.fixture
def table() -> pd.DataFrame:
    """Six of the test split, of which c, d and e are wrong, and one of validation."""
    rows = [
        ("a", "test", "joy", "joy", 0.6),
        ("b", "test", "joy", "joy", 0.9),
        ("c", "test", "joy", "anger", 0.3),
        ("d", "test", "anger", "joy", 0.8),
        ("e", "test", "anger", "joy", 0.7),
        ("f", "test", "anger", "anger", 0.4),
        ("v", "val", "anger", "anger", 0.01),
    ]
    found = pd.DataFrame(rows, columns=["key", "split", "target", "pred", "prob_joy"])
    return found.assign(prob_anger=1 - found["prob_joy"])


@pytest.mark.parametrize(
    ("selection", "name", "keys"),
    [
        (Selection(), "one_per_class", ["f", "b"]),
        (Selection(one_per_class=True), "one_per_class", ["f", "b"]),
        # c: wrong with 0.7; d: wrong with 0.8.
        (Selection(errors=True), "errors", ["d", "c"]),
        (Selection(one_per_class=True, errors=True), "one_per_class-errors", ["f", "b", "d", "c"]),
        (Selection(keys=["e", "train/x"], errors=True), "keys-errors", ["e", "train/x", "d", "c"]),
        (Selection(all_utterances=True), "all", ["a", "b", "c", "d", "e", "f"]),
        (Selection(split="val"), "one_per_class", ["v"]),
        (Selection(num_random=9), "random_9", ["a", "b", "c", "d", "e", "f"]),
    ],
)
def test_choices(table: pd.DataFrame, selection: Selection, name: str, keys: list[str]) -> None:
    assert (selection.name, selection.choose(table)) == (name, keys)


def test_a_random_choice_depends_on_the_seed_alone(table: pd.DataFrame) -> None:
    found = {tuple(Selection(num_random=2, seed=seed).choose(table)) for seed in range(20)}
    assert all(len(set(keys)) == 2 for keys in found)
    assert len(found) > 5
    assert Selection(num_random=2, seed=3).choose(table) == Selection(num_random=2, seed=3).choose(
        table
    )


def test_what_cannot_be_chosen_is_told(table: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="num_random: expected at least 1"):
        Selection(num_random=0)
    with pytest.raises(InputError, match="split: expected test or val, got 'train'"):
        Selection(split="train")
    with pytest.raises(InputError, match="errors: expected utterances of the split 'val'"):
        Selection(errors=True, split="val").choose(table)
