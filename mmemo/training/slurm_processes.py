"""The processes of a run that Slurm starts, on one machine or several."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from types import TracebackType

import lightning
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from torch import distributed
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from mmemo.errors import InputError

RUN_KEY = "run"
PORT_OFFSET = 10_000
"""From the port of the process group, 15,000 and the job's last four digits."""
LONGEST_PREPARATION = timedelta(days=7)


def slurm_rank() -> int | None:
    """Which process of a step of several this is; None outside of one."""
    if not SLURMEnvironment.detect() or int(os.environ.get("SLURM_NTASKS", "1")) == 1:
        return None
    return int(os.environ["SLURM_PROCID"])


class SlurmProcesses:
    """Tells the processes of the step, all started with one command line, where the run lies.

    They wait for the first process, which prepares everything, and learn its failure.

    Args:
        folder: The run's, which they all have to see.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._is_reported = False

    def __enter__(self) -> SlurmProcesses:
        """Open the place where the others ask."""
        self._store = _store(is_first=True)
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
        self._store.set(RUN_KEY, str(self.folder))
        self._is_reported = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Tell the others where there is nothing to train."""
        if not self._is_reported:
            self._store.set(RUN_KEY, "")


def announced_run() -> Path | None:
    """Wait for the first process; the run folder, or None where there is nothing to train.

    It may have failed, and tells why itself, or only had to evaluate.
    """
    try:
        path = _store(is_first=False).get(RUN_KEY).decode()
    except (distributed.DistNetworkError, distributed.DistStoreError):
        return None
    return Path(path) if path else None


def _store(is_first: bool) -> TCPStore:
    environment = SLURMEnvironment(auto_requeue=False)
    return TCPStore(
        environment.main_address,
        environment.main_port + PORT_OFFSET,
        is_master=is_first,
        timeout=LONGEST_PREPARATION,
        wait_for_workers=False,
    )
