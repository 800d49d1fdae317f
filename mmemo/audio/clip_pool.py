"""Processes that prepare clips."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from mmemo.audio.clip_worker import ClipWorker, Result
from mmemo.corpora.clips import Clip
from mmemo.errors import InputError
from mmemo.worker_pool import WorkerPool

CLIPS_IN_FLIGHT_PER_WORKER = 8
MAX_BYTES_IN_FLIGHT = 2**28
"""Of packed clips, which lie in memory until a worker has taken them."""

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
