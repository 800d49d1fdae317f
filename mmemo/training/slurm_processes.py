"""The processes of a run that Slurm starts, on one machine or several."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from types import TracebackType

import lightning
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from torch import distributed
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from mmemo.errors import InputError
from mmemo.training.stop_signals import ignore_stop_signals

RUN_KEY = "run"
END_KEY = "end"
LEAVING_KEY = "leaving"
PORT_OFFSET = 10_000
"""From the port of the process group, 15,000 and the job's last four digits."""
LONGEST_RUN = timedelta(days=30)
GRACE_S = 60.0
"""How long processes wait for each other at the end; the last of them may still write something."""
PATIENCE_S = 5.0
"""How long those that fail do."""


def slurm_environment() -> list[SLURMEnvironment]:
    """What a trainer in Slurm's processes is given; nothing outside of them.

    Lightning's own choice would save and requeue the job on SIGUSR1 inside a step, and says that it
    does where ``Interruption`` has taken that signal over.
    """
    return [SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else []


def slurm_rank() -> int | None:
    """Which process of a step of several this is; None outside of one."""
    if not SLURMEnvironment.detect() or int(os.environ.get("SLURM_NTASKS", "1")) == 1:
        return None
    return int(os.environ["SLURM_PROCID"])


class SlurmStep:
    """The first of the step's processes, all started with one command line, to the others.

    They wait for it until it tells what there is to do, and at the end, when it has written all
    that it writes: all leave the process group together and end with the first one's exit status.
    Slurm ends the other processes by a signal when one has ended badly, and of their statuses the
    step has the largest.
    """

    def __enter__(self) -> SlurmStep:
        """Open the place where the others ask."""
        self._store = _store(is_first=True)
        self._is_announced = False
        _steps[:] = [self]
        return self

    def announce(self, run: Path | None) -> None:
        """Tell the others where the run lies that they train along in; None where there is none."""
        self._store.set(RUN_KEY, "" if run is None else str(run))
        self._is_announced = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Tell the others the exit status, and wait until they have heard it."""
        ignore_stop_signals()
        status = exit_status(error)
        is_orderly = status != 1 or not self._is_announced
        if not self._is_announced:
            self.announce(None)
        self._store.set(END_KEY, str(status))
        if not is_orderly:
            # The others may wait for this process in the middle of a step.
            _leave_group()
        self._wait_for_others(GRACE_S if is_orderly else PATIENCE_S)
        _leave_group()
        _steps.clear()

    def _wait_for_others(self, limit_s: float) -> None:
        num_others = int(os.environ["SLURM_NTASKS"]) - 1
        deadline = time.monotonic() + limit_s
        while self._store.add(LEAVING_KEY, 0) < num_others and time.monotonic() < deadline:
            time.sleep(0.05)


_steps: list[SlurmStep] = []
"""That of this process, while it is the first of one."""


def exit_status(error: BaseException | None) -> int:
    """What a process ends with that this ends."""
    if error is None:
        return 0
    code = error.code if isinstance(error, SystemExit) else 1
    return code if isinstance(code, int) else 0 if code is None else 1


class SlurmProcesses:
    """A run's processes where Slurm has started them; the present one is the first.

    Args:
        folder: The run's, which they all have to see.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> SlurmProcesses:
        """Nothing: the step was entered when the process began."""
        return self

    def check(self, trainer: lightning.Trainer) -> None:
        """Check that the trainer asks for the processes that there are.

        Raises:
            InputError: If Slurm started another number of processes than the trainer asks for.
        """
        num_started = int(os.environ["SLURM_NTASKS"])
        if trainer.num_devices * trainer.num_nodes != num_started:
            raise InputError(
                f"trainer: expected the {num_started} processes that Slurm started, got "
                f"{trainer.num_devices} on each of {trainer.num_nodes} machines; set trainer=slurm "
                "trainer.devices and trainer.num_nodes as in srun's --ntasks-per-node and --nodes"
            )

    def start(self, trainer: lightning.Trainer) -> None:
        """Let the others train along."""
        (step,) = _steps
        step.announce(self.folder)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing: the step ends with the process."""


class SlurmFollower:
    """Any process of the step but the first.

    Signals, which Slurm sends to all, are the first one's to obey, but for those that a training
    takes over.
    """

    def __init__(self) -> None:
        ignore_stop_signals()
        self._store: TCPStore | None = None

    def announced_run(self) -> Path | None:
        """Wait for the first process; the run folder, or None where there is nothing to train.

        It may have failed, and tells why itself, or only had to evaluate.
        """
        try:
            self._store = _store(is_first=False)
            path = self._store.get(RUN_KEY).decode()
        except (distributed.DistNetworkError, distributed.DistStoreError):
            return None
        return Path(path) if path else None

    def end(self, error: BaseException | None) -> int | None:
        """Wait until the first process ends, and leave with it.

        Args:
            error: What ended the work of this process.

        Returns:
            The first one's exit status; None where that is not heard of.
        """
        ignore_stop_signals()
        status = exit_status(error)
        limit_s = PATIENCE_S if status == 1 else GRACE_S if status else LONGEST_RUN.total_seconds()
        if self._store is None:
            return None
        try:
            self._store.wait([END_KEY], timedelta(seconds=limit_s))
            status = int(self._store.get(END_KEY))
            self._store.add(LEAVING_KEY, 1)
        except (distributed.DistNetworkError, distributed.DistStoreError):
            return None
        _leave_group()
        return status


def _leave_group() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _store(is_first: bool) -> TCPStore:
    environment = SLURMEnvironment(auto_requeue=False)
    return TCPStore(
        environment.main_address,
        environment.main_port + PORT_OFFSET,
        is_master=is_first,
        timeout=LONGEST_RUN,
        wait_for_workers=False,
    )
