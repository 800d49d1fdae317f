"""How far two attributions of the same units agree, and how loud the sound is there."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, spearmanr

from mmemo.explanation.unrelated import unrelated

Floats = NDArray[np.float64]

TOP_SHARE = 0.2
"""Share of the units that the overlap of the most important ones looks at."""

MIN_UNITS = 3
"""Fewer units have no rank correlation worth the name."""

NUM_DRAWS = 999
"""Unrelated attributions that an agreement is held against."""


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


def loudness_envelope(waveform: Floats, frame_samples: int) -> Floats:
    """Root mean square of each frame (F,) of a waveform (T,); the last frame may be shorter.

    Raises:
        ValueError: If the waveform is empty.
    """
    if len(waveform) == 0:
        raise ValueError("expected a waveform with samples, got an empty one")
    starts = np.arange(0, len(waveform), frame_samples)
    energy = np.add.reduceat(np.square(waveform, dtype=np.float64), starts)
    lengths = np.diff([*starts, len(waveform)])
    loudness: Floats = np.sqrt(energy / lengths)
    return loudness


def _check_same_units(a: Floats, b: Floats) -> None:
    if a.shape != b.shape or a.ndim != 1 or len(a) == 0:
        raise ValueError(
            f"expected two attributions of the same units, got shapes {a.shape} and {b.shape}"
        )
