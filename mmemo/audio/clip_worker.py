"""Processes that prepare clips: decode, denoise, resample, cut, quantise."""

from __future__ import annotations

import os
import sys
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from mmemo.audio.denoisers import Denoiser, Samples
from mmemo.audio.journal import Record
from mmemo.audio.levels import level_db
from mmemo.audio.media import UNREADABLE, Sound, decode, resample
from mmemo.audio.media_error import MediaError
from mmemo.audio.prepared import FULL_SCALE
from mmemo.audio.reading import DEFAULT_READING, Reading
from mmemo.corpora.clips import MISSING, Clip
from mmemo.errors import InputError
from mmemo.worker_pool import WorkerPool

CUT_MARGIN_S = 0.5
"""Sound behind the cut that is denoised and resampled with the rest: more than the look-ahead of
the denoiser (40 ms) and of the resampling filter, so that a cut does not change what stands
before it."""

MAX_PEAK = 100.0
"""40 dB above full scale: float samples of another scale, which would be clipped throughout."""

CLIPS_IN_FLIGHT_PER_WORKER = 8
MAX_BYTES_IN_FLIGHT = 2**28
"""Of packed clips, which lie in memory until a worker has taken them."""

OUTSIDE = "outside the recording"

END_TOLERANCE_S = 0.1
"""How far an annotated end may lie behind the recording's: annotators round."""

MAX_KEPT_S = 1800.0
"""Of a recording that is cut into utterances, kept decoded from one to the next: at 48 kHz a third
of a gigabyte. What lies behind is decoded anew for each."""

Result = tuple[Record, bytes]

Quantised = np.ndarray[tuple[int], np.dtype[np.int16]]


@dataclass(frozen=True)
class PreparedSound:
    """Sound as a model is given it.

    Args:
        samples: (T,) int16 at the prepared rate, full scale at ``FULL_SCALE``.
        level_before_db: Of what was decoded, in dB of full scale.
        level_after_db: Behind the denoiser.
    """

    samples: Quantised
    level_before_db: float
    level_after_db: float


@dataclass
class ClipWorker:
    """Prepares clips one after the other.

    Args:
        denoiser: Applied at its own rate; None for none.
        sample_rate: Rate of the result, in Hz.
        max_duration_s: Longer sound is cut there.
        reading: Which of several sound tracks is taken, and how much damage is borne.
    """

    denoiser: Denoiser | None
    sample_rate: int
    max_duration_s: float
    reading: Reading = DEFAULT_READING
    _kept: tuple[str, Sound] | None = field(default=None, init=False, repr=False, compare=False)

    def prepare(self, clip: Clip) -> Result:
        """The clip's record, its place not set, and its samples as little-endian 16-bit bytes."""
        if clip.num_bytes == MISSING:
            return skipped(clip, "missing clip", clip.problem), b""
        try:
            sound = self.decoded(clip)
            made = self.prepare_sound(sound, clip.source)
        except MediaError as error:
            return skipped(clip, error.reason, error.message), b""
        data = np.ascontiguousarray(made.samples, dtype="<i2").tobytes()
        record = Record(
            key=clip.key,
            status="kept",
            reason="",
            detail="",
            audio_file="",
            offset=0,
            num_samples=len(made.samples),
            crc32=zlib.crc32(data),
            source=clip.source,
            source_bytes=clip.num_bytes,
            source_modified_s=clip.modified_s,
            source_rate=sound.sample_rate,
            source_duration_s=round(sound.duration_s, 6),
            channel_layout=sound.channel_layout,
            level_before_db=made.level_before_db,
            level_after_db=made.level_after_db,
            source_crc32=clip.crc32,
            num_packets=sound.num_packets,
            num_bad_packets=sound.num_bad_packets,
            note="; ".join(sound.notes),
        )
        return record, data

    def decoded(self, clip: Clip) -> Sound:
        """The clip's sound, or the stretch of it that the utterance is, before anything else.

        Raises:
            MediaError: If it cannot be read, or the stretch is not in it.
        """
        if clip.start_s is None and clip.end_s is None:
            return decode(
                clip.source, clip.content, self.max_duration_s + CUT_MARGIN_S, self.reading
            )
        start_s = clip.start_s or 0.0
        name = f"{clip.source} {clip.num_bytes} {clip.modified_s}"
        if self._kept is None or self._kept[0] != name:
            self._kept = (name, decode(clip.source, clip.content, MAX_KEPT_S, self.reading))
        sound = self._kept[1]
        end_s = sound.duration_s if clip.end_s is None else clip.end_s
        if start_s >= sound.duration_s or end_s > sound.duration_s + END_TOLERANCE_S:
            raise MediaError(
                OUTSIDE,
                f"{clip.source}: {start_s:g} to {end_s:g} s of {sound.duration_s:.2f} s",
            )
        end_s = min(end_s, sound.duration_s)
        last_s = min(end_s, start_s + self.max_duration_s + CUT_MARGIN_S)
        if last_s > MAX_KEPT_S:
            sound = decode(clip.source, clip.content, last_s, self.reading)
        first, last = (round(time_s * sound.sample_rate) for time_s in (start_s, last_s))
        waveform = sound.waveform[first:last]
        if len(waveform) == 0:
            raise MediaError("empty audio", f"{clip.source}: no samples at {start_s:g} s")
        return replace(sound, waveform=waveform, duration_s=end_s - start_s)

    def prepare_sound(self, sound: Sound, source: str) -> PreparedSound:
        """Denoise, resample, cut and quantise decoded sound.

        Args:
            sound: At least as much of it as is kept, and ``CUT_MARGIN_S`` more where it goes on.
            source: What it is called in messages.

        Raises:
            MediaError: "not finite" or "out of scale".
        """
        if not np.isfinite(sound.waveform).all():
            raise MediaError(
                "not finite",
                f"{source}: samples that are no numbers; write the file again, or leave "
                "its row out",
            )
        peak = float(np.abs(sound.waveform).max())
        if peak > MAX_PEAK:
            raise MediaError(
                "out of scale",
                f"{source}: samples up to {peak:.3g} where full scale is 1; divide them by their "
                "full scale, as for 16-bit numbers by 32768",
            )
        waveform, rate = sound.waveform, sound.sample_rate
        level_before_db = level_db(waveform)
        if self.denoiser is not None:
            denoised = self.denoiser(resample(waveform, rate, self.denoiser.sample_rate))
            waveform = np.asarray(denoised, dtype=np.float32)
            rate = self.denoiser.sample_rate
        level_after_db = level_db(waveform)
        waveform = resample(waveform, rate, self.sample_rate)
        samples = to_int16(waveform[: round(self.max_duration_s * self.sample_rate)])
        return PreparedSound(samples, level_before_db, level_after_db)


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


def to_int16(waveform: Samples) -> Quantised:
    """Quantise (T,) float in [-1, 1]; what lies outside is clipped."""
    return np.round(np.clip(waveform, -1.0, 1.0) * np.float32(FULL_SCALE)).astype(np.int16)


_worker: list[ClipWorker] = []


class ClipPool:
    """Runs clips through the workers and hands the results back in the clips' own order.

    Args:
        executor: The workers' pool; None to work in this process.
        worker: What is done with a clip.
        window: How many clips are in flight at a time.
    """

    def __init__(self, executor: WorkerPool | None, worker: ClipWorker, window: int) -> None:
        self.executor = executor
        self.worker = worker
        self.window = window

    def run(self, clips: Iterable[Clip]) -> Iterator[Result]:
        """Each clip's record, its place not set, and its 16-bit samples.

        Where the clips end in an error, those before it are finished first.

        Raises:
            InputError: If a worker was ended from outside.
        """
        if self.executor is None:
            yield from map(self.worker.prepare, clips)
            return
        pending: deque[tuple[str, int, Future[Result]]] = deque()
        num_bytes = 0
        problem: InputError | None = None
        try:
            for clip in clips:
                size = len(clip.content or b"")
                pending.append((clip.source, size, self.executor.submit(_prepare, clip)))
                num_bytes += size
                while pending and (len(pending) >= self.window or num_bytes > MAX_BYTES_IN_FLIGHT):
                    source, size, job = pending.popleft()
                    num_bytes -= size
                    yield self._result(source, job)
        except InputError as error:
            problem = error
        for source, _, job in pending:
            yield self._result(source, job)
        if problem is not None:
            raise problem

    @staticmethod
    def _result(source: str, job: Future[Result]) -> Result:
        try:
            return job.result()
        except BrokenProcessPool as error:
            raise InputError(
                f"{source}: a worker process was ended from outside at or after this clip (often "
                "for lack of memory); run the command again to continue, with fewer workers if "
                "memory is short: preparer.num_workers=1"
            ) from error


@contextmanager
def open_pool(worker: ClipWorker, num_workers: int) -> Iterator[ClipPool]:
    """Processes with one thread each; 0 of them to work in this process."""
    if num_workers == 0:
        yield ClipPool(None, worker, 1)
        return
    executor = WorkerPool(num_workers, _set_up_process, worker)
    try:
        yield ClipPool(executor, worker, num_workers * CLIPS_IN_FLIGHT_PER_WORKER)
    finally:
        executor.shutdown(cancel_futures=True)


def _set_up_process(worker: ClipWorker) -> None:
    # A denoiser of the user's may bring torch with it.
    os.environ["OMP_NUM_THREADS"] = "1"
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    _worker[:] = [worker]


def _prepare(clip: Clip) -> Result:
    return _worker[0].prepare(clip)
