"""Attributions that are like one of an utterance and tell nothing of it: what chance looks like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEVEL = 0.05
"""Two-sided p up to which something is said of one utterance."""

MIN_DRAWS = 39
"""Fewer have no p as low: 2 (1 + 0) / (1 + 39) = 0.05."""


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
