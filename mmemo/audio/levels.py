"""What denoising did to the level of each clip, and which clips it may have ruined.

A denoiser fails without an error: loud input is amplified, a quiet voice or speech of a narrow
band is silenced (DeepFilterNet's issues 260, 464 and 417).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmemo.audio.denoisers import Samples

SILENCE_DB = -70.0
"""Sound below this level, in dB of full scale, is taken for silence, whatever the transcript."""

LOST_SHARE = 0.01
"""A clip of speech that keeps less of its energy than this has lost nearly everything."""

LOUDER_DB = 1.0
"""What a denoiser that only takes away may still add by rounding its gains."""

FLOOR_DB = -200.0

LOUDEST_SNR_DB = 40.0
"""Estimates of a signal-to-noise ratio above it are of no noise that could be told."""

SNR_FRAME_S = 0.02
QUIET_SHARE = 0.1
NUM_WORST = 3


def level_db(waveform: Samples) -> float:
    """Root mean square of (T,) in dB of full scale, to a hundredth; at least -200."""
    if len(waveform) == 0:
        return FLOOR_DB
    power = float(np.mean(np.square(waveform, dtype=np.float64)))
    return round(max(10 * math.log10(max(power, 1e-300)), FLOOR_DB), 2)


def removed_snr_db(
    before_db: NDArray[np.float64], after_db: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Signal-to-noise ratios (N,) in dB, where all that a denoiser took away was noise.

    Args:
        before_db: (N,), levels before it.
        after_db: (N,), levels behind it.

    Returns:
        Between -200 and ``LOUDEST_SNR_DB``, which also stands where nothing was taken away.
    """
    kept = 10 ** ((after_db - before_db) / 10)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(kept < 1, kept / (1 - kept), np.where(np.isnan(kept), np.nan, np.inf))
        snr: NDArray[np.float64] = np.clip(10 * np.log10(ratio), FLOOR_DB, LOUDEST_SNR_DB)
    return snr


def frame_snr_db(waveform: Samples, sample_rate: int) -> float:
    """An estimate of the signal-to-noise ratio of speech with pauses, in dB.

    The quietest tenth of its frames of 20 ms is taken for noise alone, as measures by a histogram
    of frame energies do (NIST's STNR). Of speech without a pause it is too low.

    Args:
        waveform: (T,).
        sample_rate: In Hz.

    Returns:
        Between -200 and ``LOUDEST_SNR_DB``; not a number for less than ten frames, or silence.
    """
    size = max(1, round(SNR_FRAME_S * sample_rate))
    num_frames = len(waveform) // size
    frames = np.reshape(waveform[: num_frames * size], (num_frames, size)).astype(np.float64)
    power = np.sort(np.square(frames).mean(axis=1)) if num_frames else np.zeros(0)
    if num_frames < round(1 / QUIET_SHARE) or power[-1] == 0:
        return math.nan
    noise = float(power[: round(num_frames * QUIET_SHARE)].mean())
    speech = float(power.mean()) - noise
    if speech <= 0:
        return FLOOR_DB
    ratio_db = 10 * math.log10(speech / noise) if noise > 0 else LOUDEST_SNR_DB
    return max(FLOOR_DB, min(ratio_db, LOUDEST_SNR_DB))


@dataclass(frozen=True)
class ClipLevel:
    """Level of one clip before and after denoising, in dB of full scale."""

    key: str
    before_db: float
    after_db: float

    def __str__(self) -> str:
        """As it is shown: ``train/dia0_utt1 (-23.1 dB before, -51.0 dB after)``."""
        return f"{self.key} ({self.before_db:.1f} dB before, {self.after_db:.1f} dB after)"


@dataclass(frozen=True)
class DenoisingFaults:
    """Clips that a denoiser may have ruined, by their levels.

    Args:
        num_clips: Kept clips.
        num_lost: Kept clips with words and above silence that keep less than 1 % of their
            energy.
        num_louder: Kept clips that are louder by more than 1 dB.
        lost: The worst of the lost ones.
        louder: The worst of the louder ones.
    """

    num_clips: int
    num_lost: int
    num_louder: int
    lost: tuple[ClipLevel, ...]
    louder: tuple[ClipLevel, ...]

    def sentences(self) -> list[str]:
        """What to tell, a line for each kind of fault that was found."""
        lines = []
        if self.num_lost:
            lines.append(
                f"denoising left less than {LOST_SHARE:.0%} of the energy of {self.num_lost} of "
                f"{self.num_clips} clips with words, the worst: {'; '.join(map(str, self.lost))}"
            )
        if self.num_louder:
            lines.append(
                f"denoising made {self.num_louder} of {self.num_clips} clips louder by more than "
                f"{LOUDER_DB:g} dB, the worst: {'; '.join(map(str, self.louder))}"
            )
        return lines


def denoising_faults(kept: pd.DataFrame) -> DenoisingFaults:
    """Judge the kept rows of a manifest: key, transcript, level_before_db, level_after_db."""
    change_db = kept["level_after_db"] - kept["level_before_db"]
    has_words = kept["transcript"].fillna("").str.contains(r"\w", regex=True)
    is_lost = has_words & (kept["level_before_db"] > SILENCE_DB)
    is_lost &= change_db < 10 * math.log10(LOST_SHARE)
    is_louder = change_db > LOUDER_DB
    order = change_db.sort_values(kind="stable").index
    lost = kept.loc[order][is_lost.loc[order]]
    louder = kept.loc[order[::-1]][is_louder.loc[order[::-1]]]
    return DenoisingFaults(len(kept), len(lost), len(louder), _worst(lost), _worst(louder))


def _worst(rows: pd.DataFrame) -> tuple[ClipLevel, ...]:
    columns = ["key", "level_before_db", "level_after_db"]
    worst = rows[columns].head(NUM_WORST).itertuples(index=False, name=None)
    return tuple(ClipLevel(*row) for row in worst)
