"""What one process does with one clip: decode, denoise, resample, cut, quantise."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from mmemo.audio.denoisers import Denoiser, Samples
from mmemo.audio.journal import Record
from mmemo.audio.levels import level_db
from mmemo.audio.media import UNREADABLE, MediaError, decode, resample
from mmemo.audio.prepared import FULL_SCALE
from mmemo.corpora.clips import MISSING, Clip

CUT_MARGIN_S = 0.5
"""Sound behind the cut that is denoised and resampled with the rest: more than the look-ahead of
the denoiser (40 ms) and of the resampling filter, so that a cut does not change what stands
before it."""

MAX_PEAK = 100.0
"""40 dB above full scale: float samples of another scale, which would be clipped throughout."""

Result = tuple[Record, bytes]


@dataclass
class ClipWorker:
    """Prepares clips one after the other.

    Args:
        denoiser: Applied at its own rate; None for none.
        sample_rate: Of the result, in Hz.
        max_duration_s: Longer sound is cut there.
    """

    denoiser: Denoiser | None
    sample_rate: int
    max_duration_s: float

    def prepare(self, clip: Clip) -> Result:
        """The clip's record, its place not set, and its samples as little-endian 16-bit bytes."""
        if clip.num_bytes == MISSING:
            return skipped(clip, "missing clip", clip.problem), b""
        try:
            sound = decode(clip.source, clip.content, self.max_duration_s + CUT_MARGIN_S)
        except MediaError as error:
            return skipped(clip, error.reason, error.message), b""
        if not np.isfinite(sound.waveform).all():
            return skipped(clip, "not finite", f"{clip.source}: samples that are no numbers"), b""
        peak = float(np.abs(sound.waveform).max())
        if peak > MAX_PEAK:
            detail = f"{clip.source}: samples up to {peak:.3g} where full scale is 1"
            return skipped(clip, "out of scale", detail), b""
        waveform, rate = sound.waveform, sound.sample_rate
        level_before_db = level_db(waveform)
        if self.denoiser is not None:
            denoised = self.denoiser(resample(waveform, rate, self.denoiser.sample_rate))
            waveform = np.asarray(denoised, dtype=np.float32)
            rate = self.denoiser.sample_rate
        level_after_db = level_db(waveform)
        waveform = resample(waveform, rate, self.sample_rate)
        samples = to_int16(waveform[: round(self.max_duration_s * self.sample_rate)])
        data = np.ascontiguousarray(samples, dtype="<i2").tobytes()
        record = Record(
            key=clip.key,
            status="kept",
            reason="",
            detail="",
            audio_file="",
            offset=0,
            num_samples=len(samples),
            crc32=zlib.crc32(data),
            source=clip.source,
            source_bytes=clip.num_bytes,
            source_modified_s=clip.modified_s,
            source_rate=sound.sample_rate,
            source_duration_s=round(sound.duration_s, 6),
            channel_layout=sound.channel_layout,
            level_before_db=level_before_db,
            level_after_db=level_after_db,
            source_crc32=clip.crc32,
        )
        return record, data


def skipped(clip: Clip, reason: str, detail: str) -> Record:
    """Record of a clip that yields no sound; one that could not be read is tried again."""
    return Record(
        clip.key,
        "skipped",
        reason,
        detail,
        audio_file="",
        offset=0,
        num_samples=0,
        crc32=0,
        source=clip.source,
        source_bytes=MISSING if reason == UNREADABLE else clip.num_bytes,
        source_modified_s=clip.modified_s,
        source_rate=0,
        source_duration_s=0.0,
        channel_layout="",
        source_crc32=clip.crc32,
    )


def to_int16(waveform: Samples) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """Quantise (T,) float in [-1, 1]; what lies outside is clipped."""
    return np.round(np.clip(waveform, -1.0, 1.0) * np.float32(FULL_SCALE)).astype(np.int16)
