"""What lies between a speaker and a file: a telephone, an overdriven input, pauses cut or added."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import signal

from mmemo.audio.coding import coded
from mmemo.audio.denoisers import Samples
from mmemo.audio.perturbations import check_probability, check_range

LOWEST_HZ, HIGHEST_HZ = 300.0, 3400.0
FILTER_ORDER = 4
PADDING = 27
"""Samples that the filter sees before the first one; fewer where there are fewer."""

FRAME_S = 0.02


@dataclass(frozen=True)
class Telephone:
    """The band of a telephone, 300 to 3400 Hz, and G.711's µ-law at 8 kHz.

    Args:
        probability: Share of the utterances that training applies it to.

    Raises:
        InputError: If it is no probability.
    """

    probability: float = 0.5

    def __post_init__(self) -> None:
        """Check the number."""
        check_probability("telephone", self.probability)

    def __call__(self, waveform: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
        """(T,) to (T,)."""
        band = signal.butter(
            FILTER_ORDER, (LOWEST_HZ, HIGHEST_HZ), "bandpass", fs=sample_rate, output="sos"
        )
        # Forwards and backwards: nothing is moved in time.
        heard = signal.sosfiltfilt(band, waveform, padlen=min(len(waveform) - 1, PADDING))
        return coded(np.ascontiguousarray(heard, np.float32), sample_rate, "telephone", 64.0)


@dataclass(frozen=True)
class Clipping:
    """An overdriven input: what is above a share of the highest peak is cut off.

    Args:
        min_level: Least share of the peak that is left.
        max_level: Most; 1 leaves the sound as it is.
        probability: Share of the utterances that training applies it to.

    Raises:
        InputError: If a number is out of its range.
    """

    min_level: float = 0.1
    max_level: float = 0.5
    probability: float = 0.5

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_probability("clipping", self.probability)
        check_range("clipping", "level", self.min_level, self.max_level, 0.001, 1.0)

    def __call__(self, waveform: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
        """(T,) to (T,)."""
        level = rng.uniform(self.min_level, self.max_level)
        limit = np.float32(level * float(np.abs(waveform).max(initial=0.0)))
        return np.clip(waveform, -limit, limit)


@dataclass(frozen=True)
class PaddedSilence:
    """Digital silence in front and behind, as long each.

    Args:
        min_pad_s: Least length of each, in seconds.
        max_pad_s: Most.
        probability: Share of the utterances that training applies it to.

    Raises:
        InputError: If a number is out of its range.
    """

    min_pad_s: float = 0.25
    max_pad_s: float = 1.0
    probability: float = 0.5

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_probability("padded_silence", self.probability)
        check_range("padded_silence", "pad_s", self.min_pad_s, self.max_pad_s, 0.0, 60.0)

    def __call__(self, waveform: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
        """(T,) to (T + 2 round(pad · rate),)."""
        pad = round(rng.uniform(self.min_pad_s, self.max_pad_s) * sample_rate)
        padded: Samples = np.pad(waveform, (pad, pad))
        return padded


@dataclass(frozen=True)
class CutSilence:
    """Silence at both ends taken away: frames of 20 ms far below the loudest one.

    Args:
        min_below_db: Least number of decibels below the loudest frame that counts as silence.
        max_below_db: Most.
        probability: Share of the utterances that training applies it to.

    Raises:
        InputError: If a number is out of its range.
    """

    min_below_db: float = 30.0
    max_below_db: float = 50.0
    probability: float = 0.5

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_probability("cut_silence", self.probability)
        check_range("cut_silence", "below_db", self.min_below_db, self.max_below_db, 1.0, 120.0)

    def __call__(self, waveform: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
        """(T,) to what is left, from the first frame that is loud enough to the last one."""
        below_db = rng.uniform(self.min_below_db, self.max_below_db)
        frame = max(round(FRAME_S * sample_rate), 1)
        num = -(-len(waveform) // frame)
        padded = np.pad(waveform, (0, num * frame - len(waveform))).reshape(num, frame)
        energy = np.square(padded, dtype=np.float64).mean(axis=1)
        is_loud = energy > energy.max(initial=0.0) * 10 ** (-below_db / 10)
        if not is_loud.any():
            return waveform
        first, last = np.flatnonzero(is_loud)[[0, -1]]
        return waveform[first * frame : (last + 1) * frame]
