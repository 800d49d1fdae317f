"""Recordings of anybody's, prepared as a corpus' clips are: whole, or stretch by stretch."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from mmemo.audio.clip_worker import CUT_MARGIN_S, OUTSIDE, ClipWorker, Quantised
from mmemo.audio.denoisers import Samples
from mmemo.audio.media import Sound, decode, resample
from mmemo.audio.media_error import MediaError
from mmemo.errors import InputError
from mmemo.values import check_real
from mmemo.worker_pool import WorkerPool

SPEECH_RATE = 16_000
"""What recognisers of speech and its pauses take, in Hz."""

FROM_HERE_ON_PARALLEL = 8
"""Recordings for each worker that are worth the second that its imports take."""

NO_SPEECH = "no speech"

Span = tuple[float, float]
"""From and to, in seconds from the beginning of a recording."""


@dataclass(frozen=True)
class Recording:
    """A file, or sound that is decoded already, and what of it is wanted.

    Args:
        source: The file, or mono sound.
        start_s: Where the wanted part begins.
        end_s: Where it ends; None for the recording's end.
    """

    source: Path | Sound
    start_s: float = 0.0
    end_s: float | None = None

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return "sound" if isinstance(self.source, Sound) else str(self.source)


@dataclass(frozen=True)
class Stretch:
    """A stretch of a recording.

    Args:
        start_s: In seconds from the recording's beginning.
        end_s: Where it ends.
        samples: (T,) int16, prepared; None where ``reason`` says why there are none.
        speech: (T,) float32 at 16 kHz as it was recorded, where words are looked for; else None.
        reason: A short fixed phrase, or nothing.
        detail: The one case.
    """

    start_s: float
    end_s: float
    samples: Quantised | None
    speech: Samples | None = None
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True)
class PreparedRecording:
    """What became of a recording.

    Args:
        stretches: In order of time; none where ``reason`` says why.
        duration_s: Of the whole recording; None where it could not be read.
        prepare_s: Time that it took.
        reason: A short fixed phrase, or nothing.
        detail: The one case.
        num_bad_packets: How many packets of its sound could not be decoded and are left out.
        note: What else should be known of its sound, in words.
    """

    stretches: tuple[Stretch, ...]
    duration_s: float | None
    prepare_s: float = 0.0
    reason: str = ""
    detail: str = ""
    num_bad_packets: int = 0
    note: str = ""


class Cutter(Protocol):
    """Cuts a long recording into stretches. Instances are pickled into the workers."""

    def __call__(self, sound: Sound, span: Span) -> list[Span]:
        """Stretches of the part ``span`` of a recording, in order of time."""
        ...


@dataclass(frozen=True)
class SlidingWindows:
    """Windows of one length, one beginning each hop; the last one ends with the recording.

    Args:
        window_s: Length of each, in seconds.
        hop_s: From one's beginning to the next one's.

    Raises:
        InputError: If a length is not above 0, or the hop leaves gaps.
    """

    window_s: float
    hop_s: float

    def __post_init__(self) -> None:
        """Check the lengths."""
        check_real("window_s", self.window_s, 0, above=True)
        check_real("hop_s", self.hop_s, 0, above=True)
        if self.hop_s > self.window_s:
            raise InputError(
                f"hop_s: expected at most window_s ({self.window_s:g} s), so that all is heard, "
                f"got {self.hop_s:g} s"
            )

    def __call__(self, sound: Sound, span: Span) -> list[Span]:
        """Windows over the span; one alone where it is shorter than a window."""
        begin, end = span
        spans = [(begin, min(begin + self.window_s, end))]
        while spans[-1][1] < end:
            start = begin + len(spans) * self.hop_s
            spans.append((start, min(start + self.window_s, end)))
        return spans


@dataclass(frozen=True)
class RecordingWorker:
    """Prepares recordings one after the other.

    Args:
        clips: Prepares each stretch as it prepares a clip.
        cutter: What stretches there are; None for the wanted part as one.
        keep_speech: Whether the sound is also handed out as it was recorded.
    """

    clips: ClipWorker
    cutter: Cutter | None = None
    keep_speech: bool = False

    def prepare(self, recording: Recording) -> PreparedRecording:
        """Decode, cut, denoise, resample, quantise."""
        begun = time.perf_counter()
        prepared = self._prepare(recording)
        return replace(prepared, prepare_s=time.perf_counter() - begun)

    def _prepare(self, recording: Recording) -> PreparedRecording:
        try:
            sound = self._decoded(recording)
        except MediaError as error:
            return PreparedRecording((), None, reason=error.reason, detail=error.message)
        prepared = self._cut(recording, sound)
        return replace(prepared, num_bad_packets=sound.num_bad_packets, note="; ".join(sound.notes))

    def _cut(self, recording: Recording, sound: Sound) -> PreparedRecording:
        end_s = min(recording.end_s or sound.duration_s, sound.duration_s)
        if recording.start_s >= end_s:
            detail = f"{recording.name}: {sound.duration_s:.2f} s long"
            return PreparedRecording((), sound.duration_s, reason=OUTSIDE, detail=detail)
        span = (recording.start_s, end_s)
        spans = [span] if self.cutter is None else self.cutter(sound, span)
        if not spans:
            detail = f"{recording.name}: none found"
            return PreparedRecording((), sound.duration_s, reason=NO_SPEECH, detail=detail)
        stretches = tuple(self._stretch(sound, recording.name, *own) for own in spans)
        return PreparedRecording(stretches, sound.duration_s)

    def _decoded(self, recording: Recording) -> Sound:
        if isinstance(recording.source, Sound):
            return recording.source
        limit_s = None
        if self.cutter is None and not self.keep_speech:
            limit_s = recording.start_s + self.clips.max_duration_s + CUT_MARGIN_S
        return decode(recording.source, limit_s=limit_s, reading=self.clips.reading)

    def _stretch(self, sound: Sound, name: str, start_s: float, end_s: float) -> Stretch:
        first, last = (round(time_s * sound.sample_rate) for time_s in (start_s, end_s))
        waveform = sound.waveform[first:last]
        if len(waveform) == 0:
            return Stretch(start_s, end_s, None, None, "empty audio", f"{name}: no samples there")
        speech = resample(waveform, sound.sample_rate, SPEECH_RATE) if self.keep_speech else None
        most = round((self.clips.max_duration_s + CUT_MARGIN_S) * sound.sample_rate)
        own = replace(sound, waveform=waveform[:most], duration_s=end_s - start_s)
        try:
            samples = self.clips.prepare_sound(own, name).samples
        except MediaError as error:
            return Stretch(start_s, end_s, None, None, error.reason, error.message)
        return Stretch(start_s, end_s, samples, speech)


def prepared_recordings(
    worker: RecordingWorker, recordings: Iterable[Recording], num_workers: int
) -> Iterator[PreparedRecording]:
    """Prepare recordings in their order.

    Args:
        worker: What is done with each.
        recordings: What is prepared.
        num_workers: Processes; 0 to work in this one.

    Raises:
        InputError: If a process was ended from outside.
    """
    if num_workers == 0:
        yield from map(worker.prepare, recordings)
        return
    executor = WorkerPool(num_workers, _set_up_process, worker)
    pending: deque[tuple[Recording, Future[PreparedRecording]]] = deque()
    try:
        for recording in recordings:
            pending.append((recording, executor.submit(_prepare, recording)))
            if len(pending) > 2 * num_workers:
                yield _result(*pending.popleft())
        while pending:
            yield _result(*pending.popleft())
    finally:
        executor.shutdown(cancel_futures=True)


def _result(recording: Recording, job: Future[PreparedRecording]) -> PreparedRecording:
    try:
        return job.result()
    except BrokenProcessPool as error:
        raise InputError(
            f"{recording.name}: a worker process was ended from outside at or after this recording "
            "(often for lack of memory); use fewer with num_workers=0"
        ) from error


_worker: list[RecordingWorker] = []


def _set_up_process(worker: RecordingWorker) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    _worker[:] = [worker]


def _prepare(recording: Recording) -> PreparedRecording:
    return _worker[0].prepare(recording)
