"""Hydra's way into the sweeps of ``mmemo train``: plugins that wrap those that the user chooses.

Hydra imports this file when it starts, for whatever program: what takes time is imported later.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from mmemo.runs.group_choices import speech_model

if TYPE_CHECKING:
    from mmemo.sweep.launcher import CellLaunch, Sweep

# Configs refer to it in their defaults: it has to be known wherever Hydra composes, also in the
# processes of a launcher.
OmegaConf.register_new_resolver("speech_model", speech_model, replace=True)


class SweepOfCells(Callback):
    """Lets a sweep be run by ``CellSweeper``, whichever sweeper and launcher are chosen.

    Args:
        command: What the user typed, to be given again, quoted as in a URL; None for what Hydra
            tells of it.
        is_dry: Only list the cells.
    """

    def __init__(self, command: str | None = None, is_dry: bool = False) -> None:
        self.command = command
        self.is_dry = is_dry

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ANN401
        """Put the sweeper around the chosen one, before Hydra builds it."""
        from mmemo.sweep.launcher import wrap

        wrap(config, "sweeper", CellSweeper, command=self.command, is_dry=self.is_dry)


class JobsInQueue(Callback):
    """Lets jobs of a Slurm cluster be watched by its queue, in whatever sweep they are sent."""

    def __init__(self) -> None:
        self._watched = ExitStack()

    def __reduce__(self) -> tuple[type[JobsInQueue], tuple[()]]:
        """A new one, for the jobs, to which Hydra sends all callbacks."""
        return type(self), ()

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ANN401
        """Watch the queue where a launcher sends jobs to one."""
        if str(config.hydra.launcher.get("_target_")).endswith(".SlurmLauncher"):
            from mmemo.sweep.slurm_queue import watched_queue

            self._watched.enter_context(watched_queue())

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ANN401
        """Leave submitit as it was."""
        self._watched.close()


class CellSweeper(Sweeper):
    """Runs the chosen sweeper, with a view of the cells around it and its errors shown.

    Args:
        chosen: Config of the chosen sweeper.
        command: As ``SweepOfCells`` has it.
        is_dry: As ``SweepOfCells`` has it.
    """

    def __init__(self, chosen: DictConfig, command: str | None, is_dry: bool) -> None:
        self.chosen = chosen
        self.command = command
        self.is_dry = is_dry

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Set up the chosen sweeper, whose launcher is a ``CellLauncher``."""
        from mmemo.sweep.launcher import Sweep

        command = None if self.command is None else unquote(self.command)
        self._sweep: Sweep = Sweep(config, self.chosen, command, self.is_dry)
        self._sweep.set_up(hydra_context, task_function, CellLauncher, UncheckedSweeper)

    def sweep(self, arguments: list[str]) -> None:
        """Run all cells; ends the process where one failed."""
        self._sweep.run(arguments)


class UncheckedSweeper(BasicSweeper):
    """Hydra's own sweeper, which leaves it to ``CellLauncher`` to compose each cell first."""

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Nothing: settings that a choice lacks are left out, and each cell is composed once."""


class CellLauncher(Launcher):
    """Gives the chosen launcher the cells that are to be run.

    Args:
        chosen: Config of the chosen launcher.
    """

    def __init__(self, chosen: DictConfig) -> None:
        self.chosen = chosen

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Set up the chosen launcher; the context is that which a ``CellSweeper`` handed on."""
        from mmemo.sweep.launcher import CellLaunch

        self._cells: CellLaunch = CellLaunch(hydra_context, task_function, config, self.chosen)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run what is not done; every job returns its score, or None where it has none."""
        return self._cells.launch(job_overrides, initial_job_idx)
