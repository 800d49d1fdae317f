"""Where in the clip an attribution lies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NUM_TENTHS = 10
PAPER_SAMPLE_RATE = 16_000
PAPER_SAMPLES = 128_000
"""The 8 s that the paper cuts or pads every clip to."""

ZONE_SAMPLES = 10_000

Zone = tuple[int, int]
"""From one sample to another, at the paper's 16 kHz."""


def frame_edges(num_frames: int, frame_samples: int, num_samples: int) -> Floats:
    """Samples (F + 1,) where frames begin and the last one ends."""
    edges = np.arange(num_frames + 1, dtype=np.float64) * frame_samples
    edges[-1] = num_samples
    return edges


def sums_between(values: Floats, edges: Floats, bounds: Floats) -> Floats:
    """Sums (B,) of frames' values (F,) between bounds (B + 1,), frames cut in proportion.

    Args:
        values: Of the frames.
        edges: (F + 1,), increasing, where frames begin and end.
        bounds: Increasing, in the same unit; nothing lies before the first edge or behind the last.
    """
    behind = np.concatenate([[0.0], np.cumsum(values)])
    sums: Floats = np.diff(np.interp(bounds, edges, behind))
    return sums


def shares_by_tenth(values: Floats, edges: Floats) -> Floats | None:
    """Share (10,) of an attribution's size in each tenth of the real sound; None if it is 0."""
    bounds = np.linspace(edges[0], edges[-1], NUM_TENTHS + 1)
    return _shares(sums_between(np.abs(values), edges, bounds))


def share_in_zones(
    values: Floats, edges: Floats, sample_rate: int, zones: Sequence[Zone]
) -> float | None:
    """Share of the size of an attribution that lies in zones of the paper; None if it is 0.

    Values of 1 in frames of equal length give the share of the sound's length.
    """
    total = np.abs(values).sum()
    if total == 0:
        return None
    inside = sum(
        sums_between(np.abs(values), edges, np.array(zone) * sample_rate / PAPER_SAMPLE_RATE)[0]
        for zone in zones
    )
    return float(inside / total)


def length_in_zones(edges: Floats, sample_rate: int, zones: Sequence[Zone]) -> float:
    """Share of the sound's length in zones: what an attribution spread evenly would have there."""
    share = share_in_zones(np.diff(edges), edges, sample_rate, zones)
    return 0.0 if share is None else share


def paper_zones() -> list[Zone]:
    """The paper's 128,000 samples in zones of 10,000; the last one is shorter."""
    starts = range(0, PAPER_SAMPLES, ZONE_SAMPLES)
    return [(start, min(start + ZONE_SAMPLES, PAPER_SAMPLES)) for start in starts]


def _shares(sums: Floats) -> Floats | None:
    total = sums.sum()
    return sums / total if total > 0 else None
