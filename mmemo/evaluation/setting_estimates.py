"""How far a setting's score would vary with other seeds and other units: both are random effects.

The bootstrap over units is of the models that were trained. What a table of settings is read for
is another question: whether one would win again if both were trained anew. Its answer needs the
variation between seeds beside that between units.

Source: Obuchowski and Rockette 1995, "Hypothesis testing of diagnostic accuracy for multiple
readers and multiple tests", with readers for seeds and cases for units; Hillis 2014, "A
marginal-mean ANOVA approach for analyzing multireader multicase radiological imaging data", for
readers who read with one test alone, as a seed trains one setting alone: a seed's number makes no
pair of two settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtr, stdtrit

from mmemo.evaluation.confusion_scores import Floats
from mmemo.evaluation.intervals import Interval
from mmemo.evaluation.units import Units

MIN_SEEDS = 3
"""Of fewer no variation is known that an interval could rest on."""


@dataclass(frozen=True)
class SeedVariance:
    """How far the scores of one setting's seeds vary.

    Args:
        value: Between seeds, and at least what their own mistakes on so many units explain: a few
            seeds that agree by chance are no sign that all do.
        num_seeds: How many seeds the mean is of.
        df: Degrees of freedom that the value is known with; None for ``num_seeds - 1``.
    """

    value: float
    num_seeds: int
    df: float | None

    @property
    def of_mean(self) -> float:
        """Variance of the mean over the seeds."""
        return self.value / self.num_seeds

    @property
    def satterthwaite(self) -> float:
        """The mean's variance squared, over its degrees of freedom."""
        return self.of_mean**2 / (self.num_seeds - 1 if self.df is None else self.df)


@dataclass(frozen=True)
class SettingEstimate:
    """A setting's mean score, or the difference of two, as an estimate for all seeds and units.

    Args:
        value: Mean over the seeds, or difference of two means.
        seeds: Variance between the seeds of each mean.
        unit_variance: What other units would change in all seeds alike.
        unit_df: Degrees of freedom that this is known with.
    """

    value: float
    seeds: tuple[SeedVariance, ...]
    unit_variance: float
    unit_df: float

    @property
    def variance(self) -> float:
        """Of the value."""
        return sum(seeds.of_mean for seeds in self.seeds) + self.unit_variance

    @property
    def df(self) -> float:
        """Degrees of freedom of the variance, by Satterthwaite (Hillis 2007)."""
        squares = sum(seeds.satterthwaite for seeds in self.seeds)
        return self.variance**2 / (squares + self.unit_variance**2 / self.unit_df)

    def half_width(self, confidence: float) -> float:
        """Of the interval; 0 where nothing varies."""
        if self.variance == 0:
            return 0.0
        quantile = float(stdtrit(self.df, (1 + confidence) / 2))
        return quantile * float(np.sqrt(self.variance))

    def interval(self, confidence: float, lowest: float, highest: float = 1.0) -> Interval | None:
        """Around the value, between these limits; None where nothing varies but the value.

        A score that is the same for all seeds and units is no certainty, a difference of 0 is one
        of models that answer alike.
        """
        if self.variance == 0 and self.value != 0:
            return None
        half = self.half_width(confidence)
        return max(lowest, self.value - half), min(highest, self.value + half)

    @property
    def p(self) -> float | None:
        """Two-sided p that the value is 0; None where nothing varies and it is not."""
        if self.variance == 0:
            return None if self.value else 1.0
        return float(2 * stdtr(self.df, -abs(self.value) / np.sqrt(self.variance)))

    def with_seeds(self, num: int) -> SettingEstimate:
        """What it would be with so many seeds of the same variance."""
        return replace(self, seeds=tuple(replace(part, num_seeds=num) for part in self.seeds))


@dataclass(frozen=True)
class SettingModel:
    """Scores of runs, and how they vary together over units.

    Args:
        scores: (S,), of the runs of all settings.
        covariance: (S, S), of these scores over draws of units.
        units: Test units that were drawn.
    """

    scores: Floats
    covariance: Floats
    units: Units

    @classmethod
    def of(cls, scores: Floats, resampled: Floats, units: Units) -> SettingModel:
        """From the scores (S,), and those in resamples of units (R, S).

        A resample of G units varies (G - 1) / G as much as another G units would.
        """
        if units.are_few:
            return cls(scores, np.full((len(scores),) * 2, np.nan), units)
        num = units.effective_num
        covariance = np.atleast_2d(np.cov(resampled, rowvar=False))
        return cls(scores, covariance * num / (num - 1), units)

    def score(self, runs: Sequence[int]) -> SettingEstimate | None:
        """A setting's, of its runs by their places; None where units or seeds are few."""
        return self._estimate([(1, list(runs))], 0.0)

    def difference(self, a: Sequence[int], b: Sequence[int]) -> SettingEstimate | None:
        """That of one setting minus that of another, as ``score``."""
        first, second = list(a), list(b)
        shared = float(self.covariance[np.ix_(first, second)].mean())
        return self._estimate([(1, first), (-1, second)], 2 * shared)

    def _estimate(
        self, means: Sequence[tuple[int, list[int]]], shared: float
    ) -> SettingEstimate | None:
        """Of means with their signs; ``shared`` is the variance that cancels between them."""
        if self.units.are_few or min(len(runs) for _, runs in means) < MIN_SEEDS:
            return None
        if not np.isfinite(self.covariance).all():
            # A metric that is undefined in some draws.
            return None
        df = self.units.effective_num - 1
        seeds, together = [], 0.0
        for _, runs in means:
            block = self.covariance[np.ix_(runs, runs)]
            num, own = len(runs), float(np.trace(block)) / len(runs)
            # What varies with units in all seeds, and what in one alone.
            alike = (float(block.sum()) - num * own) / (num * (num - 1))
            between = float(self.scores[runs].var(ddof=1))
            least = max(0.0, own - alike)
            seeds.append(SeedVariance(max(between, least), num, df if least > between else None))
            together += alike
        value = float(sum(sign * self.scores[runs].mean() for sign, runs in means))
        return SettingEstimate(value, tuple(seeds), max(0.0, together - shared), df)
