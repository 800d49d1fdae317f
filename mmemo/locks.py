"""Work that several processes need and one of them does."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)


@contextmanager
def exclusive(target: str | Path, work: str) -> Iterator[None]:
    """Let one process at a time work on ``target``; the others say what they wait for.

    Whether there is still something to do has to be looked at inside. A process that is killed
    holds nothing any more.

    Args:
        target: What is made; the lock is a file beside it, with ``.lock`` at its name's end.
        work: What is done, for the message of those that wait, such as ``preparing demo-1``.
    """
    path = f"{target}.lock"
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.warning("waiting for another process, which is %s (%s)", work, path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
