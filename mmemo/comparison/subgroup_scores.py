"""For whom a group of runs is good: scores of some of the test rows, and the largest gap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmemo.comparison.document import (
    ComparisonDocument,
    ComparisonTable,
    GroupResult,
    SubgroupColumn,
    SubgroupScores,
)
from mmemo.evaluation.confusion_scores import METRICS, Floats, Metric, misjudged_as, only_of
from mmemo.evaluation.grouping import Grouping
from mmemo.evaluation.intervals import (
    RUN_CONFIDENCE,
    RUN_SEED,
    Interval,
    UnitTallies,
    left_out_scores,
    resampled_scores,
    score_interval,
)
from mmemo.evaluation.seed_summary import SeedSummary
from mmemo.evaluation.subgroups import Subgroups
from mmemo.evaluation.units import MIN_EFFECTIVE_UNITS, Units
from mmemo.reporting.group_tables import column_name
from mmemo.reporting.numbers import UNDEFINED, metric_name
from mmemo.reporting.tables import (
    Cell,
    Table,
    interval_cell,
    mean_cell,
    named,
    score_cell,
    table_of,
)

NUM_RESAMPLES = 500

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class SubgroupScorer:
    """Scores runs on the groups of some columns.

    Args:
        target: (N,), class numbers.
        num_classes: C.
        units: Of the rows.
        groupings: Of the rows, by column.
        metric: That gaps are of.
        harmful: Place of the class that it harms to be taken for; None for none.
    """

    target: Numbers
    num_classes: int
    units: Units
    groupings: dict[str, Grouping]
    metric: Metric
    harmful: int | None

    @classmethod
    def of(
        cls,
        subgroups: Subgroups,
        groupings: dict[str, Grouping],
        target: Numbers,
        classes: Sequence[str],
        units: Units,
    ) -> SubgroupScorer:
        """As some settings say; the arguments are those of the class."""
        metric, harmful = METRICS[subgroups.metric], subgroups.harmful_place(classes)
        return cls(target, len(classes), units, groupings, metric, harmful)

    def scores(self, preds: Sequence[Numbers]) -> dict[str, SubgroupColumn]:
        """By column the scores of predictions (N,) of some seeds."""
        return {name: self._column(preds, grouping) for name, grouping in self.groupings.items()}

    def _column(self, preds: Sequence[Numbers], grouping: Grouping) -> SubgroupColumn:
        counts = [
            self._counts(preds, np.flatnonzero(grouping.of_rows == place))
            for place in range(len(grouping.names))
        ]
        found = [self._scores(one) for one in counts]
        means = [one.score.mean for one in found]
        low, high = int(np.argmin(means)), int(np.argmax(means))
        return SubgroupColumn(
            groups=dict(zip(grouping.names, found, strict=True)),
            gap=means[high] - means[low],
            gap_interval=self._gap_interval(counts[low], counts[high]) if low != high else None,
        )

    def _counts(self, preds: Sequence[Numbers], rows: Numbers) -> UnitTallies:
        """Counts of some rows in each of the units, of which some may have none."""
        found = UnitTallies.of(
            self.target[rows],
            [pred[rows] for pred in preds],
            self.num_classes,
            Units(self.units.name, self.units.number[rows]),
        )
        lacking = self.units.num - found.num_units

        def padded(part: Floats) -> Floats:
            width = [(0, 0)] * (part.ndim - 2) + [(0, lacking), (0, 0)]
            return np.pad(part, width)

        return UnitTallies(*map(padded, (found.right, found.predicted, found.annotated)))

    def _scores(self, counts: UnitTallies) -> SubgroupScores:
        misjudged = None
        by_class = counts.annotated.sum(axis=0)
        num = int(by_class.sum())
        if self.harmful is not None and by_class[self.harmful] < num:
            misjudged = SeedSummary.of(counts.scores(misjudged_as(self.harmful)))
        return SubgroupScores(num, SeedSummary.of(counts.scores(self.metric)), misjudged)

    def _gap_interval(self, low: UnitTallies, high: UnitTallies) -> Interval | None:
        """Of the difference of two groups' means over the seeds, in the same draws of units.

        None where one of the groups is of few units, or a draw has none of them.
        """
        units = self.units
        metric = only_of(self.metric, lambda tallies: tallies.annotated.sum(axis=-1))
        if min(map(self._effective_num, (high, low))) < MIN_EFFECTIVE_UNITS:
            return None
        if units.has_jackknife:
            drawn = [left_out_scores(one, metric) for one in (high, low)]
        elif units.are_few:
            return None
        else:
            drawn = [
                resampled_scores(one, {"score": metric}, NUM_RESAMPLES, RUN_SEED)["score"]
                for one in (high, low)
            ]
        value = float(high.scores(self.metric).mean() - low.scores(self.metric).mean())
        gaps = drawn[0].mean(axis=1) - drawn[1].mean(axis=1)
        return score_interval(value, gaps, RUN_CONFIDENCE, units, (-1.0, 1.0))

    def _effective_num(self, counts: UnitTallies) -> float:
        """Of the units that a group has rows in."""
        sizes = counts.annotated.sum(axis=1).astype(np.int64)
        return Units(self.units.name, np.repeat(np.arange(len(sizes)), sizes)).effective_num


def subgroups_table(document: ComparisonDocument, table: ComparisonTable) -> Table:
    """Of each group and column the values that it is worst and best on."""
    columns = list(dict.fromkeys(name for group in table.groups for name in group.subgroups))
    rows = [
        _subgroup_row(column, group, group.subgroups[column])
        for column in columns
        for group in table.groups
        if column in group.subgroups
    ]
    metric, harmful = metric_name(document.subgroup_metric), document.harmful_class
    header = ["by", "group", "values", f"lowest\n{metric}", "", f"highest\n{metric}", "", "gap"]
    header += ["95 % interval,\nthese models"]
    header += [f"most taken\nfor {harmful or UNDEFINED}", ""]
    note = (
        "Means over the seeds of the test utterances with one value of a column, of as many as "
        "subgroups.min_utterances asks for. The gap is the largest of several, and so never 0 by "
        "chance alone; its interval is of these two values, where each is of "
        f"{MIN_EFFECTIVE_UNITS} units or more, and each run's report tests it."
    )
    return table_of("subgroups", "For whom, test", header, "llrlrlrrrlr", rows, note)


def _subgroup_row(name: str, group: GroupResult, column: SubgroupColumn) -> list[Cell]:
    found = column.groups
    by_score = sorted(found, key=lambda value: found[value].score.mean)
    low, high = by_score[0], by_score[-1]
    cells = [named(column_name(name)), named(group.name), Cell(str(len(found)), len(found))]
    for value in (low, high):
        cells += [named(value), mean_cell(found[value].score)]
    cells += [score_cell(column.gap), interval_cell(column.gap_interval)]
    harm = {value: one.misjudged for value, one in found.items() if one.misjudged is not None}
    if not harm:
        return [*cells, Cell(UNDEFINED), Cell(UNDEFINED)]
    worst = max(harm, key=lambda value: harm[value].mean)
    return [*cells, named(worst), mean_cell(harm[worst])]
