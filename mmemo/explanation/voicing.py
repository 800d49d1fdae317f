"""Where a sound is voiced, and where in it a transcript's words are likely to stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmemo.explanation.agreement import loudness_envelope
from mmemo.explanation.frames import frame_samples
from mmemo.explanation.words import Word

Floats = NDArray[np.float64]

LOWEST_PITCH_HZ = 60.0
HIGHEST_PITCH_HZ = 400.0
PITCH_RATE_HZ = 4_000
"""Enough to tell pitches apart, and sixteen times less work than at 16 kHz."""

MIN_PERIODICITY = 0.5
"""Normalised autocorrelation from which a frame counts as periodic."""

MIN_LOUDNESS = 0.05
"""Quieter frames, as a share of the loudest one's root mean square, count as silence."""


def voiced_frames(sound: NDArray[np.floating[Any]], sample_rate: int) -> NDArray[np.bool_]:
    """Which frames (F,) of a sound (T,) are voiced: periodic at a pitch of speech, and not silent.

    Source: the autocorrelation method (Rabiner 1977), on two periods of the lowest pitch around
    the middle of each 20 ms frame, at a lower rate. A voiced frame is one with harmonics.

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
    voiced: NDArray[np.bool_] = (periodicity >= MIN_PERIODICITY) & _loud(loud)
    return voiced


def estimated_word_times(
    words: Sequence[Word], sound: NDArray[np.floating[Any]], sample_rate: int
) -> list[tuple[float, float]]:
    """Start and end of each word in s, as if each letter took as long as any other.

    The words share what lies between the first and the last frame that is not silent, in
    proportion to their letters and the space behind them. It is an estimate, not an alignment.

    Args:
        words: Of the transcript, in order.
        sound: (T,), not empty.
        sample_rate: Of the sound, in Hz.
    """
    size = frame_samples(sample_rate)
    heard = np.flatnonzero(_loud(loudness_envelope(sound.astype(np.float64), size)))
    start, stop = (heard[0], heard[-1] + 1) if len(heard) else (0, -(-len(sound) // size))
    letters = np.array([len(word.text) + 1 for word in words], dtype=np.float64)
    letters[-1:] -= 1
    edges = np.concatenate([[0.0], np.cumsum(letters) / max(1.0, letters.sum())])
    samples = np.minimum((start + edges * (stop - start)) * size, len(sound))
    times = [float(value) for value in samples / sample_rate]
    return list(zip(times[:-1], times[1:], strict=True))


def _loud(loudness: Floats) -> NDArray[np.bool_]:
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
