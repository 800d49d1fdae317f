"""How far two attributions of the same units agree, and how loud the sound is there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

Floats = NDArray[np.float64]

TOP_SHARE = 0.2
"""Share of the units that the overlap of the most important ones looks at."""

MIN_UNITS = 3
"""Fewer units have no rank correlation worth the name."""


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
