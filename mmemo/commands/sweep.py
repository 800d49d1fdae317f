"""A sweep of ``mmemo train``, as the process sees it that launches the cells."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from mmemo.commands.cell import best_score, forget_stop, note_stop
from mmemo.commands.cell_composer import CellComposer
from mmemo.commands.input_errors import fail, input_error
from mmemo.commands.sweep_screen import SweepScreen
from mmemo.errors import InputError
from mmemo.evaluation.sweep_cells import (
    DONE,
    Cell,
    CellState,
    cell_state,
)
from mmemo.reporting.sweep_view import SweepView
from mmemo.training.stop_signals import Stopped, stop_signals

WAIT_S = 0.2


class Sweep:
    """Runs the cells of one command that are not done, and tells how they went.

    Args:
        arguments: What was typed after ``mmemo train``.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self.command = shlex.join(["mmemo", "train", *arguments])
        self.cells: dict[str, Cell] = {}
        self.screen: SweepScreen | None = None
        self.stopped: Stopped | None = None
        self._is_stopping = False

    @contextmanager
    def around_plugins(self) -> Iterator[None]:
        """Put this sweep around the sweeper and the launcher that the config chooses.

        Hydra instantiates plugins from its own packages alone, so that no config can name ours.
        """
        make_sweeper, make_launcher = Plugins.instantiate_sweeper, Plugins.instantiate_launcher

        def sweeper(plugins: Plugins, **parts: Any) -> _WatchedSweeper:  # noqa: ANN401
            return _WatchedSweeper(self, make_sweeper(plugins, **parts), parts["config"])

        def launcher(plugins: Plugins, **parts: Any) -> _CellLauncher:  # noqa: ANN401
            return _CellLauncher(
                self, make_launcher(plugins, **parts), parts["hydra_context"], parts["config"]
            )

        with (
            mock.patch.object(Plugins, "instantiate_sweeper", sweeper),
            mock.patch.object(Plugins, "instantiate_launcher", launcher),
        ):
            yield

    def stop(self, signum: int, frame: FrameType | None) -> None:
        """Let the cells that run in other processes of this machine save their state, then stop.

        Between two cells of this process there is nothing to wait for; inside one, the run itself
        answers the signal.
        """
        if self._is_stopping:
            raise Stopped(signum)
        self._is_stopping = True
        # A terminal sends Ctrl-C to all of them, and a second signal stops without saving.
        if signum != signal.SIGINT:
            for pid in self._processes_here():
                os.kill(pid, signum)
        while self._processes_here():
            time.sleep(WAIT_S)
        # Raised where nothing can be, as in the clean-up between two cells, it would be lost.
        self.stopped = Stopped(signum)
        note_stop(self.stopped)
        raise self.stopped

    def _processes_here(self) -> list[int]:
        pids = []
        for cell in self.cells.values():
            if cell_state(cell.folder) is CellState.RUNNING:
                process = cell.folder.read_info().get("process") or {}
                if process.get("host") == socket.gethostname() and process["pid"] != os.getpid():
                    pids.append(process["pid"])
        return pids

    def end(self, is_stopped: bool) -> bool:
        """Print how the cells went; returns whether all went well that were to be run."""
        states = {name: cell_state(cell.folder) for name, cell in self.cells.items()}
        failed = [self.cells[n] for n, state in states.items() if state is CellState.FAILED]
        left = [n for n, s in states.items() if s in (CellState.INTERRUPTED, CellState.WAITING)]
        for cell in failed:
            error = str(cell.folder.read_info().get("error")).strip().splitlines()[0]
            print(f"failed: {cell.name}: {error}\n  {cell.log_file}", file=sys.stderr)
        if not is_stopped:
            for name in left:
                print(f"ended before its time: {name}", file=sys.stderr)
        if failed or left:
            print(f"not finished; to continue: {self.command}", file=sys.stderr)
        return not failed and not left


class _WatchedSweeper:
    """Hydra's sweeper, with the screen around it and its errors shown.

    Args:
        sweep: The sweep.
        inner: The sweeper, set up.
        config: The sweep's config.
    """

    def __init__(self, sweep: Sweep, inner: Any, config: DictConfig) -> None:  # noqa: ANN401
        self.sweep_of_cells = sweep
        self.inner = inner
        self.config = config

    def sweep(self, arguments: list[str]) -> None:
        """Run all cells; ends the process where one failed."""
        folder = Path(self.config.hydra.sweep.dir).absolute()
        sweep = self.sweep_of_cells
        # The launcher composes every cell itself before the first one is run.
        self.inner.validate_batch_is_legal = lambda batch: None
        forget_stop()
        problem: Exception | None = None
        stopped: Stopped | None = None
        view = SweepView(f"sweep {folder}")
        with stop_signals(sweep.stop), SweepScreen(view) as sweep.screen:
            try:
                self._check()
                self.inner.sweep(arguments)
            except Stopped as error:
                stopped = error
            except Exception as error:
                problem = error
        if sweep.cells:
            print("\n".join([view.counts(), *view.best(), f"sweep folder: {folder}"]))
        stopped = stopped or sweep.stopped
        is_well = sweep.end(is_stopped=stopped is not None)
        if stopped is not None:
            raise stopped
        if problem is not None:
            _show(problem)
        if not is_well:
            sys.exit(1)

    def _check(self) -> None:
        if any(o.startswith("hydra.sweep.subdir=") for o in self.config.hydra.overrides.hydra):
            raise InputError(
                "hydra.sweep.subdir: expected no name for the cells' folders, by which finished "
                "cells are recognised; name the sweep's folder instead, with hydra.sweep.dir=DIR"
            )


def _show(problem: Exception) -> None:
    told = input_error(problem)
    if told is not None:
        fail(told)
    if isinstance(problem, HydraException | OmegaConfBaseException):
        cause = f"\n{problem.__cause__}" if problem.__cause__ else ""
        fail(InputError(f"{problem}{cause}"))
    fail(InputError(f"the sweep has ended: {type(problem).__name__}: {problem}"))


class _CellLauncher(Launcher):
    """Hydra's launcher, given the cells alone that are to be run.

    Args:
        sweep: The sweep.
        inner: The launcher, set up.
        context: What Hydra composes with.
        config: The sweep's config.
    """

    def __init__(
        self, sweep: Sweep, inner: Launcher, context: HydraContext, config: DictConfig
    ) -> None:
        self.sweep = sweep
        self.inner = inner
        self.composer = CellComposer(context.config_loader, config)

    def setup(self, **parts: Any) -> None:  # noqa: ANN401
        """Nothing: the inner one was set up."""

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run what is not done; every job returns its score, or None where it has none.

        Returns:
            One for each job. None has failed as Hydra sees it: a failure would end the sweep.
        """
        cells = [self.composer.cell(list(overrides)) for overrides in job_overrides]
        to_run: dict[str, list[str]] = {}
        for cell, overrides in zip(cells, job_overrides, strict=True):
            if self._is_to_run(cell):
                to_run[cell.name] = self.composer.placed(cell, overrides)
        if to_run:
            self._launch(list(to_run.values()), initial_job_idx)
        return [self._returned(c, o) for c, o in zip(cells, job_overrides, strict=True)]

    def _is_to_run(self, cell: Cell) -> bool:
        state = cell_state(cell.folder)
        is_launched = state not in (*DONE, CellState.RUNNING)
        self.sweep.cells[cell.name] = cell
        assert self.sweep.screen is not None
        self.sweep.screen.add(cell, state, is_launched)
        return is_launched

    def _launch(self, job_overrides: list[list[str]], initial_job_idx: int) -> None:
        try:
            self.inner.launch(job_overrides, initial_job_idx)
        except Exception as error:
            # A worker was killed, say. The folders tell which cells that has cost; those that
            # other processes still work on are waited for.
            what = str(error).splitlines()[:1]
            print(f"mmemo: {type(error).__name__}: {''.join(what)}", file=sys.stderr)
            while any(
                cell_state(cell.folder) is CellState.RUNNING for cell in self.sweep.cells.values()
            ):
                time.sleep(WAIT_S)

    def _returned(self, cell: Cell, overrides: Sequence[str]) -> JobReturn:
        done = JobReturn(overrides=list(overrides), working_dir=str(Path.cwd()))
        done.status = JobStatus.COMPLETED
        is_done = cell_state(cell.folder) in DONE
        done.return_value = best_score(cell.folder) if is_done else None
        return done
