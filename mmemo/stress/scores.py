"""Scores under a condition, and the interval of their paired difference to clean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mmemo.evaluation.calibration import calibration_errors
from mmemo.evaluation.confusion_scores import METRICS as COUNTED
from mmemo.evaluation.intervals import (
    RUN_CONFIDENCE,
    RUN_RESAMPLES,
    RUN_SEED,
    Interval,
    UnitTallies,
    drawn_counts,
    score_interval,
)
from mmemo.evaluation.units import Units
from mmemo.stress.document import METRICS, StressScore

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class PairedScores:
    """Scores on one set of utterances, whose units are drawn anew in the same way for all.

    Args:
        target: (N,), class numbers.
        num_classes: C.
        units: Of the same utterances.
        confidence: Of the intervals.
        num_resamples: Draws of the bootstrap; few units have the jackknife instead.
        seed: Of the draws.
    """

    target: Numbers
    num_classes: int
    units: Units
    confidence: float = RUN_CONFIDENCE
    num_resamples: int = RUN_RESAMPLES
    seed: int = RUN_SEED

    @cached_property
    def weights(self) -> Floats:
        """How often each unit counts, (R, G): in each draw, or without one unit at a time."""
        num = self.units.num
        if self.units.has_jackknife:
            return 1 - np.eye(num)
        return np.concatenate(list(drawn_counts(num, self.num_resamples, self.seed)))

    def of(self, probabilities: Floats, clean: Floats) -> dict[str, StressScore]:
        """Each metric under a condition, with its difference to clean.

        Args:
            probabilities: (N, C), under the condition.
            clean: (N, C).
        """
        return self._compared(self._scores(probabilities), self._scores(clean))

    def beyond(
        self, pair: tuple[Floats, Floats], of_clean: tuple[Floats, Floats]
    ) -> dict[str, StressScore]:
        """Each metric's difference of a pair, and how much more it is than that of another one.

        Args:
            pair: Two of (N, C).
            of_clean: Two of (N, C).
        """
        gain, clean = (self._gains(*two) for two in (pair, of_clean))
        found = {}
        for name in METRICS:
            more = gain[name] - clean[name]
            bounds = self.interval(float(more[0]), more[1:], (-2.0, 2.0))
            found[name] = StressScore(float(gain[name][0]), float(more[0]), bounds)
        return found

    def _gains(self, one: Floats, other: Floats) -> dict[str, Floats]:
        first, second = self._scores(one), self._scores(other)
        return {name: first[name] - second[name] for name in METRICS}

    def values(self, probabilities: Floats) -> dict[str, float]:
        """Each metric of probabilities (N, C)."""
        return {name: float(values[0]) for name, values in self._scores(probabilities).items()}

    def interval(
        self, value: float, drawn: Floats, limits: Interval = (-1.0, 1.0)
    ) -> Interval | None:
        """The interval of a number by its values (R,) under ``weights``."""
        return score_interval(value, drawn, self.confidence, self.units, limits)

    def _compared(
        self, one: Mapping[str, Floats], clean: Mapping[str, Floats]
    ) -> dict[str, StressScore]:
        found = {}
        for name in METRICS:
            difference = one[name] - clean[name]
            value = float(difference[0])
            bounds = self.interval(value, difference[1:])
            found[name] = StressScore(float(one[name][0]), value, bounds)
        return found

    def _scores(self, probabilities: Floats) -> Mapping[str, Floats]:
        """Each metric over all units, then under each of the weights: (1 + R,)."""
        preds = probabilities.argmax(axis=1).astype(np.int64)
        weights = np.concatenate([np.ones((1, self.units.num)), self.weights])
        tallies = UnitTallies.of(self.target, [preds], self.num_classes, self.units)
        counted = tallies.weighted(weights)
        found = {name: COUNTED[name](counted)[:, 0] for name in METRICS if name in COUNTED}
        found["ece"] = calibration_errors(
            probabilities.max(axis=1), preds == self.target, self.units.number, weights
        )
        return found


def only_where(
    scores: PairedScores, rows: NDArray[np.bool_], parts: Sequence[Floats]
) -> tuple[PairedScores, list[Floats]]:
    """Scores of some of the utterances, and of each (N, C) the rows that are theirs."""
    _, number = np.unique(scores.units.number[rows], return_inverse=True)
    units = Units(scores.units.name, number.astype(np.int64))
    fewer = PairedScores(
        scores.target[rows],
        scores.num_classes,
        units,
        scores.confidence,
        scores.num_resamples,
        scores.seed,
    )
    return fewer, [part[rows] for part in parts]
