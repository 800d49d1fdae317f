"""Differences between groups of runs, each with its tests, adjusted for their number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from mmemo.comparison.difference_results import AdjustedP, Difference, SeedMcNemar, SmallestP
from mmemo.comparison.ranking_metric import ComparedMetric
from mmemo.comparison.scored_groups import GroupAnswers
from mmemo.evaluation.confusion_scores import Floats
from mmemo.evaluation.intervals import (
    Interval,
    bootstrap_p,
    score_interval,
    smallest_bootstrap_p,
)
from mmemo.evaluation.setting_estimates import SettingEstimate
from mmemo.evaluation.significance import (
    UnitSwaps,
    holm,
    mcnemar_tests,
    randomisation_p,
    sign_test_over_seeds,
    wilcoxon_over_seeds,
)
from mmemo.evaluation.units import Units

RESAMPLES_PER_COMPARISON = 200
"""So many put the smallest p of a bootstrap or a randomisation, adjusted by Holm, at 0.01."""

MAX_RESAMPLES = 20_000
"""More comparisons than these suffice for are told what they cannot reach."""


def num_resamples(at_least: int, num_comparisons: int) -> int:
    """As many as the comparisons of a table need."""
    return max(at_least, min(MAX_RESAMPLES, RESAMPLES_PER_COMPARISON * num_comparisons))


@dataclass(frozen=True)
class DifferenceTests:
    """Tests the differences between groups on the same utterances.

    ``setting_p`` and ``interval`` are of the settings: seeds and units drawn anew. All else is of
    these trained models. Bootstrap and its interval are of the groups' means over all of their
    seeds; randomisation, McNemar and the tests over seeds are of the seeds that both have.

    Args:
        metric: What is tested.
        confidence: Coverage of the intervals of a difference.
        num_resamples: Resamples of bootstrap and randomisation.
        seed: Seed of the randomisation.
        units: Test units that are drawn or change sides.
    """

    metric: ComparedMetric
    confidence: float
    num_resamples: int
    seed: int
    units: Units

    @cached_property
    def swaps(self) -> UnitSwaps:
        """Of the randomisation."""
        return UnitSwaps(self.units.num, self.num_resamples, self.seed)

    def smallest_p(self) -> SmallestP:
        """What each p that is counted from resamples can be at least."""
        bootstrap = smallest_bootstrap_p(self.num_resamples, self.units)
        return SmallestP(bootstrap, self.swaps.smallest_p)

    def run(
        self,
        groups: Sequence[GroupAnswers],
        means: Sequence[Floats],
        pairs: Sequence[tuple[int, int]],
        estimates: Sequence[SettingEstimate | None],
    ) -> list[Difference]:
        """Test pairs of groups.

        Args:
            groups: K groups.
            means: (R,) of each group: its mean score in each resample of units; of few units
                without one at a time (G,).
            pairs: Places of the two groups of each pair.
            estimates: Of each pair the difference between the settings.
        """
        answers = [(groups[a], groups[b]) for a, b in pairs]
        resampled = [means[a] - means[b] for a, b in pairs]
        setting_p = [None if estimate is None else estimate.p for estimate in estimates]
        boot_p = [bootstrap_p(differences, self.units) for differences in resampled]
        common = [_with_common_seeds(a, b) for a, b in answers]
        random_p = self._randomisation_p(common)
        adjusted = zip(*(_adjusted(p) for p in (setting_p, boot_p, random_p)), strict=True)
        mcnemar = self._mcnemar(common)
        metric = self.metric
        found = []
        for place, (a, b) in enumerate(answers):
            estimate = estimates[place]
            common_scores = [list(side.values(metric)) for side in common[place]]
            difference = float(a.values(metric).mean() - b.values(metric).mean())
            found.append(
                Difference(
                    a=a.name,
                    b=b.name,
                    difference=difference,
                    interval=None
                    if estimate is None
                    else estimate.interval(self.confidence, -metric.span, metric.span),
                    setting_p=setting_p[place],
                    interval_models=self._of_models(difference, resampled[place]),
                    bootstrap_p=boot_p[place],
                    holm=AdjustedP(*next(adjusted)),
                    randomisation_p=random_p[place],
                    mcnemar=mcnemar[place],
                    wilcoxon=wilcoxon_over_seeds(*common_scores),
                    sign_test=sign_test_over_seeds(*common_scores),
                )
            )
        return found

    def _of_models(self, difference: float, drawn: Floats) -> Interval | None:
        limits = (-self.metric.span, self.metric.span)
        return score_interval(difference, drawn, self.confidence, self.units, limits)

    def _randomisation_p(
        self, common: Sequence[tuple[GroupAnswers, GroupAnswers]]
    ) -> list[float | None]:
        """Of each pair over the seeds that both have; None where there are none.

        Nor is there one of a metric that needs each answer: to swap answers and compute it anew in
        each way takes too long.
        """
        if self.metric.of_tallies is None:
            return [None] * len(common)
        pairs = [(a.counts, b.counts) for a, b in common if a.seeds]
        found = iter(randomisation_p(pairs, self.metric.of_tallies, self.swaps))
        return [next(found) if a.seeds else None for a, _ in common]

    def _mcnemar(
        self, common: Sequence[tuple[GroupAnswers, GroupAnswers]]
    ) -> list[tuple[SeedMcNemar, ...]]:
        """Of each pair for each seed that both have."""
        by_seed = [(a.only([s]), b.only([s])) for a, b in common for s in a.seeds]
        found = iter(
            mcnemar_tests(
                [(a.counts, b.counts) for a, b in by_seed],
                [(a.right[0], b.right[0]) for a, b in by_seed],
                self.swaps,
            )
        )
        return [
            tuple(SeedMcNemar(seed, **vars(next(found))) for seed in a.seeds) for a, _ in common
        ]


def _with_common_seeds(a: GroupAnswers, b: GroupAnswers) -> tuple[GroupAnswers, GroupAnswers]:
    seeds = [seed for seed in a.seeds if seed in b.seeds]
    return a.only(seeds), b.only(seeds)


def _adjusted(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted by Holm's method for all that are defined."""
    found = iter(holm([p for p in p_values if p is not None]))
    return [None if p is None else next(found) for p in p_values]
