"""Processes that change sound and prepare it as the run's own was: decode, change, denoise.

Nothing that is imported here needs torch, which would be loaded in each of them.
"""

from __future__ import annotations

import os
import sys
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from mmemo.audio.clip_worker import ClipWorker, Quantised
from mmemo.audio.denoisers import Denoiser, Samples
from mmemo.audio.media import Sound, resample
from mmemo.audio.media_error import MediaError
from mmemo.audio.perturbations import Perturbation
from mmemo.audio.prepared import FULL_SCALE
from mmemo.corpora.clips import Clip
from mmemo.errors import InputError
from mmemo.stress.conditions import OTHERWISE, Condition
from mmemo.worker_pool import WorkerPool

IN_FLIGHT_PER_WORKER = 8

Result = TypeVar("Result")


@dataclass(frozen=True)
class Original:
    """The sound of an utterance before anything is done to it.

    Args:
        key: The utterance.
        clip: Where it is decoded from; None where it is gone.
        prepared: (T,) int16 at the prepared rate, where the clip is gone.
    """

    key: str
    clip: Clip | None
    prepared: Quantised | None = None


@dataclass
class SoundWorker:
    """Prepares changed sound, one utterance after the other.

    Args:
        clips: Prepares sound as the run's own was prepared.
        other_denoiser: What takes its denoiser's place for the other way of denoising; None for
            none.
        voices: Sounds (T,) at the prepared rate, for perturbations that mix others in.
    """

    clips: ClipWorker
    other_denoiser: Denoiser | None
    voices: Sequence[Samples]
    _voices_at: dict[int, list[Samples]] = field(default_factory=dict, init=False, repr=False)

    def prepare(
        self, original: Original, sound: Perturbation | None, denoising: str, draws: Sequence[int]
    ) -> Quantised:
        """The sound of an utterance (T,) int16 as the model is given it.

        Args:
            original: The utterance.
            sound: Done to it as it was recorded; None for nothing.
            denoising: Of ``DENOISING``.
            draws: Seed of the perturbation's draws.

        Raises:
            MediaError: If the clip cannot be read any more, or is out of scale once it is changed.
        """
        recorded = self.recorded(original)
        if sound is not None:
            waveform = self.changed(recorded.waveform, recorded.sample_rate, sound, draws)
            recorded = replace(recorded, waveform=waveform)
        worker = self.clips
        if denoising == OTHERWISE:
            worker = replace(worker, denoiser=self.other_denoiser)
        return worker.prepare_sound(recorded, original.key).samples

    def recorded(self, original: Original) -> Sound:
        """Sound before anything is done to it; prepared sound where the clip is gone."""
        if original.clip is not None:
            return self.clips.decoded(original.clip)
        if original.prepared is None:
            raise ValueError(f"{original.key}: expected a clip or prepared sound, got neither")
        waveform = original.prepared.astype(np.float32) / np.float32(FULL_SCALE)
        rate = self.clips.sample_rate
        return Sound(waveform, rate, "mono", len(waveform) / rate)

    def changed(
        self, waveform: Samples, sample_rate: int, sound: Perturbation, draws: Sequence[int]
    ) -> Samples:
        """(T,) as the perturbation makes it, float32; arguments as of ``prepare``."""
        if hasattr(sound, "use_sounds"):
            sound.use_sounds(self._voices(sample_rate))
        after = sound(waveform, sample_rate, np.random.default_rng(draws))
        return np.ascontiguousarray(after, dtype=np.float32)

    def _voices(self, sample_rate: int) -> list[Samples]:
        if sample_rate not in self._voices_at:
            own = self.clips.sample_rate
            self._voices_at[sample_rate] = [resample(v, own, sample_rate) for v in self.voices]
        return self._voices_at[sample_rate]


_worker: list[SoundWorker] = []


class SoundPool:
    """Hands utterances to the processes, and their sound back in order.

    Args:
        worker: What is done.
        executor: The processes; None to work in this one.
        window: How many utterances are in flight at a time.
    """

    def __init__(self, worker: SoundWorker, executor: WorkerPool | None, window: int) -> None:
        self.worker = worker
        self.executor = executor
        self.window = window

    def prepare(
        self,
        originals: Sequence[Original],
        condition: Condition,
        seed: int,
    ) -> list[Quantised]:
        """The sound of each utterance under a condition.

        Args:
            originals: The utterances.
            condition: What is done to their sound.
            seed: Of all draws; those of an utterance depend on it, its key and the curve alone.

        Raises:
            InputError: If one cannot be read any more, or a process was ended from outside.
        """
        return list(self._sounds(originals, condition, seed))

    def recorded(self, original: Original) -> Sound:
        """Sound before anything is done to it, decoded in this process.

        Raises:
            InputError: If it cannot be read any more.
        """
        return _result(original.key, lambda: self.worker.recorded(original))

    def _sounds(
        self, originals: Sequence[Original], condition: Condition, seed: int
    ) -> Iterator[Quantised]:
        curve = zlib.crc32(condition.draws.encode())
        pending: deque[tuple[str, Future[Quantised]]] = deque()
        for original in originals:
            draws = (seed, curve, zlib.crc32(original.key.encode()))
            given = (original, condition.sound, condition.denoising, draws)
            if self.executor is None:
                yield _result(original.key, lambda given=given: self.worker.prepare(*given))  # type: ignore[misc]
                continue
            pending.append((original.key, self.executor.submit(_prepare, *given)))
            if len(pending) >= self.window:
                key, job = pending.popleft()
                yield _result(key, job.result)
        for key, job in pending:
            yield _result(key, job.result)


def _result(key: str, wait: Callable[[], Result]) -> Result:
    try:
        return wait()
    except MediaError as error:
        raise InputError(
            f"{key}: expected sound that can be prepared again, {error.reason}: {error.message}; "
            "restore its clip, and give the command again: finished conditions are kept"
        ) from error
    except BrokenProcessPool as error:
        raise InputError(
            f"{key}: a worker process was ended from outside (often for lack of memory); give the "
            "command again with num_workers=1: finished conditions are kept"
        ) from error


@contextmanager
def open_sound_pool(worker: SoundWorker, num_workers: int) -> Iterator[SoundPool]:
    """Processes with one thread each; 0 of them to work in this process."""
    if num_workers == 0:
        yield SoundPool(worker, None, 1)
        return
    executor = WorkerPool(num_workers, _set_up_process, worker)
    try:
        yield SoundPool(worker, executor, num_workers * IN_FLIGHT_PER_WORKER)
    finally:
        executor.shutdown(cancel_futures=True)


def _set_up_process(worker: SoundWorker) -> None:
    # A denoiser of the user's may bring torch with it.
    os.environ["OMP_NUM_THREADS"] = "1"
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    _worker[:] = [worker]


def _prepare(
    original: Original, sound: Perturbation | None, denoising: str, draws: Sequence[int]
) -> Quantised:
    return _worker[0].prepare(original, sound, denoising, draws)
