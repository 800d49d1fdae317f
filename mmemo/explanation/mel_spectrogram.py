"""Mel spectrogram of a short sound, for looking at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

Floats = NDArray[np.float64]

WINDOW_MS = 25.0
HOP_MS = 10.0
NUM_BANDS = 64
DYNAMIC_RANGE_DB = 70.0


def mel(frequency_hz: Floats) -> Floats:
    """Frequencies in mel, by O'Shaughnessy's formula (HTK)."""
    mels: Floats = 2595.0 * np.log10(1.0 + frequency_hz / 700.0)
    return mels


def mel_edges_hz(highest_hz: float) -> Floats:
    """Edges (66,) in Hz of 64 overlapping triangles at equal distances in mel, from 0 Hz up."""
    edges = np.linspace(0.0, mel(np.array([highest_hz]))[0], NUM_BANDS + 2)
    hz: Floats = 700.0 * (10.0 ** (edges / 2595.0) - 1.0)
    return hz


def mel_position(frequency_hz: Floats, highest_hz: float) -> Floats:
    """Where frequencies stand on the axis of the 64 bands, from the first one's lower edge.

    Args:
        frequency_hz: Any number of them.
        highest_hz: The upper edge of the last band: half the sample rate.
    """
    # The middle of the first triangle stands at half a band.
    position: Floats = mel(frequency_hz) / mel(np.array(highest_hz)) * (NUM_BANDS + 1) - 0.5
    return position


def mel_filters(frequencies_hz: Floats) -> Floats:
    """Triangles (64, F) over the frequencies (F,) of a spectrum, 1 at their tops."""
    edges = mel_edges_hz(float(frequencies_hz[-1]))[:, None]
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    up = (frequencies_hz - low) / (middle - low)
    down = (high - frequencies_hz) / (high - middle)
    filters: Floats = np.maximum(0.0, np.minimum(up, down))
    return filters


def mel_spectrogram_db(sound: NDArray[np.float32], sample_rate: int) -> Floats:
    """Power (64, N) by mel band and 10 ms step in dB below the loudest, at most 70 dB down.

    Args:
        sound: (T,), at least one sample.
        sample_rate: Of the sound, in Hz.
    """
    window, hop = (round(ms * sample_rate / 1000) for ms in (WINDOW_MS, HOP_MS))
    padded = np.pad(sound.astype(np.float64), (0, max(0, window - len(sound))))
    transform = ShortTimeFFT(hann(window, sym=False), hop, fs=sample_rate, mfft=4 * window)
    steps = max(1, -(-len(sound) // hop))
    power = transform.spectrogram(padded, p0=0, p1=steps)
    bands = mel_filters(np.asarray(transform.f)) @ power
    loudest = bands.max()
    if loudest <= 0:
        return np.full(bands.shape, -DYNAMIC_RANGE_DB)
    floor = loudest * 10 ** (-DYNAMIC_RANGE_DB / 10)
    decibels: Floats = 10 * np.log10(np.maximum(bands, floor) / loudest)
    return decibels
