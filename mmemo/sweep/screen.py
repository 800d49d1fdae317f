"""The terminal while a sweep runs: a live view, or a line for each event in a log."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import ExitStack
from types import TracebackType

from rich.console import Console
from rich.live import Live

from mmemo.sweep.cells import Cell, CellState
from mmemo.sweep.view import SweepView
from mmemo.training.stop_signals import STOP_SIGNALS

INTERVAL_S = 0.5


class SweepScreen:
    """Shows a view for as long as it is entered, from a thread of its own.

    It writes to what standard output is when it is entered: cells send theirs elsewhere.

    Args:
        view: What is shown.
    """

    def __init__(self, view: SweepView) -> None:
        self.view = view
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._resources = ExitStack()

    def __enter__(self) -> SweepScreen:
        """Begin to show."""
        file = self._resources.enter_context(
            os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8", errors="replace")
        )
        self._console = Console(file=file, highlight=False, markup=False, soft_wrap=True)
        self._live: Live | None = None
        if self._console.is_terminal:
            self._live = Live(
                self.view,
                console=self._console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._resources.enter_context(self._live)
        self._hear_signals()
        self._thread.start()
        return self

    def _hear_signals(self) -> None:
        """The run that answers a signal says so in its log alone."""
        if os.name != "posix":  # The wake-up would need a socket there.
            return
        self._signals, told = os.pipe()
        for end in (self._signals, told):
            os.set_blocking(end, False)
            self._resources.callback(os.close, end)
        former = signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        self._resources.callback(signal.set_wakeup_fd, former)

    def add(self, cell: Cell, state: CellState, is_launched: bool) -> None:
        """Show one more cell; see ``SweepView.add``."""
        self._print(self.view.add(cell, state, is_launched))

    def _watch(self) -> None:
        while not self._ended.wait(INTERVAL_S):
            self._refresh()

    def _refresh(self) -> None:
        if set(self._heard()) & set(STOP_SIGNALS):
            self._print(["stopping: what runs saves its state; once more stops at once"])
        self._print(self.view.poll())
        if self._live is not None:
            self._live.refresh()

    def _heard(self) -> bytes:
        """Numbers of the signals that came since it was last asked."""
        if os.name != "posix":
            return b""
        try:
            return os.read(self._signals, 64)
        except BlockingIOError:
            return b""

    def _print(self, lines: list[str]) -> None:
        for line in lines:
            self._console.print(line)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Show the last events and leave the terminal as it was."""
        self._ended.set()
        self._thread.join()
        self._refresh()
        self.view.settle()
        self._resources.close()
