"""A sound in frames of 20 ms: sums, loudness, voicing, and shares by place in the clip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FRAME_MS = 20.0

LOWEST_PITCH_HZ = 60.0
HIGHEST_PITCH_HZ = 400.0
PITCH_RATE_HZ = 4_000
"""Enough to tell pitches apart, and sixteen times less work than at 16 kHz."""

MIN_PERIODICITY = 0.5
"""Normalised autocorrelation from which a frame counts as periodic."""

MIN_LOUDNESS = 0.05
"""Quieter frames, as a share of the loudest one's root mean square, count as silence."""

NUM_TENTHS = 10
PAPER_SAMPLE_RATE = 16_000
PAPER_SAMPLES = 128_000
"""The 8 s that the paper cuts or pads every clip to."""

ZONE_SAMPLES = 10_000

Zone = tuple[int, int]
"""From one sample to another, at the paper's 16 kHz."""


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


def frames_between(values: Floats, num_samples: int, sample_rate: int) -> Floats:
    """Values in time at the middle of each frame of 20 ms (F,).

    Between them it is a straight line; before the first and behind the last as there.

    Args:
        values: (N,), each in the middle of its share of the sound, which are equal.
        num_samples: Of the sound.
        sample_rate: Of the sound, in Hz.
    """
    size = frame_samples(sample_rate)
    starts = np.arange(0, num_samples, size)
    middles = (starts + np.minimum(starts + size, num_samples)) / 2
    places = (np.arange(len(values)) + 0.5) * num_samples / len(values)
    return np.asarray(np.interp(middles, places, values), dtype=np.float64)


def loudness_envelope(waveform: Floats, size: int) -> Floats:
    """Root mean square of each frame (F,) of a waveform (T,); the last frame may be shorter.

    Args:
        waveform: (T,), not empty.
        size: Samples of a frame.

    Raises:
        ValueError: If the waveform is empty.
    """
    if len(waveform) == 0:
        raise ValueError("expected a waveform with samples, got an empty one")
    starts = np.arange(0, len(waveform), size)
    energy = np.add.reduceat(np.square(waveform, dtype=np.float64), starts)
    lengths = np.diff([*starts, len(waveform)])
    loudness: Floats = np.sqrt(energy / lengths)
    return loudness


def voiced_frames(sound: NDArray[np.floating[Any]], sample_rate: int) -> NDArray[np.bool_]:
    """Which frames (F,) of a sound (T,) are voiced: periodic at a pitch of speech, and not silent.

    Source: the autocorrelation method (Rabiner 1977), on two periods of the lowest pitch around
    the middle of each 20 ms frame, at a lower rate. A voiced frame is one with harmonics.
    Torchaudio's pitch detector names a pitch for every frame and decides no voicing; librosa's
    pyin does, but comes with an extra alone.

    Args:
        sound: (T,), not empty.
        sample_rate: Of the sound, in Hz.
    """
    size = frame_samples(sample_rate)
    samples = sound.astype(np.float64)
    loud = loudness_envelope(samples, size)
    factor = max(1, sample_rate // PITCH_RATE_HZ)
    slow = np.pad(samples, (0, -len(samples) % factor)).reshape(-1, factor).mean(axis=1)
    rate = sample_rate / factor
    window = 2 * round(rate / LOWEST_PITCH_HZ)
    middles = (np.arange(len(loud)) * size + size // 2) // factor
    padded = np.pad(slow, (window // 2, window))
    parts = np.lib.stride_tricks.sliding_window_view(padded, window)[middles]
    parts = parts - parts.mean(axis=1, keepdims=True)
    lags = range(round(rate / HIGHEST_PITCH_HZ), round(rate / LOWEST_PITCH_HZ) + 1)
    periodicity = np.max([_correlation(parts, lag) for lag in lags], axis=0)
    voiced: NDArray[np.bool_] = (periodicity >= MIN_PERIODICITY) & _is_loud(loud)
    return voiced


def estimated_word_times(
    words: Sequence[str], sound: NDArray[np.floating[Any]], sample_rate: int
) -> list[tuple[float, float]]:
    """Start and end of each word in s, as if each letter took as long as any other.

    The words share what lies between the first and the last frame that is not silent, in
    proportion to their letters and the space behind them. It is an estimate, not an alignment.

    Args:
        words: Of the transcript, in order, as written.
        sound: (T,), not empty.
        sample_rate: Of the sound, in Hz.
    """
    size = frame_samples(sample_rate)
    loud = np.flatnonzero(_is_loud(loudness_envelope(sound.astype(np.float64), size)))
    start, stop = (loud[0], loud[-1] + 1) if len(loud) else (0, -(-len(sound) // size))
    letters = np.array([len(word) + 1 for word in words], dtype=np.float64)
    letters[-1:] -= 1
    edges = np.concatenate([[0.0], np.cumsum(letters) / max(1.0, letters.sum())])
    samples = np.minimum((start + edges * (stop - start)) * size, len(sound))
    times = [float(value) for value in samples / sample_rate]
    return list(zip(times[:-1], times[1:], strict=True))


def _is_loud(loudness: Floats) -> NDArray[np.bool_]:
    loud: NDArray[np.bool_] = (loudness > 0) & (loudness >= MIN_LOUDNESS * loudness.max())
    return loud


def _correlation(parts: Floats, lag: int) -> Floats:
    """Normalised correlation (F,) of windows (F, W) with themselves, ``lag`` samples later."""
    early, late = parts[:, :-lag], parts[:, lag:]
    energy = np.sqrt(np.square(early).sum(axis=1) * np.square(late).sum(axis=1))
    found: Floats = np.divide(
        (early * late).sum(axis=1), energy, out=np.zeros(len(parts)), where=energy > 0
    )
    return found


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
