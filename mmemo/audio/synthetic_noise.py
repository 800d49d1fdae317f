"""Noise that is made and not recorded: white, pink, and the hum of the mains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmemo.audio.added_noise import mixed_at
from mmemo.audio.denoisers import Samples
from mmemo.audio.perturbations import check_probability, check_range
from mmemo.values import check_real


@dataclass(frozen=True)
class WhiteNoise:
    """Noise with as much energy in each hertz, normally distributed.

    Args:
        min_snr_db: Least ratio of the utterance's energy to the noise's, in dB.
        max_snr_db: Most.
        probability: Share of the utterances that training applies it to.

    Raises:
        InputError: If a number is out of its range.
    """

    min_snr_db: float = 5.0
    max_snr_db: float = 20.0
    probability: float = 0.5

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_probability("white", self.probability)
        check_range("white", "snr_db", self.min_snr_db, self.max_snr_db)

    def __call__(self, waveform: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
        """(T,) to (T,)."""
        noise = rng.standard_normal(len(waveform), dtype=np.float32)
        return mixed_at(waveform, noise, rng.uniform(self.min_snr_db, self.max_snr_db))


@dataclass(frozen=True)
class PinkNoise:
    """Noise with as much energy in each octave, from 20 Hz on: much of a room's is like that.

    Args:
        min_snr_db: Least ratio of the utterance's energy to the noise's, in dB.
        max_snr_db: Most.
        probability: Share of the utterances that training applies it to.

    Raises:
        InputError: If a number is out of its range.
    """

    min_snr_db: float = 5.0
    max_snr_db: float = 20.0
    probability: float = 0.5

    LOWEST_HZ = 20.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_probability("pink", self.probability)
        check_range("pink", "snr_db", self.min_snr_db, self.max_snr_db)

    def __call__(self, waveform: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
        """(T,) to (T,)."""
        white = rng.standard_normal(len(waveform))
        frequency_hz = np.fft.rfftfreq(len(waveform), 1 / sample_rate)
        # Energy falls with the frequency: amplitude with its root.
        amplitude = 1 / np.sqrt(np.maximum(frequency_hz, self.LOWEST_HZ))
        amplitude[frequency_hz < self.LOWEST_HZ] = 0
        noise = np.fft.irfft(np.fft.rfft(white) * amplitude, len(waveform)).astype(np.float32)
        return mixed_at(waveform, noise, rng.uniform(self.min_snr_db, self.max_snr_db))


@dataclass(frozen=True)
class Hum:
    """The mains: a tone and its multiples, each weaker by its number, phases drawn.

    Args:
        min_snr_db: Least ratio of the utterance's energy to the hum's, in dB.
        max_snr_db: Most.
        mains_hz: Frequency of the mains: 50, or 60.
        probability: Share of the utterances that training applies it to.

    Raises:
        InputError: If a number is out of its range.
    """

    min_snr_db: float = 5.0
    max_snr_db: float = 20.0
    mains_hz: float = 50.0
    probability: float = 0.5

    NUM_HARMONICS = 10

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_probability("hum", self.probability)
        check_range("hum", "snr_db", self.min_snr_db, self.max_snr_db)
        check_real("augmentation.hum.mains_hz", self.mains_hz, 0, above=True)

    def __call__(self, waveform: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
        """(T,) to (T,)."""
        time_s = np.arange(len(waveform)) / sample_rate
        hum = np.zeros(len(waveform))
        for number in range(1, self.NUM_HARMONICS + 1):
            phase = rng.uniform(0, 2 * np.pi)
            if number * self.mains_hz < sample_rate / 2:
                hum += np.sin(2 * np.pi * number * self.mains_hz * time_s + phase) / number
        snr_db = rng.uniform(self.min_snr_db, self.max_snr_db)
        return mixed_at(waveform, hum.astype(np.float32), snr_db)
