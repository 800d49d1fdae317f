"""A sweep of ``mmemo train``, as the process sees it that launches the cells.

Hydra builds ``hydra_plugins.mmemo_sweep``, which hands its work on to here.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from types import FrameType

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.plugins.plugin import Plugin
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmemo.errors import InputError
from mmemo.folders import config_dir
from mmemo.runs.input_errors import fail, input_error
from mmemo.runs.overrides import with_nulls
from mmemo.sweep.cell import best_score, forget_stop, note_stop
from mmemo.sweep.cells import DONE, Cell, CellComposer, CellState, cell_state
from mmemo.sweep.listing import ListedCell, listing, remove_traces
from mmemo.sweep.screen import SweepScreen, SweepView
from mmemo.sweep.search_seeds import changeable, is_search, named_seeds, read_nulls, taken_seeds
from mmemo.training.stop_signals import Stopped, stop_signals

WAIT_S = 0.2


def wrap(
    config: DictConfig, part: str, plugin: type[Plugin], **settings: str | bool | None
) -> None:
    """Let Hydra build a plugin of mmemo's, given the config of the chosen one.

    Args:
        config: The sweep's config.
        part: "sweeper" or "launcher".
        plugin: Takes the chosen one's config as ``chosen``.
        settings: Its other arguments.
    """
    target = {"_target_": _name(plugin), "_recursive_": False}
    _put(config, part, {**target, "chosen": config.hydra[part], **settings})


def _name(plugin: type[Plugin]) -> str:
    return f"{plugin.__module__}.{plugin.__qualname__}"


def _put(config: DictConfig, part: str, plugin: object) -> None:
    with changeable(config):
        config.hydra[part] = plugin


class LaunchedCells:
    """The cells of one command, which a signal stops.

    Args:
        command: What the user typed.
    """

    def __init__(self, command: str) -> None:
        self.command = command
        self.cells: dict[str, Cell] = {}
        self.stopped: Stopped | None = None
        self._is_stopping = False

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
                with suppress(InputError):
                    process = cell.folder.read_info().process
                    here = process is not None and process.host == socket.gethostname()
                    if process is not None and here and process.pid != os.getpid():
                        pids.append(process.pid)
        return pids

    def end(self, is_stopped: bool) -> bool:
        """Print how the cells went; returns whether all went well that were to be run."""
        states = {name: cell_state(cell.folder) for name, cell in self.cells.items()}
        failed = [self.cells[n] for n, state in states.items() if state is CellState.FAILED]
        unended = (CellState.INTERRUPTED, CellState.WAITING, CellState.DAMAGED)
        left = [name for name, state in states.items() if state in unended]
        for cell in failed:
            with suppress(InputError):
                lines = str(cell.folder.read_info().error).strip().splitlines() or [""]
                print(f"failed: {cell.name}: {lines[0]}\n  {cell.log_file}", file=sys.stderr)
        if not is_stopped:
            for name in left:
                print(f"ended before its time: {name}", file=sys.stderr)
        if failed or left:
            print(f"not finished; to continue: {self.command}", file=sys.stderr)
        return not failed and not left


class Sweep:
    """Runs the cells of one command that are not done, and tells how they went.

    A search has no axis of seeds: it would find the luckiest. Each of its trials is trained with
    all of them, and is as good as their mean.

    Args:
        config: Of the sweep.
        chosen: Config of the chosen sweeper.
        command: What the user typed; None for what Hydra tells of it.
        is_dry: Only list the cells.
    """

    def __init__(
        self, config: DictConfig, chosen: DictConfig, command: str | None, is_dry: bool
    ) -> None:
        _put(config, "sweeper", chosen)
        typed = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
        assert isinstance(typed, list)
        self.config = config
        self.is_dry = is_dry
        self.listed: list[ListedCell] = []
        self.launched = LaunchedCells(command or shlex.join(["mmemo", "train", *typed]))
        self.screen: SweepScreen | None = None
        self.is_search = is_search(config)
        self.seeds: list[str] = []
        self.left_out: dict[str, str] = {}

    def set_up(
        self,
        context: HydraContext,
        task_function: TaskFunction,
        launcher: type[Launcher],
        unchecked: type[Sweeper],
    ) -> None:
        """Build the chosen sweeper.

        Args:
            context: Hydra's.
            task_function: Hydra's.
            launcher: The plugin that wraps the chosen launcher.
            unchecked: Stands for Hydra's own sweeper.
        """
        read_nulls(self.config)
        if self.is_search:
            try:
                self.seeds = taken_seeds(self.config)
            except InputError as error:
                fail(error)
        else:
            with changeable(self.config):
                self.config.hydra.sweeper["_target_"] = _name(unchecked)
        wrap(self.config, "launcher", launcher)
        own = SweepContext(context.config_loader, context.callbacks, self)
        self.inner = Plugins.instance().instantiate_sweeper(
            hydra_context=own, task_function=task_function, config=self.config
        )

    def run(self, arguments: list[str]) -> None:
        """Run all cells; ends the process where one failed.

        Args:
            arguments: The overrides, as Hydra has read them.
        """
        folder = Path(self.config.hydra.sweep.dir).absolute()
        forget_stop()
        problem: Exception | None = None
        stopped: Stopped | None = None
        view = SweepView(f"sweep {folder}")
        with stop_signals(self.launched.stop), SweepScreen(view) as self.screen:
            try:
                self._check()
                self.inner.sweep(self._without_seeds(arguments))
            except _ListedError:
                pass
            except Stopped as error:
                stopped = error
            except Exception as error:
                problem = error
        for key in self.left_out:
            print(f"{key}: left out where what was chosen has no such setting", file=sys.stderr)
        if self.is_dry and problem is None and stopped is None:
            print(listing(self.listed, folder, self.is_search))
            remove_traces(folder, Path(self.config.output_dir).absolute())
            return
        if self.launched.cells:
            print("\n".join([*self._results(folder, view), f"sweep folder: {folder}"]))
        stopped = stopped or self.launched.stopped
        is_well = self.launched.end(is_stopped=stopped is not None)
        if stopped is not None:
            raise stopped
        if problem is not None:
            _show(problem)
        if not is_well:
            sys.exit(1)

    def _without_seeds(self, arguments: list[str]) -> list[str]:
        """What a search varies: its seeds are taken out, and kept."""
        if not self.is_search:
            return arguments
        typed = [argument for argument in arguments if named_seeds(argument)]
        self.seeds = named_seeds(typed[-1]) if typed else self.seeds
        return [argument for argument in arguments if argument not in typed]

    def _results(self, folder: Path, view: SweepView) -> list[str]:
        """What the cells have come to, and the commands that show more of it."""
        # Imported here: it takes pandas, which no help needs.
        from mmemo.sweep.table import folds_text, scores_text, upload_command

        cells = list(self.launched.cells.values())
        table = scores_text(cells, _ranking_metric())
        if not table:
            return [view.counts(), *view.best()]
        folds = folds_text(cells, _ranking_metric())
        lines = [f"{table}\n", *([f"{folds}\n"] if folds else []), view.counts()]
        lines.append(f"compare: mmemo compare {shlex.quote(str(folder))}")
        upload = upload_command(folder, cells)
        return [*lines, *([f"not uploaded to W&B yet; to do that: {upload}"] if upload else [])]

    def _check(self) -> None:
        if any(o.startswith("hydra.sweep.subdir=") for o in self.config.hydra.overrides.hydra):
            raise InputError(
                "hydra.sweep.subdir: expected no name for the cells' folders, by which finished "
                "cells are recognised; name the sweep's folder instead, with hydra.sweep.dir=DIR"
            )


@dataclass
class SweepContext(HydraContext):
    """Hydra's context, which a sweeper hands on to its launcher.

    Args:
        sweep: That the launcher is of.
    """

    sweep: Sweep


class CellLaunch:
    """Gives the chosen launcher those cells of a sweep that are to be run.

    Args:
        context: A ``SweepContext``.
        task_function: Hydra's.
        config: The sweep's config.
        chosen: Config of the chosen launcher.
    """

    def __init__(
        self,
        context: HydraContext,
        task_function: TaskFunction,
        config: DictConfig,
        chosen: DictConfig,
    ) -> None:
        assert isinstance(context, SweepContext)
        self.sweep = context.sweep
        _put(config, "launcher", chosen)
        # Sent to other processes, to which the sweep itself cannot go.
        plain = HydraContext(context.config_loader, context.callbacks)
        self.inner = Plugins.instance().instantiate_launcher(
            hydra_context=plain, task_function=task_function, config=config
        )
        self.composer = CellComposer(context.config_loader, config)
        self.sweep.left_out = self.composer.lacking

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run what is not done; every job returns its score, or None where it has none.

        Returns:
            One for each job, over the folds and seeds that it stands for. None has failed as Hydra
            sees it: a failure would end the sweep.
        """
        jobs = [[with_nulls(override) for override in job] for job in job_overrides]
        cells = [[self.composer.cell(o) for o in self._each_run(job)] for job in jobs]
        if not self.sweep.is_search:
            self.composer.check_lacking()
        if self.sweep.is_dry:
            self.sweep.listed += [ListedCell(c, tuple(o)) for job in cells for c, o in job]
            if self.sweep.is_search:
                raise _ListedError
            return [JobReturn(status=JobStatus.COMPLETED) for _ in jobs]
        to_run: dict[str, list[str]] = {}
        for cell, overrides in (pair for job in cells for pair in job):
            if self._is_to_run(cell):
                to_run[cell.name] = self.composer.placed(cell, overrides)
        if to_run:
            self._launch(list(to_run.values()), initial_job_idx)
        return [
            self._returned([cell for cell, _ in pairs], overrides)
            for pairs, overrides in zip(cells, job_overrides, strict=True)
        ]

    def _each_run(self, overrides: list[str]) -> list[list[str]]:
        """A job's overrides for each of its seeds and of the folds that it is to test."""
        return [
            o for seeded in self._with_seeds(overrides) for o in self.composer.each_fold(seeded)
        ]

    def _with_seeds(self, overrides: list[str]) -> list[list[str]]:
        """A trial's overrides for each of its seeds; as they are where it has none."""
        if not self.sweep.seeds:
            return [overrides]
        return [[*overrides, f"seed={seed}"] for seed in self.sweep.seeds]

    def _is_to_run(self, cell: Cell) -> bool:
        state = cell_state(cell.folder)
        is_launched = state not in (*DONE, CellState.RUNNING)
        self.sweep.launched.cells[cell.name] = cell
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
                cell_state(cell.folder) is CellState.RUNNING
                for cell in self.sweep.launched.cells.values()
            ):
                time.sleep(WAIT_S)

    def _returned(self, cells: Sequence[Cell], overrides: Sequence[str]) -> JobReturn:
        done = JobReturn(overrides=list(overrides), working_dir=str(Path.cwd()))
        done.status = JobStatus.COMPLETED
        is_done = all(cell_state(cell.folder) in DONE for cell in cells)
        scores = [best_score(cell.folder) for cell in cells] if is_done else [None]
        known = [score for score in scores if score is not None]
        done.return_value = fmean(known) if len(known) == len(scores) else None
        return done


def _ranking_metric() -> str:
    """What ``mmemo compare`` ranks by."""
    return str(OmegaConf.load(config_dir() / "compare.yaml").metric)


class _ListedError(Exception):
    """Ends a search whose first cells have been listed."""


def _show(problem: Exception) -> None:
    users = input_error(problem)
    if users is not None:
        fail(users)
    if isinstance(problem, HydraException | OmegaConfBaseException):
        cause = f"\n{problem.__cause__}" if problem.__cause__ else ""
        fail(InputError(f"{problem}{cause}"))
    fail(InputError(f"the sweep has ended: {type(problem).__name__}: {problem}"))
