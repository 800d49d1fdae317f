"""Processes that decode, denoise, resample and quantise clips."""

from __future__ import annotations

import multiprocessing
import os
import threading
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmemo.audio.denoisers import Denoiser
from mmemo.audio.journal import Record
from mmemo.audio.media import MediaError, decode, resample
from mmemo.audio.prepared import to_int16
from mmemo.corpora.utterance import Utterance
from mmemo.errors import InputError

MISSING_SIZE = -1
CLIPS_IN_FLIGHT_PER_WORKER = 8

Result = tuple[Record, bytes]

_worker: dict[str, Any] = {}


class ClipPool:
    """Runs clips through the workers and hands the results back in the clips' own order.

    Args:
        executor: The workers' pool; None to work in this process.
        window: How many clips are in flight at a time.
    """

    def __init__(self, executor: ProcessPoolExecutor | None, window: int) -> None:
        self.executor = executor
        self.window = window

    def run(self, utterances: list[Utterance]) -> Iterator[Result]:
        """Each utterance's record, its offset not set, and its 16-bit samples.

        Raises:
            InputError: If a worker was ended from outside.
        """
        if self.executor is None:
            for utterance in utterances:
                yield _prepare_clip(utterance.key, utterance.media_path)
            return
        pending: deque[tuple[Utterance, Future[Result]]] = deque()
        for utterance in utterances:
            job = self.executor.submit(_prepare_clip, utterance.key, utterance.media_path)
            pending.append((utterance, job))
            if len(pending) >= self.window:
                yield self._result(*pending.popleft())
        while pending:
            yield self._result(*pending.popleft())

    @staticmethod
    def _result(utterance: Utterance, job: Future[Result]) -> Result:
        try:
            return job.result()
        except BrokenProcessPool as error:
            raise InputError(
                f"{utterance.media_path}: a worker process was ended from outside at or after "
                "this clip (often for lack of memory); run the command again to continue, with "
                "fewer workers if memory is short: preparer.num_workers=1"
            ) from error


@contextmanager
def open_pool(denoiser: Denoiser | None, sample_rate: int, num_workers: int) -> Iterator[ClipPool]:
    """Workers that give mono sound at ``sample_rate``; 0 of them to work in this process."""
    if num_workers == 0:
        _set_up_worker(denoiser, sample_rate, separate=False)
        yield ClipPool(None, 1)
        return
    executor = ProcessPoolExecutor(
        num_workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_set_up_worker,
        initargs=(denoiser, sample_rate, True),
    )
    try:
        yield ClipPool(executor, num_workers * CLIPS_IN_FLIGHT_PER_WORKER)
    finally:
        executor.shutdown(cancel_futures=True)


def source_bytes(path: Path) -> int:
    """Size of a clip, or -1 where it is missing."""
    try:
        return path.stat().st_size
    except OSError:
        return MISSING_SIZE


def _set_up_worker(denoiser: Denoiser | None, sample_rate: int, separate: bool) -> None:
    _worker.update(denoiser=denoiser, sample_rate=sample_rate)
    if separate:
        torch.set_num_threads(1)
        threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    """End this worker when its parent was killed; it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _prepare_clip(key: str, path: Path) -> Result:
    denoiser: Denoiser | None = _worker["denoiser"]
    size = source_bytes(path)
    try:
        sound = decode(path)
    except MediaError as error:
        return Record(key, "skipped", error.reason, error.message, 0, 0, 0, size, 0, ""), b""
    waveform, rate = sound.waveform, sound.sample_rate
    if denoiser is not None:
        waveform = denoiser(resample(waveform, rate, denoiser.sample_rate))
        rate = denoiser.sample_rate
    samples = to_int16(resample(waveform, rate, _worker["sample_rate"]))
    data = np.ascontiguousarray(samples, dtype="<i2").tobytes()
    record = Record(
        key=key,
        status="kept",
        reason="",
        detail="",
        offset=0,
        num_samples=len(samples),
        crc32=zlib.crc32(data),
        source_bytes=size,
        source_rate=sound.sample_rate,
        channel_layout=sound.channel_layout,
    )
    return record, data
