from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from mmemo.errors import InputError
from mmemo.evaluation.units import Units, check_unit, kept_together, table_units, with_units
from tests.run_documents import protocol


def rows(**changes: Any) -> pd.DataFrame:  # noqa: ANN401
    """Two rows of each split."""
    table = pd.DataFrame(
        {
            "split": ["train", "train", "val", "val", "test", "test"],
            "corpus_split": ["train"] * 2 + ["val"] * 2 + ["test"] * 2,
            "dialogue_id": [0, 0, 0, 0, 0, 1],
            "speaker": ["a", "b", "c", "c", "d", "e"],
            "key": list("uvwxyz"),
        }
    )
    return table.assign(**changes)


def test_what_the_split_groups_is_kept_together_first() -> None:
    table = rows(season="1", episode=["1", "1", "2", "2", "3", "4"])
    assert kept_together(table, ["season", "episode"]) == ("episode", ["season", "episode"])
    assert with_units(table, ["season", "episode"])["unit"].tolist()[-1] == "1/4"
    assert kept_together(table, ["speaker"]) == ("speaker", ["speaker"])


def test_else_speakers_else_dialogues_else_utterances() -> None:
    assert kept_together(rows(), ())[0] == "speaker"
    # A speaker in two splits, or a row without one.
    for speaker in (["a", "b", "c", "c", "a", "e"], ["a", "b", "c", "c", "", "e"], [""] * 6):
        assert kept_together(rows(speaker=speaker), ())[0] == "dialogue", speaker
    alone = rows(speaker="", dialogue_id=range(6))
    assert kept_together(alone, ()) == ("utterance", ["key"])
    # A copy is no utterance of its own.
    assert kept_together(alone.assign(source_key="u"), ()) == ("utterance", ["source_key"])


def test_a_dialogue_is_named_with_its_split() -> None:
    table = pd.DataFrame(
        {"corpus_split": ["val", "test", "val", "test"], "dialogue_id": [1, 1, 2, 1]}
    )
    units = Units.of("dialogue", table, ["corpus_split", "dialogue_id"])
    assert units.number.tolist() == [1, 0, 2, 0]
    assert (units.num, units.sizes.tolist()) == (3, [2, 1, 1])


def test_units_of_unequal_size_are_as_good_as_fewer() -> None:
    equal = Units.of("speaker", pd.DataFrame({"s": [0, 0, 1, 1, 2, 2]}), ["s"])
    assert equal.effective_num == pytest.approx(3.0)
    # (6 + 1 + 1)² / (36 + 1 + 1)
    unequal = Units.of("speaker", pd.DataFrame({"s": [0] * 6 + [1, 2]}), ["s"])
    assert unequal.effective_num == pytest.approx(64 / 38)


@pytest.mark.parametrize(
    ("sizes", "are_few"), [([3] * 19, True), ([3] * 20, False), ([1000, 900] + [1] * 100, True)]
)
def test_few_units_are_few_by_number_or_by_weight(sizes: list[int], are_few: bool) -> None:
    names = [name for name, size in enumerate(sizes) for _ in range(size)]
    assert Units.of("speaker", pd.DataFrame({"s": names}), ["s"]).are_few is are_few


def test_a_table_names_its_units_or_they_are_looked_for() -> None:
    table = rows()
    test, known = table[table["split"] == "test"], table[table["split"] != "train"]
    old = protocol()
    assert table_units(test, known, old, None).name == "speaker"
    shared = known.assign(speaker="d")
    assert table_units(test, shared, old, None).name == "dialogue"
    grouped = protocol(split_settings={"group_columns": ["speaker"]})
    assert table_units(test, shared, grouped, None).name == "speaker"
    # An earlier mmemo did not write the episode.
    absent = protocol(split_settings={"group_columns": ["season", "episode"]})
    assert table_units(test, shared, absent, None).name == "dialogue"
    named = test.assign(unit=["1/1", "1/1"])
    units = table_units(named, shared, protocol(unit="episode"), None)
    assert (units.name, units.num) == ("episode", 1)
    assert table_units(named, shared, protocol(unit="episode"), "utterance").num == 2


def test_a_unit_that_there_is_not_is_refused() -> None:
    with pytest.raises(InputError, match="unit: expected null .* got 'clip'"):
        check_unit("clip")
    table = rows(speaker="")
    with pytest.raises(InputError, match="unit=speaker: expected a speaker of every test"):
        table_units(table, table, protocol(), "speaker")


def test_why_there_is_no_interval() -> None:
    few = Units.of("speaker", pd.DataFrame({"s": range(4)}), ["s"])
    assert (few.few_note or "").startswith(
        "No interval and no bootstrap p of 4 speakers: at least 5 are needed."
    )
    assert not few.has_jackknife
    some = Units.of("speaker", pd.DataFrame({"s": range(12)}), ["s"])
    assert some.has_jackknife
    assert "leaves out one speaker at a time (jackknife, t with 11 degrees" in (some.few_note or "")
    sizes = [1000, 900, *([1] * 100)]
    names = [name for name, size in enumerate(sizes) for _ in range(size)]
    heavy = Units.of("speaker", pd.DataFrame({"s": names}), ["s"])
    assert "102 speakers: they are as good as 2.2 of one size, at least 5" in (heavy.few_note or "")
    assert Units.of("speaker", pd.DataFrame({"s": range(20)}), ["s"]).few_note is None
