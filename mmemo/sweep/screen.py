"""A sweep as it goes: a live view on the terminal, or a line for each event in a log."""

from __future__ import annotations

import csv
import os
import signal
import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from mmemo.errors import InputError
from mmemo.sweep.cells import DONE, Cell, CellState, cell_state
from mmemo.training.stop_signals import STOP_SIGNALS

INTERVAL_S = 0.5
MAX_ERROR_LENGTH = 200


@dataclass(frozen=True)
class CellProgress:
    """What a cell's folder showed when it was last read.

    Args:
        state: What has become of it.
        epoch: Epochs trained; None before the first one's end.
        score: The best validation score so far; None before there is one.
        error: What failed or interrupted it, in one line.
    """

    state: CellState
    epoch: int | None = None
    score: float | None = None
    error: str | None = None


@dataclass
class _Watched:
    cell: Cell
    # When its run.json was written before this launch; what it said is over.
    old_ns: int | None
    progress: CellProgress
    started_s: float | None = None
    took_s: float | None = None


def read_progress(cell: Cell, old_ns: int | None) -> CellProgress:
    """What the folder of a launched cell tells.

    Args:
        cell: The cell.
        old_ns: Time of change of its ``run.json`` before it was launched; None where it had none.
    """
    file = cell.folder.info_file
    try:
        if file.stat().st_mtime_ns == old_ns:
            return CellProgress(CellState.WAITING)
        info = cell.folder.read_info()
        state = CellState(info.status)
    except (OSError, InputError):
        # Not there yet, or damaged: it is begun anew.
        return CellProgress(CellState.WAITING)
    epoch, score = _read_history(cell)
    lines = (info.error or "").strip().splitlines() or [""]
    best = score if info.best_score is None else info.best_score
    return CellProgress(state, epoch, best, lines[0][:MAX_ERROR_LENGTH])


def _read_history(cell: Cell) -> tuple[int | None, float | None]:
    try:
        with cell.folder.history_file.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        scores = [float(row[cell.monitor]) for row in rows if row.get(cell.monitor)]
        epoch = int(rows[-1]["epoch"]) + 1
    except (OSError, ValueError, KeyError, IndexError):
        return None, None
    best = max if cell.is_maximised else min
    return epoch, best(scores, default=None)


def time_left_s(took_s: Iterable[float], running_s: Iterable[float], num_waiting: int) -> float:
    """Time until the last cell ends, if each takes the mean of those that have ended.

    Args:
        took_s: How long each finished cell took; at least one.
        running_s: How long each running one has run; as many run at once later.
        num_waiting: Cells that have not begun.
    """
    took, running = list(took_s), list(running_s)
    mean_s = sum(took) / len(took)
    work_s = mean_s * num_waiting + sum(max(mean_s - s, 0.0) for s in running)
    return work_s / max(1, len(running))


class SweepView:
    """The cells of one command.

    Args:
        title: What stands above them.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._watched: dict[str, _Watched] = {}
        self._lock = threading.Lock()

    def add(self, cell: Cell, state: CellState, is_launched: bool) -> list[str]:
        """Watch one more cell; returns the lines that tell of it.

        Args:
            cell: The cell.
            state: What its folder tells before the launch.
            is_launched: Whether it will be run now.
        """
        file = cell.folder.info_file
        old_ns = file.stat().st_mtime_ns if is_launched and file.is_file() else None
        progress = CellProgress(CellState.WAITING)
        if not is_launched:
            progress = replace(read_progress(cell, None), state=state)
        with self._lock:
            self._watched[cell.name] = _Watched(cell, old_ns, progress)
        if is_launched:
            return []
        why = (
            "another process works on it" if state is CellState.RUNNING else f"{state.value} before"
        )
        return [f"passed over: {cell.name}: {why}"]

    def poll(self) -> list[str]:
        """Read the folders again; returns a line for each cell that began or ended."""
        lines = []
        now_s = time.monotonic()
        with self._lock:
            for watched in self._watched.values():
                before = watched.progress.state
                if before in DONE or before is CellState.FAILED:
                    continue
                progress = read_progress(watched.cell, watched.old_ns)
                watched.progress = progress
                if before is CellState.WAITING and progress.state is not before:
                    watched.started_s = now_s
                if progress.state is before:
                    continue
                if progress.state is CellState.FINISHED and watched.started_s is not None:
                    watched.took_s = now_s - watched.started_s
                lines.append(self._line(watched))
        return lines

    def settle(self) -> None:
        """When nothing is launched any more: what still claims to run, and does not, was killed."""
        for watched in self._watched.values():
            if watched.progress.state is CellState.RUNNING:
                state = cell_state(watched.cell.folder)
                watched.progress = replace(watched.progress, state=state)

    def _line(self, watched: _Watched) -> str:
        progress = watched.progress
        line = f"{progress.state.value}: {watched.cell.name}"
        if progress.state in DONE and progress.score is not None:
            line += f": {watched.cell.monitor} {progress.score:.4f}"
        if progress.error:
            line += f": {progress.error}"
        return f"[{self._count(*DONE)}/{len(self._watched)}] {line}"

    def _count(self, *states: CellState) -> int:
        return sum(w.progress.state in states for w in self._watched.values())

    def counts(self) -> str:
        """How many cells there are, and how many in which state."""
        order = (*DONE, CellState.RUNNING, CellState.INTERRUPTED, CellState.FAILED)
        numbers = [f"{self._count(state)} {state.value}" for state in order if self._count(state)]
        waiting = self._count(CellState.WAITING)
        numbers += [f"{waiting} waiting"] if waiting else []
        return f"{len(self._watched)} cells: {', '.join(numbers)}"

    def best(self) -> list[str]:
        """The best cell so far, one line for each validation score that chooses checkpoints."""
        best: dict[str, _Watched] = {}
        for watched in self._watched.values():
            score, monitor = watched.progress.score, watched.cell.monitor
            if score is None or watched.progress.state is CellState.FAILED:
                continue
            other = best[monitor].progress.score if monitor in best else None
            if other is None or (score > other if watched.cell.is_maximised else score < other):
                best[monitor] = watched
        return [
            f"best on validation: {monitor} {watched.progress.score:.4f}, {watched.cell.name}"
            for monitor, watched in best.items()
        ]

    def left(self) -> str:
        """The time left, by what finished cells have taken; empty before the first."""
        now_s = time.monotonic()
        took_s = [w.took_s for w in self._watched.values() if w.took_s is not None]
        if not took_s:
            return ""
        running_s = [
            now_s - w.started_s
            for w in self._watched.values()
            if w.progress.state is CellState.RUNNING and w.started_s is not None
        ]
        seconds = round(time_left_s(took_s, running_s, self._count(CellState.WAITING)))
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        return f"time left: about {hours}:{minutes:02d}:{seconds:02d}"

    def __rich__(self) -> RenderableType:
        """What the terminal shows while the sweep runs."""
        with self._lock:
            rows = Table.grid(padding=(0, 2))
            for watched in self._watched.values():
                if watched.progress.state is CellState.RUNNING:
                    rows.add_row(*self._row(watched))
            ended = self._count(*DONE, CellState.FAILED)
            bar = Table.grid(padding=(0, 2))
            bar.add_row(
                ProgressBar(total=max(1, len(self._watched)), completed=ended, width=30),
                " · ".join(filter(None, [self.counts(), self.left()])),
            )
            best = self.best()
        return Group(self.title, bar, *best, rows)

    def _row(self, watched: _Watched) -> tuple[str, str, str]:
        progress, cell = watched.progress, watched.cell
        of = f" of {cell.max_epochs}" if cell.max_epochs else ""
        epoch = "preparing" if progress.epoch is None else f"epoch {progress.epoch}{of}"
        score = "" if progress.score is None else f"{cell.monitor} {progress.score:.4f}"
        return cell.name, epoch, score


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
        self._receive_signals()
        self._thread.start()
        return self

    def _receive_signals(self) -> None:
        """The run that answers a signal says so in its log alone."""
        if os.name != "posix":  # The wake-up would need a socket there.
            return
        self._signals, sender = os.pipe()
        for end in (self._signals, sender):
            os.set_blocking(end, False)
            self._resources.callback(os.close, end)
        former = signal.set_wakeup_fd(sender, warn_on_full_buffer=False)
        self._resources.callback(signal.set_wakeup_fd, former)

    def add(self, cell: Cell, state: CellState, is_launched: bool) -> None:
        """Show one more cell; see ``SweepView.add``."""
        self._print(self.view.add(cell, state, is_launched))

    def _watch(self) -> None:
        while not self._ended.wait(INTERVAL_S):
            self._refresh()

    def _refresh(self) -> None:
        if set(self._received()) & set(STOP_SIGNALS):
            self._print(["stopping: what runs saves its state; once more stops at once"])
        self._print(self.view.poll())
        if self._live is not None:
            self._live.refresh()

    def _received(self) -> bytes:
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
