"""For whom a group of runs is good: scores of some of the test rows, and the largest gap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmemo.comparison.document import SubgroupColumn, SubgroupScores
from mmemo.evaluation.confusion_scores import METRICS, Floats, Metric, misjudged_as
from mmemo.evaluation.intervals import (
    RUN_CONFIDENCE,
    RUN_SEED,
    Interval,
    UnitTallies,
    interval,
    jackknife_interval,
    left_out_scores,
    resampled_scores,
)
from mmemo.evaluation.seed_summary import SeedSummary
from mmemo.evaluation.subgroups import Grouping, Subgroups
from mmemo.evaluation.units import Units

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
        """Of the difference of two groups' means over the seeds, in the same draws of units."""
        if self.units.has_jackknife:
            parts = [left_out_scores(one, self.metric).mean(axis=1) for one in (high, low)]
            value = float(high.scores(self.metric).mean() - low.scores(self.metric).mean())
            limits = (-1.0, 1.0)
            return jackknife_interval(
                value, parts[0] - parts[1], RUN_CONFIDENCE, self.units, limits
            )
        if self.units.are_few:
            return None
        metrics = {"score": self.metric}
        drawn = [
            resampled_scores(one, metrics, NUM_RESAMPLES, RUN_SEED)["score"].mean(axis=1)
            for one in (high, low)
        ]
        return interval(drawn[0] - drawn[1], RUN_CONFIDENCE, self.units)
