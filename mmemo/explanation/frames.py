"""Frames of sound that attributions are given by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FRAME_MS = 20.0


def frame_samples(sample_rate: int) -> int:
    """Samples of a frame at a rate in Hz."""
    return round(FRAME_MS * sample_rate / 1000)


def frame_sums(samples: Floats, sample_rate: int) -> Floats:
    """Signed sums over frames (F,) of values of samples (T,); the last frame may be shorter."""
    if len(samples) == 0:
        return np.zeros(0)
    starts = np.arange(0, len(samples), frame_samples(sample_rate))
    sums: Floats = np.add.reduceat(np.asarray(samples, dtype=np.float64), starts)
    return sums


def frame_means(samples: Floats, sample_rate: int) -> Floats:
    """Means over frames (F,) of values of samples (T,); the last frame may be shorter."""
    return frame_sums(samples, sample_rate) / frame_sums(np.ones(len(samples)), sample_rate)
