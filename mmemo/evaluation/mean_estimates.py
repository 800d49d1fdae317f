"""Means of one number of each utterance, with intervals that know which utterances belong together.

Source: of one mean, the t interval with standard errors that are robust to clusters (Liang and
Zeger 1986); of a difference, Welch 1947 with Satterthwaite's degrees of freedom. Where each
utterance is a unit of its own, these are Student's and Welch's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

Floats = NDArray[np.float64]

CONFIDENCE = 0.95

NUM_PERMUTATIONS = 4999

ROUNDING = 1e-9
"""Share by which two statistics that are equal may differ."""

MIN_UNITS = 5
"""Units from which a mean has an interval: below, a few values decide how wide it is."""


@dataclass(frozen=True)
class MeanEstimate:
    """A mean, or the difference of two, and how well it is known.

    Args:
        value: The mean or difference.
        standard_error: Standard error of the value.
        df: Degrees of freedom of the standard error.
        num_units: Behind the value; of a difference the smaller number.
        least_p: p where all units are on one side and none differs from another.
    """

    value: float
    standard_error: float
    df: float
    num_units: int
    least_p: float

    @property
    def is_known(self) -> bool:
        """Whether there are units enough for an interval."""
        return self.num_units >= MIN_UNITS

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 %, by t; None below five units, or where nothing varies, which is no certainty."""
        if not self.is_known or self.standard_error == 0:
            return None
        half = float(stdtrit(self.df, (1 + CONFIDENCE) / 2)) * self.standard_error
        return self.value - half, self.value + half

    def p(self, reference: float = 0.0) -> float | None:
        """Two-sided p that the value is the reference; None below five units."""
        if not self.is_known:
            return None
        distance = abs(self.value - reference)
        if self.standard_error == 0:
            return self.least_p if distance > 0 else 1.0
        return float(2 * stdtr(self.df, -distance / self.standard_error))


def estimate_mean(values: Sequence[float], units: Sequence[str]) -> MeanEstimate:
    """The mean of some values.

    Args:
        values: (N,), at least one.
        units: (N,), what each belongs to.
    """
    mean, sums, df = _influences(values, units)
    num = len(sums)
    error = float(np.sqrt(sum(part**2 for part in sums.values())))
    return MeanEstimate(mean, error, df, num, 2.0 ** (1 - num))


def estimate_difference(
    values: Sequence[float],
    units: Sequence[str],
    others: Sequence[float],
    other_units: Sequence[str],
) -> MeanEstimate:
    """The mean of some values minus that of others; a unit may have values among both.

    Args:
        values: (N,), at least one.
        units: (N,).
        others: (M,), at least one.
        other_units: (M,).
    """
    first, sums, df = _influences(values, units)
    second, other_sums, other_df = _influences(others, other_units)
    # What a unit adds to both means cancels in part.
    names = sorted(set(sums) | set(other_sums))
    error = np.sqrt(sum((sums.get(n, 0.0) - other_sums.get(n, 0.0)) ** 2 for n in names))
    parts = [sum(part**2 for part in found.values()) for found in (sums, other_sums)]
    squares = sum(v**2 / d for v, d in zip(parts, (df, other_df), strict=True) if v > 0)
    welch = sum(parts) ** 2 / squares if squares > 0 else df + other_df
    num = min(len(sums), len(other_sums))
    least = 2 / comb(len(sums) + len(other_sums), num)
    return MeanEstimate(first - second, float(error), welch, num, min(1.0, least))


def permutation_p(
    values: Sequence[float],
    units: Sequence[str],
    others: Sequence[float],
    other_units: Sequence[str],
) -> float | None:
    """Two-sided p that some values have the mean of others, whatever their distribution.

    Which units' values are which is drawn anew, and Welch's statistic is held against those of the
    draws: exact where both are distributed alike, and close where their variances differ. What a
    unit has among both counts as two, which errs on the safe side. Source: Janssen 1997,
    "Studentized permutation tests for non-i.i.d. hypotheses".

    Returns:
        None below five units on either side, or where nothing varies.
    """
    parts = [_blocks(values, units), _blocks(others, other_units)]
    num, num_others = (len(part[0]) for part in parts)
    if min(num, num_others) < MIN_UNITS:
        return None
    sums, sizes = (np.concatenate(column) for column in zip(*parts, strict=True))
    columns = np.stack([sums, sizes, sums**2, sums * sizes, sizes**2], axis=1)
    random = np.random.default_rng(0)
    seen = np.arange(len(sums)) < num
    drawn = [random.permutation(seen) for _ in range(NUM_PERMUTATIONS)]
    first = np.array([seen, *drawn], dtype=np.float64) @ columns
    found = np.abs(_welch(first, num, columns.sum(axis=0) - first, num_others))
    if not np.isfinite(found[0]):
        return None
    # The one that was seen is one of them; a draw without any variation is as far as can be.
    return float((~(found < found[0] * (1 - ROUNDING))).mean())


def _blocks(values: Sequence[float], units: Sequence[str]) -> tuple[Floats, Floats]:
    """Sum and number of each unit's values."""
    _, number = np.unique(np.asarray(units, dtype=str), return_inverse=True)
    sums = np.bincount(number, weights=np.asarray(values, dtype=np.float64))
    return sums.astype(np.float64), np.bincount(number).astype(np.float64)


def _welch(first: Floats, num: int, second: Floats, num_others: int) -> Floats:
    """Welch's statistics (R,) from summed columns (R, 5) of both sides' units."""

    def mean_and_variance(columns: Floats, num_units: int) -> tuple[Floats, Floats]:
        sums, sizes, squares, products, square_sizes = columns.T
        mean = sums / sizes
        spread = squares - 2 * mean * products + mean**2 * square_sizes
        return mean, np.maximum(spread, 0) / sizes**2 * num_units / (num_units - 1)

    (mean, variance), (other, its) = (
        mean_and_variance(columns, size) for columns, size in ((first, num), (second, num_others))
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic: Floats = (mean - other) / np.sqrt(variance + its)
    return statistic


def _influences(
    values: Sequence[float], units: Sequence[str]
) -> tuple[float, dict[str, float], float]:
    """The mean, what each unit adds to its error, and the degrees of freedom.

    Units count by their effective number (Kish 1965): of unequal sizes there are as if fewer.
    """
    names, number = np.unique(np.asarray(units, dtype=str), return_inverse=True)
    given = np.asarray(values, dtype=np.float64)
    mean = float(given.mean())
    sums = np.bincount(number, weights=given - mean) / len(given)
    sizes = np.bincount(number)
    effective = float(sizes.sum() ** 2 / np.square(sizes.astype(np.float64)).sum())
    # One unit has no error that could be told; nothing is asked of it.
    scale = np.sqrt(len(names) / (len(names) - 1)) if len(names) > 1 else 0.0
    by_name = {str(n): float(part) for n, part in zip(names, sums * scale, strict=True)}
    return mean, by_name, max(effective - 1, 1e-9)


class MeanInterval(TypedDict):
    """A mean with its 95 % interval, as a row of a summary has it.

    ``low`` and ``high`` are None where ``num_units`` is below five, or nothing varies.
    """

    mean: float
    low: float | None
    high: float | None
    num_units: int


def mean_interval(values: Sequence[float], units: Sequence[str] | None = None) -> MeanInterval:
    """Mean with its 95 % interval.

    Args:
        values: (N,), at least one.
        units: (N,), what each belongs to; None where each is a unit of its own.
    """
    estimate = estimate_mean(values, units or [str(place) for place in range(len(values))])
    low, high = estimate.interval or (None, None)
    return {"mean": estimate.value, "low": low, "high": high, "num_units": estimate.num_units}
