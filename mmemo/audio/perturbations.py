"""Sound made otherwise: louder, faster, higher, by numbers that are drawn or fixed.

Every perturbation is called with a waveform, its rate and a generator, of which alone its draws
depend: training calls it with another one for each utterance and epoch, a test of robustness with
one for each utterance. Equal ends of a range fix what is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

import numpy as np

from mmemo.audio.denoisers import Samples
from mmemo.errors import InputError
from mmemo.extras import import_package
from mmemo.values import check_real

MAX_SEMITONES = 24.0
MIN_RATE, MAX_RATE = 0.1, 10.0


class Perturbation(Protocol):
    """Makes sound otherwise. Instances are copied into the loader's processes.

    It may have a ``probability`` with which training applies it to an utterance (1 where it has
    none), a ``check()`` that finds out early what it would fail by, and a ``use_sounds(sounds)``
    that is called with the sounds of the training split before the first epoch.
    """

    def __call__(self, waveform: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
        """Perturb one utterance.

        Args:
            waveform: (T,) float32, full scale at 1; left as it is.
            sample_rate: In Hz.
            rng: What the draws come from.

        Returns:
            (S,) float32 at the same rate; of another length where the perturbation changes it.
        """
        ...


@dataclass(frozen=True)
class Gain:
    """Louder or softer by a number of decibels.

    Args:
        min_gain_db: Least gain; negative for softer.
        max_gain_db: Most.
        probability: Share of the utterances that training applies it to.

    Raises:
        InputError: If a number is out of its range.
    """

    min_gain_db: float = -10.0
    max_gain_db: float = 6.0
    probability: float = 0.5

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_probability("gain", self.probability)
        check_range("gain", "gain_db", self.min_gain_db, self.max_gain_db)

    def __call__(self, waveform: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
        """Multiply (T,) by 10^(gain / 20)."""
        gain_db = rng.uniform(self.min_gain_db, self.max_gain_db)
        return waveform * np.float32(10 ** (gain_db / 20))


@dataclass(frozen=True)
class Speed:
    """Faster and higher, or slower and lower, as a tape that is played at another speed.

    Source: Ko et al. 2015, "Audio augmentation for speech recognition". Resampled by soxr.

    Args:
        min_speed: Least speed; 0.9 makes sound 1 / 0.9 times as long.
        max_speed: Most.
        probability: Share of the utterances that training applies it to.

    Raises:
        InputError: If a number is out of its range.
    """

    min_speed: float = 0.9
    max_speed: float = 1.1
    probability: float = 0.5

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_probability("speed", self.probability)
        check_range("speed", "speed", self.min_speed, self.max_speed, MIN_RATE, MAX_RATE)

    def check(self) -> None:
        """Load the package.

        Raises:
            InputError: If it is not installed.
        """
        load_package("soxr", "speed")

    def __call__(self, waveform: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
        """(T,) to (round(T / speed),)."""
        speed = rng.uniform(self.min_speed, self.max_speed)
        soxr = load_package("soxr", "speed")
        return of_length(
            soxr.resample(waveform, sample_rate * speed, sample_rate), round(len(waveform) / speed)
        )


@dataclass(frozen=True)
class Tempo:
    """Faster or slower at the same pitch, by audiomentations (Signalsmith Stretch).

    Args:
        min_tempo: Least tempo; 0.9 makes sound 1 / 0.9 times as long.
        max_tempo: Most.
        probability: Share of the utterances that training applies it to.

    Raises:
        InputError: If a number is out of its range.
    """

    min_tempo: float = 0.9
    max_tempo: float = 1.1
    probability: float = 0.5

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_probability("tempo", self.probability)
        check_range("tempo", "tempo", self.min_tempo, self.max_tempo, MIN_RATE, MAX_RATE)

    def check(self) -> None:
        """Load the package.

        Raises:
            InputError: If it is not installed.
        """
        load_package("audiomentations", "tempo")

    def __call__(self, waveform: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
        """(T,) to (round(T / tempo),)."""
        tempo = rng.uniform(self.min_tempo, self.max_tempo)
        library = load_package("audiomentations", "tempo")
        transform = library.TimeStretch(leave_length_unchanged=False)
        transform.parameters = {"rate": tempo}
        stretched = transform.apply(np.ascontiguousarray(waveform), sample_rate)
        return of_length(stretched, round(len(waveform) / tempo))


@dataclass(frozen=True)
class Pitch:
    """Higher or lower at the same tempo, by audiomentations (Signalsmith Stretch).

    Args:
        min_semitones: Least shift; negative for lower.
        max_semitones: Most.
        probability: Share of the utterances that training applies it to.

    Raises:
        InputError: If a number is out of its range.
    """

    min_semitones: float = -2.0
    max_semitones: float = 2.0
    probability: float = 0.5

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_probability("pitch", self.probability)
        ends = (self.min_semitones, self.max_semitones)
        check_range("pitch", "semitones", *ends, -MAX_SEMITONES, MAX_SEMITONES)

    def check(self) -> None:
        """Load the package.

        Raises:
            InputError: If it is not installed.
        """
        load_package("audiomentations", "pitch")

    def __call__(self, waveform: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
        """(T,) to (T,)."""
        semitones = rng.uniform(self.min_semitones, self.max_semitones)
        transform = load_package("audiomentations", "pitch").PitchShift()
        transform.parameters = {"num_semitones": semitones}
        shifted = transform.apply(np.ascontiguousarray(waveform), sample_rate)
        return of_length(shifted, len(waveform))


def check_probability(name: str, probability: float) -> None:
    """Refuse what is no probability.

    Raises:
        InputError: If it is not within 0 and 1.
    """
    check_real(f"augmentation.{name}.probability", probability, 0)
    if probability > 1:
        raise InputError(
            f"augmentation.{name}.probability: expected at most 1, got {probability:g}"
        )


def check_range(
    name: str,
    quantity: str,
    least: float,
    most: float,
    minimum: float = -np.inf,
    maximum: float = np.inf,
) -> None:
    """Refuse ends between which nothing can be drawn.

    Args:
        name: Of the perturbation, for the message.
        quantity: What is drawn.
        least: One end.
        most: The other one.
        minimum: The least that either may be.
        maximum: The most.

    Raises:
        InputError: If they are no numbers, out of their range, or the wrong way round.
    """
    where = f"augmentation.{name}"
    check_real(f"{where}.min_{quantity}", least, minimum)
    check_real(f"{where}.max_{quantity}", most, minimum)
    if most > maximum:
        raise InputError(f"{where}.max_{quantity}: expected at most {maximum:g}, got {most:g}")
    if least > most:
        raise InputError(
            f"{where}: expected min_{quantity} of at most max_{quantity}, got {least:g} and "
            f"{most:g}; change one of them"
        )


def load_package(package: str, name: str) -> ModuleType:
    """A package of the extra.

    Args:
        package: What is imported.
        name: Of the perturbation that needs it.

    Raises:
        InputError: If it is not installed.
    """
    return import_package(f"augmentation={name}", package, "augmentation")


def of_length(waveform: Samples, length: int) -> Samples:
    """(T,) cut, or padded with silence, to (length,) float32; of one sample at least."""
    length = max(length, 1)
    fitted = np.zeros(length, dtype=np.float32)
    fitted[: min(len(waveform), length)] = waveform[:length]
    return fitted
