"""How far attributions agree, and what unrelated ones do in their place: what chance looks like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, spearmanr

Floats = NDArray[np.float64]

LEVEL = 0.05
"""Two-sided p up to which something is said of one utterance.

Fewer than 39 draws have none as low: 2 (1 + 0) / (1 + 39) = 0.05.
"""

TOP_SHARE = 0.2
"""Share of the units that the overlap of the most important ones looks at."""

MIN_UNITS = 3
"""Fewer units have no rank correlation worth the name."""

NUM_DRAWS = 999
"""Unrelated attributions that an agreement is held against."""


def unrelated(attribution: Floats, num: int, random: np.random.Generator, is_sound: bool) -> Floats:
    """Attributions (num, U) that are as smooth in time as one of U units, and unrelated to it.

    Of words it is the attribution in random orders. Of frames of sound it is the attribution moved
    in time by a random number of frames, around the ends, forwards or backwards: single frames
    taken out here and there harm speech more than the same share in one piece, so that beside
    scattered orders any smooth attribution would look right. Whatever its distribution, it keeps
    its smoothness at every level; noise with its spectrum (Theiler et al. 1992) does not, and made
    an attribution of few peaks look right that was none (``benchmarks/statistics.py``).

    Source: the group of circular shifts, from which draws with replacement give a valid p (Hemerik
    and Goeman 2018, "Exact testing with random permutations").
    """
    size = len(attribution)
    if not is_sound:
        return random.permuted(np.tile(attribution, (num, 1)), axis=1)
    places = (np.arange(size) + random.integers(size, size=(num, 1))) % size
    backwards = random.integers(2, size=(num, 1)) == 1
    moved: Floats = attribution[np.where(backwards, size - 1 - places, places)]
    return moved


@dataclass(frozen=True)
class Chance:
    """How a number stands among those of unrelated attributions.

    Args:
        p: Two-sided, the number counted as one of them (Phipson and Smyth 2010).
        side: 1 if it is above most of them, -1 if below.
    """

    p: float
    side: int

    @classmethod
    def of(cls, value: float, by_chance: Floats) -> Chance:
        """Of a value among others (K,); those that differ by rounding count on both sides."""
        size = 1e-9 * max(1.0, abs(value))
        above = int((by_chance >= value - size).sum()) + 1
        below = int((by_chance <= value + size).sum()) + 1
        p = min(1.0, 2 * min(above, below) / (len(by_chance) + 1))
        return cls(p, 1 if above < below else -1)

    @property
    def is_beyond(self) -> bool:
        """Whether the number is beyond the spread of the others."""
        return self.p <= LEVEL + 1e-12


def rank_correlation(a: Floats, b: Floats) -> float | None:
    """Spearman's correlation of two attributions (U,) of the same units.

    None below three units, or where one of them is constant: it is not defined there.
    """
    _check_same_units(a, b)
    if not _are_ranked(a, b):
        return None
    return float(spearmanr(a, b).statistic)


def top_overlap(a: Floats, b: Floats, share: float = TOP_SHARE) -> float | None:
    """Share of the most positive units (at least one) of ``a`` that are also those of ``b``.

    None where there is no rank correlation either.
    """
    _check_same_units(a, b)
    if not _are_ranked(a, b):
        return None
    count = _num_top(len(a), share)
    top_a, top_b = (set(np.argsort(-values, kind="stable")[:count]) for values in (a, b))
    return len(top_a & top_b) / count


def chance_overlap(num_units: int, share: float = TOP_SHARE) -> float:
    """The overlap of two unrelated attributions, on average."""
    return _num_top(num_units, share) / num_units


def chance_correlations(attributions: Sequence[Floats], seed: int, is_sound: bool) -> Floats:
    """What the mean rank correlation of all pairs is where they are unrelated: (K,).

    Args:
        attributions: At least two of the same units (U,), none of them constant.
        seed: Of the draws.
        is_sound: Whether the units are frames; see ``unrelated``.
    """
    random = np.random.default_rng(seed)
    ranked = [_standard_ranks(attributions[0][None])]
    for attribution in attributions[1:]:
        drawn = unrelated(attribution, NUM_DRAWS, random, is_sound)
        ranked.append(_standard_ranks(drawn))
    pairs = [(a * b).mean(axis=1) for a, b in combinations(ranked, 2)]
    mean: Floats = np.mean(np.broadcast_arrays(*pairs), axis=0)
    return mean


def chance_overlaps(
    a: Floats, b: Floats, seed: int, is_sound: bool, share: float = TOP_SHARE
) -> Floats:
    """What the top overlap is where ``b`` (U,) is unrelated to ``a``: (K,)."""
    count = _num_top(len(a), share)
    is_top = np.zeros(len(a), dtype=bool)
    is_top[np.argsort(-a, kind="stable")[:count]] = True
    drawn = unrelated(b, NUM_DRAWS, np.random.default_rng(seed), is_sound)
    first = np.argsort(-drawn, axis=1, kind="stable")[:, :count]
    shares: Floats = is_top[first].mean(axis=1)
    return shares


def _standard_ranks(values: Floats) -> Floats:
    """Ranks of rows (K, U), of mean 0 and variance 1."""
    ranks = rankdata(values, axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    standard: Floats = ranks / ranks.std(axis=1, keepdims=True)
    return standard


def _num_top(num_units: int, share: float) -> int:
    return max(1, round(share * num_units))


def _are_ranked(a: Floats, b: Floats) -> bool:
    return len(a) >= MIN_UNITS and bool(np.ptp(a) > 0 and np.ptp(b) > 0)


def _check_same_units(a: Floats, b: Floats) -> None:
    if a.shape != b.shape or a.ndim != 1 or len(a) == 0:
        raise ValueError(
            f"expected two attributions of the same units, got shapes {a.shape} and {b.shape}"
        )
