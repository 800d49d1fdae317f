"""Noise at a signal-to-noise ratio: of recordings in a folder, or of many voices at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from mmemo.audio.denoisers import Samples
from mmemo.audio.media_error import MediaError
from mmemo.audio.perturbations import check_probability, check_range
from mmemo.errors import InputError
from mmemo.values import check_whole

MAX_NOISE_S = 60.0
"""Of a longer recording the beginning is taken."""

NUM_KEPT = 64
"""Recordings that a process keeps decoded."""


def mixed_at(waveform: Samples, noise: Samples, snr_db: float) -> Samples:
    """Add noise so that the energies stand in a given ratio.

    Args:
        waveform: (T,) float32.
        noise: (T,) float32 of any level.
        snr_db: 10 log10 of the waveform's energy over the noise's.

    Returns:
        (T,) float32; the waveform as it is, where it or the noise is silent.
    """
    energy, noise_energy = (np.sum(np.square(part, dtype=np.float64)) for part in (waveform, noise))
    if energy == 0 or noise_energy == 0:
        return waveform
    scale = np.sqrt(energy / noise_energy) * 10 ** (-snr_db / 20)
    mixed: Samples = (waveform + noise * scale).astype(np.float32)
    return mixed


@dataclass(frozen=True)
class BackgroundNoise:
    """A stretch of a recording out of a folder, such as MUSAN's or DEMAND's noises.

    The recording, the stretch of it, repeated where it is too short, and the ratio are drawn.

    Args:
        folder: Sound files, in subfolders too; read as clips are.
        min_snr_db: Least ratio of the utterance's energy to the noise's, in dB.
        max_snr_db: Most.
        probability: Share of the utterances that training applies it to.

    Raises:
        InputError: If a number is out of its range.
    """

    folder: str | Path
    min_snr_db: float = 5.0
    max_snr_db: float = 20.0
    probability: float = 0.5

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_probability("noise", self.probability)
        check_range("noise", "snr_db", self.min_snr_db, self.max_snr_db)

    def check(self) -> None:
        """Look for the recordings.

        Raises:
            InputError: If there is none, or the first one cannot be read.
        """
        _decoded(self._files()[0], 16_000)

    def state(self) -> str:
        """Names, sizes and times of the recordings: another folder content is another noise."""
        found = [(file.name, file.stat()) for file in self._files()]
        return "\n".join(f"{name} {told.st_size} {told.st_mtime_ns}" for name, told in found)

    def __call__(self, waveform: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
        """(T,) to (T,)."""
        files = self._files()
        noise = _decoded(files[int(rng.integers(len(files)))], sample_rate)
        start = int(rng.integers(max(len(noise) - len(waveform), 0) + 1))
        noise = np.resize(noise[start : start + len(waveform)], len(waveform))
        return mixed_at(waveform, noise, rng.uniform(self.min_snr_db, self.max_snr_db))

    def _files(self) -> tuple[Path, ...]:
        return _sound_files(Path(self.folder))


@dataclass(frozen=True)
class Babble:
    """Several voices of the training split at once.

    Each is a stretch of another utterance, of equal energy; by chance one of them may be the
    utterance itself.

    Args:
        min_voices: Least number of voices.
        max_voices: Most.
        min_snr_db: Least ratio of the utterance's energy to that of all voices, in dB.
        max_snr_db: Most.
        probability: Share of the utterances that training applies it to.

    Raises:
        InputError: If a number is out of its range.
    """

    min_voices: int = 3
    max_voices: int = 7
    min_snr_db: float = 5.0
    max_snr_db: float = 20.0
    probability: float = 0.5
    _sounds: list[Sequence[Samples]] = field(
        default_factory=list, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_probability("babble", self.probability)
        check_whole("augmentation.babble.min_voices", self.min_voices, 1)
        check_whole("augmentation.babble.max_voices", self.max_voices, self.min_voices)
        check_range("babble", "snr_db", self.min_snr_db, self.max_snr_db)

    def use_sounds(self, sounds: Sequence[Samples]) -> None:
        """Take the voices from sounds (T,) float32, all at the rate of what is perturbed."""
        self._sounds[:] = [sounds]

    def __call__(self, waveform: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
        """(T,) to (T,).

        Raises:
            ValueError: If there are no voices.
        """
        if not self._sounds or len(self._sounds[0]) == 0:
            raise ValueError("expected sounds to make babble of, got none: call use_sounds")
        (sounds,) = self._sounds
        babble = np.zeros(len(waveform), dtype=np.float32)
        for _ in range(int(rng.integers(self.min_voices, self.max_voices, endpoint=True))):
            voice = sounds[int(rng.integers(len(sounds)))]
            start = int(rng.integers(len(voice))) if len(voice) else 0
            level = np.sqrt(np.mean(np.square(voice, dtype=np.float64))) if len(voice) else 0.0
            if level > 0:
                voice = np.resize(np.roll(voice, -start), len(waveform))
                babble += (voice / level).astype(np.float32)
        return mixed_at(waveform, babble, rng.uniform(self.min_snr_db, self.max_snr_db))


@lru_cache(maxsize=4)
def _sound_files(folder: Path) -> tuple[Path, ...]:
    """Files below a folder that are called as sound, in order of their names.

    Raises:
        InputError: If there is none.
    """
    suffixes = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".aiff")
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in suffixes and f.is_file())
    if not files:
        raise InputError(
            f"augmentation.noise.folder: expected sound files ({', '.join(suffixes)}) in {folder}, "
            "found none; name the folder of the noises"
        )
    return tuple(files)


@lru_cache(maxsize=NUM_KEPT)
def _decoded(path: Path, sample_rate: int) -> Samples:
    """The beginning of a recording, (T,) at a rate.

    Raises:
        InputError: If it cannot be read.
    """
    # Imported here: FFmpeg is needed for no other perturbation.
    from mmemo.audio.media import decode, resample

    try:
        sound = decode(path, limit_s=MAX_NOISE_S)
    except MediaError as error:
        raise InputError(
            f"augmentation.noise.folder: {error.reason}: {error}; take it out of the folder"
        ) from error
    waveform = sound.waveform[: round(MAX_NOISE_S * sound.sample_rate)]
    return resample(waveform, sound.sample_rate, sample_rate)
