"""Differences between groups of runs, each with its tests, adjusted for their number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmemo.comparison.setting_estimates import SettingEstimate, SettingModel
from mmemo.evaluation.confusion_scores import METRICS, Floats
from mmemo.evaluation.intervals import (
    UnitTallies,
    bootstrap_p,
    interval,
    smallest_bootstrap_p,
)
from mmemo.evaluation.significance import (
    UnitSwaps,
    holm,
    mcnemar_tests,
    randomisation_p,
    sign_test_over_seeds,
    wilcoxon_over_seeds,
)
from mmemo.evaluation.units import Units

ADJUSTED = ("setting_p", "bootstrap_p", "randomisation_p")
"""p values that Holm's method adjusts over all pairs of a table."""

RESAMPLES_PER_COMPARISON = 200
"""So many put the smallest p of a bootstrap or a randomisation, adjusted by Holm, at 0.01."""

MAX_RESAMPLES = 20_000
"""More comparisons than these suffice for are told what they cannot reach."""


@dataclass(frozen=True)
class Scored:
    """One group's answers on the test split.

    Args:
        name: The group's.
        seeds: S seeds.
        counts: Of its S runs, by unit.
        right: (S, N), who was right; utterances in the same order for all groups.
    """

    name: str
    seeds: tuple[int, ...]
    counts: UnitTallies
    right: NDArray[np.bool_]

    def only(self, seeds: Sequence[int]) -> Scored:
        """The same for some of its seeds."""
        if tuple(seeds) == self.seeds:
            return self
        places = [self.seeds.index(seed) for seed in seeds]
        return Scored(self.name, tuple(seeds), self.counts.only(places), self.right[places])


def num_resamples(at_least: int, num_comparisons: int) -> int:
    """As many as the comparisons of a table need."""
    return max(at_least, min(MAX_RESAMPLES, RESAMPLES_PER_COMPARISON * num_comparisons))


@dataclass(frozen=True)
class Tested:
    """Differences that were tested.

    Args:
        pairs: A document for each.
        estimates: Of each the setting's, None where there is none.
    """

    pairs: list[dict[str, Any]]
    estimates: list[SettingEstimate | None]


@dataclass(frozen=True)
class DifferenceTests:
    """Tests the differences between groups on the same utterances.

    ``setting_p`` and ``interval`` are of the settings: seeds and units drawn anew. All else is of
    these trained models. Bootstrap and its interval are of the groups' means over all of their
    seeds; randomisation, McNemar and the tests over seeds are of the seeds that both have.

    Args:
        metric: Name of the tested metric.
        confidence: Of the intervals of a difference.
        num_resamples: Of bootstrap and randomisation.
        seed: Of the randomisation.
        units: That are drawn or change sides.
    """

    metric: str
    confidence: float
    num_resamples: int
    seed: int
    units: Units

    @cached_property
    def swaps(self) -> UnitSwaps:
        """Of the randomisation."""
        return UnitSwaps(self.units.num, self.num_resamples, self.seed)

    def smallest_p(self) -> dict[str, float | None]:
        """What each p that is counted from resamples can be at least."""
        return {
            "bootstrap_p": smallest_bootstrap_p(self.num_resamples, self.units),
            "randomisation_p": self.swaps.smallest_p,
        }

    def run(
        self,
        groups: Sequence[Scored],
        places: Sequence[Sequence[int]],
        model: SettingModel,
        resampled: Floats,
        pairs: Sequence[tuple[int, int]],
    ) -> Tested:
        """Test pairs of groups.

        Args:
            groups: K groups.
            places: Of each group's runs in the model and in the resamples.
            model: Of all runs.
            resampled: (R, S), each run's score in each resample of units.
            pairs: Places of the two groups of each pair.
        """
        means = [resampled[:, list(runs)].mean(axis=1) for runs in places]
        estimates = [model.difference(places[a], places[b]) for a, b in pairs]
        tested = []
        for (a, b), estimate in zip(pairs, estimates, strict=True):
            tested.append(self._pair(groups[a], groups[b], means[a] - means[b], estimate))
        common = [_with_common_seeds(groups[a], groups[b]) for a, b in pairs]
        for pair, found in zip(tested, self._of_common_seeds(common), strict=True):
            pair.update(found)
        for name in ADJUSTED:
            known = [pair for pair in tested if pair[name] is not None]
            for pair, p in zip(known, holm([pair[name] for pair in known]), strict=True):
                pair["holm"][name] = p
        return Tested(tested, estimates)

    def _pair(
        self, a: Scored, b: Scored, resampled: Floats, estimate: SettingEstimate | None
    ) -> dict[str, Any]:
        metric = METRICS[self.metric]
        difference = a.counts.scores(metric).mean() - b.counts.scores(metric).mean()
        return {
            "a": a.name,
            "b": b.name,
            "difference": float(difference),
            "interval": None if estimate is None else estimate.interval(self.confidence, -1.0),
            "setting_p": None if estimate is None else estimate.p,
            "interval_models": interval(resampled, self.confidence, self.units),
            "bootstrap_p": bootstrap_p(resampled, self.units),
            "holm": dict.fromkeys(ADJUSTED),
        }

    def _of_common_seeds(self, common: Sequence[tuple[Scored, Scored]]) -> list[dict[str, Any]]:
        metric = METRICS[self.metric]
        known = [(a, b) for a, b in common if a.seeds]
        pairs = [(a.counts, b.counts) for a, b in known]
        randomised = iter(randomisation_p(pairs, metric, self.swaps))
        by_seed = [(a.only([s]), b.only([s])) for a, b in known for s in a.seeds]
        mcnemar = iter(
            mcnemar_tests(
                [(a.counts, b.counts) for a, b in by_seed],
                [(a.right[0], b.right[0]) for a, b in by_seed],
                self.swaps,
            )
        )
        found = []
        for a, b in common:
            scores = [list(side.counts.scores(metric)) for side in (a, b)]
            found.append(
                {
                    "randomisation_p": next(randomised) if a.seeds else None,
                    "mcnemar": [{"seed": seed, **asdict(next(mcnemar))} for seed in a.seeds],
                    "wilcoxon": asdict(wilcoxon_over_seeds(*scores)),
                    "sign_test": asdict(sign_test_over_seeds(*scores)),
                }
            )
        return found


def _with_common_seeds(a: Scored, b: Scored) -> tuple[Scored, Scored]:
    seeds = [seed for seed in a.seeds if seed in b.seeds]
    return a.only(seeds), b.only(seeds)


def seeds_cost(
    tested: Tested, confidence: float, many: int = 10
) -> tuple[float, float, float] | None:
    """What it costs that seeds are few, in medians over a table's differences.

    Args:
        tested: The differences.
        confidence: Of their intervals.
        many: Seeds to compare with.

    Returns:
        Half the width of the settings' interval, the same as a multiple of these trained models',
        and what it would be with as many seeds of the same variance; None where nothing is known.
    """
    widths = [
        (
            estimate.half_width(confidence),
            (pair["interval_models"][1] - pair["interval_models"][0]) / 2,
            estimate.with_seeds(many).half_width(confidence),
        )
        for pair, estimate in zip(tested.pairs, tested.estimates, strict=True)
        if estimate is not None and estimate.variance > 0 and pair["interval_models"] is not None
    ]
    ratios = [width / models for width, models, _ in widths if models > 0]
    if not ratios:
        return None
    half, _, with_many = (float(np.median(column)) for column in zip(*widths, strict=True))
    ratio = float(np.median(ratios))
    return (half, ratio, with_many) if all(map(math.isfinite, (half, ratio, with_many))) else None
