"""Processes that work for this one, end with it, and leave the terminal's signals to it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class WorkerPool(ProcessPoolExecutor):
    """New processes that import what they need, which is safe beside threads.

    They end when this process is killed: they would wait for work for ever. A terminal's Ctrl-C
    reaches them too, and is not answered: this process ends them, without a traceback of theirs.

    Args:
        num_workers: How many.
        set_up: Called in each before its first work; it and its arguments are pickled.
        arguments: Of that call.
    """

    def __init__(
        self, num_workers: int, set_up: Callable[..., None] | None = None, *arguments: object
    ) -> None:
        super().__init__(
            num_workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(set_up, arguments),
        )

    def submit(
        self,
        fn: Callable[Arguments, Result],
        /,
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Future[Result]:
        """Hand out one piece of work; a worker that is started for it inherits what is blocked."""
        with _interrupts_blocked():
            return super().submit(fn, *args, **kwargs)


def _begin(set_up: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    if set_up is not None:
        set_up(*arguments)


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Let SIGINT wait a moment, in this thread and for ever in processes that it starts."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    former = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)
