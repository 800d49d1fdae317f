from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
)

from mmemo.comparison.comparison import Comparison
from mmemo.comparison.runs import find_runs, read_runs
from mmemo.comparison.subgroup_scores import SubgroupScorer, subgroups_table
from mmemo.comparison.tables import calibration_table
from mmemo.evaluation.confusion_scores import accuracy
from mmemo.evaluation.grouping import Grouping
from mmemo.evaluation.intervals import Interval
from mmemo.evaluation.subgroups import Subgroups
from mmemo.evaluation.units import Units
from tests.comparison.compared_runs import GOOD, TARGETS
from tests.comparison.run_folders import predictions, write_run


def test_groups_are_compared_by_subgroups_and_abstention(two_groups: Path) -> None:
    document = Comparison(subgroups=Subgroups(min_utterances=4)).compare(
        *read_runs(find_runs([two_groups]))
    )
    (table_of_both,) = document.tables
    (best,) = [g for g in table_of_both.groups if g.settings["fusion.bottleneck_dim"] == 32]
    # Rows at odd places are Ada's, the others Ben's; two seeds of GOOD.
    for name, first in (("Ada", 1), ("Ben", 0)):
        found = best.subgroups["speaker"].groups[name]
        targets = list(TARGETS)[first::2]
        assert found.num_utterances == 6
        recalls = [balanced_accuracy_score(targets, list(p)[first::2]) for p in GOOD]
        assert found.score.values == pytest.approx(recalls)
        others = [place for place, target in enumerate(targets) if target != "a"]
        shares = [np.mean([list(p)[first::2][i] == "a" for i in others]) for p in GOOD]
        assert found.misjudged is not None
        assert found.misjudged.values == pytest.approx(shares)
    column = best.subgroups["speaker"]
    means = [group.score.mean for group in column.groups.values()]
    assert column.gap == pytest.approx(max(means) - min(means))
    # Four dialogues are too few.
    assert column.gap_interval is None
    # All answers are equally sure: the area is the share of errors.
    assert best.aurc is not None
    errors = [1 - accuracy_score(list(TARGETS), list(preds)) for preds in GOOD]
    assert best.aurc.values == pytest.approx(errors)
    texts = subgroups_table(document, table_of_both).texts
    assert texts.iloc[0, 0] == "speaker"
    assert "AURC" in calibration_table(document, table_of_both).header


def test_columns_that_earlier_runs_lack_are_left_out(two_groups: Path) -> None:
    runs = read_runs(find_runs([two_groups]))
    document = Comparison(subgroups=Subgroups(columns=["sex"], min_utterances=2)).compare(*runs)
    assert all(not group.subgroups for group in document.tables[0].groups)


def test_the_gap_of_subgroups_has_an_interval_over_units(tmp_path: Path) -> None:
    """Ada is right in all of thirty dialogues, Ben in every other one."""
    targets = "an" * 30
    dialogues = "".join(f"{d}{d}" for d in "0123456789abcdefghijklmnopqrst")
    # The first of each dialogue is Ben's.
    preds = "".join(("a" if number % 2 else "j") + "n" for number in range(30))
    test, val = (predictions(split, targets, preds, dialogues) for split in ("test", "val"))
    write_run(tmp_path / "run", test, val)
    subgroups = Subgroups(metric="accuracy", min_utterances=5)
    document = Comparison(subgroups=subgroups).compare(*read_runs(find_runs([tmp_path])))
    column = document.tables[0].groups[0].subgroups["speaker"]
    assert column.gap == pytest.approx(0.5)
    assert column.gap_interval is not None
    low, high = column.gap_interval
    # Of thirty draws with a share of a half the standard deviation is 0.091.
    assert low == pytest.approx(0.5 - 2.05 * 0.091, abs=0.05)
    assert high == pytest.approx(0.5 + 2.05 * 0.091, abs=0.05)


def gap_interval(group_of_units: Sequence[int], rows: Sequence[int] | int) -> Interval | None:
    """Of the accuracy; in the first group all is right, else a quarter or three of each unit."""
    unit = np.repeat(np.arange(len(group_of_units)), rows)
    group = np.asarray(group_of_units)[unit]
    is_wrong = (group > 0) & (np.arange(len(unit)) % 4 < np.where(unit % 2, 1, 3))
    names = tuple(f"group {place}" for place in range(max(group_of_units) + 1))
    scorer = SubgroupScorer(
        target=np.zeros(len(unit), np.int64),
        num_classes=2,
        units=Units("speaker", unit),
        groupings={"column": Grouping(group, names)},
        metric=accuracy,
        harmful=None,
    )
    return scorer.scores([is_wrong.astype(np.int64)])["column"].gap_interval


@pytest.mark.parametrize("num", [10, 24])
def test_the_gap_of_groups_of_one_unit_each_has_no_interval(num: int) -> None:
    """As of speakers: a draw without one of the two says nothing of the gap."""
    assert gap_interval(range(num), 40) is None


def test_the_gap_has_an_interval_where_both_groups_have_units_enough() -> None:
    found = gap_interval([0] * 12 + [1] * 12, 40)
    assert found is not None
    # The mean of twelve shares of 0.25 and 0.75 has a standard deviation of 0.072.
    assert found == pytest.approx((0.5 - 2.07 * 0.072, 0.5 + 2.07 * 0.072), abs=0.04)
    few = gap_interval([0] * 7 + [1] * 8, 40)
    assert few is not None
    assert few[0] < 0.5 < few[1]


@pytest.mark.parametrize(
    ("group_of_units", "rows"),
    [
        ([0] * 4 + [1] * 20, 40),
        ([0] * 20 + [1] * 4, 40),
        ([0] * 4 + [1] * 8, 40),
        # Six units, of which one has nearly all rows.
        ([0] * 24 + [1] * 6, [40] * 24 + [400, 4, 4, 4, 4, 4]),
        # Some of the draws have none of the five.
        ([0] * 35 + [1] * 5, 40),
    ],
)
def test_the_gap_to_a_group_of_few_units_has_no_interval(
    group_of_units: Sequence[int], rows: Sequence[int] | int
) -> None:
    assert gap_interval(group_of_units, rows) is None
