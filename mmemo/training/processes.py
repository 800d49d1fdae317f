"""The processes that train one run together."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import lightning
from lightning.fabric.plugins.environments.lightning import find_free_network_port
from torch import distributed

from mmemo.errors import InputError

POLL_INTERVAL_S = 0.2
GRACE_S = 10.0
"""How long a process may take to end by itself once another has failed."""


class LocalProcesses:
    """The other processes of a run on this machine; the present one is the first.

    Lightning would start them by repeating the command line in each, which neither a sweep nor a
    command with preparation before training survives. Here the first process prepares everything
    and then starts them on its run folder. In Lightning's eyes they were started from outside,
    as by a cluster (environment variable ``LOCAL_RANK``).

    Entered before the trainer is built, which reads the environment. When it is left, the others
    have ended: on their own where all went well, killed where the first one failed.

    Args:
        arguments: What follows ``python`` on the command line of the others.
        on_failure: Called with a message before this process is ended because another one has
            failed and this one waits for it in vain.
    """

    def __init__(self, arguments: Sequence[str], on_failure: Callable[[str], None]) -> None:
        self.arguments = arguments
        self.on_failure = on_failure
        self.others: list[subprocess.Popen[bytes]] = []
        self._environment: dict[str, str] = {}
        self._ended = threading.Event()
        self._watcher: threading.Thread | None = None

    def __enter__(self) -> LocalProcesses:
        """Name this process the first."""
        self._environment = dict(os.environ)
        os.environ |= {"LOCAL_RANK": "0", "NODE_RANK": "0"}
        return self

    def check(self, trainer: lightning.Trainer) -> None:
        """Check that the trainer asks for processes on this machine.

        Raises:
            InputError: If it asks for other machines.
        """
        if trainer.num_nodes > 1:
            raise InputError(
                f"trainer.num_nodes: expected 1 where Slurm does not start the processes, got "
                f"{trainer.num_nodes}; start the run with srun and trainer=slurm"
            )

    def start(self, trainer: lightning.Trainer) -> None:
        """Start as many as the trainer asks for, beside this one."""
        if trainer.world_size == 1:
            return
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(find_free_network_port())}
        package = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
        for rank in range(1, trainer.world_size):
            environment = os.environ | {"LOCAL_RANK": str(rank), "PYTHONPATH": path}
            self.others.append(subprocess.Popen([sys.executable, *self.arguments], env=environment))
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()

    def _watch(self) -> None:
        while not self._ended.wait(POLL_INTERVAL_S):
            problem = self._failure()
            if problem and not self._ended.wait(GRACE_S):
                self.on_failure(problem)
                self._kill()
                os._exit(1)

    def _failure(self) -> str | None:
        for rank, other in enumerate(self.others, start=1):
            if other.poll():
                return (
                    f"expected every process to train to the end, process {rank} ended with exit "
                    f"status {other.returncode}; what it said stands above"
                )
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType
    ) -> None:
        """Wait for the others or kill them, and leave the environment as it was.

        Raises:
            InputError: If another process failed, and this one because of it.
        """
        self._ended.set()
        if self._watcher is not None:
            self._watcher.join()
        is_reported = isinstance(error, InputError)
        is_fault = isinstance(error, Exception) and not is_reported
        # A lost connection is noticed here before the end of the process that caused it, which
        # takes its time on a busy machine.
        limit_s = 0.0 if is_reported else 2.0 if is_fault and not _is_lost(error) else GRACE_S
        problem = self._wait(limit_s, until_one_ends=is_fault)
        self._kill()
        if distributed.is_available() and distributed.is_initialized():
            distributed.destroy_process_group()
        os.environ.clear()
        os.environ.update(self._environment)
        if problem and (error is None or is_fault):
            raise InputError(problem) from error

    def _wait(self, timeout_s: float, until_one_ends: bool) -> str | None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            running = [other for other in self.others if other.poll() is None]
            if not running or (until_one_ends and self._failure()):
                break
            time.sleep(0.05)
        return self._failure()

    def _kill(self) -> None:
        for other in self.others:
            if other.poll() is None:
                other.kill()
                other.wait()


def _is_lost(error: BaseException | None) -> bool:
    """Whether an error says that another process is gone; gloo's has no type of its own."""
    is_torchs = distributed.is_available() and isinstance(error, distributed.DistError)
    return is_torchs or "onnection closed" in str(error)


def leave_together(trainer: lightning.Trainer) -> None:
    """Leave the process group once all that share it have nothing more to ask of each other.

    A process that ends while threads of the group still run can abort at its very end.
    """
    if trainer.world_size > 1 and distributed.is_available() and distributed.is_initialized():
        trainer.strategy.barrier()
        distributed.destroy_process_group()


@contextmanager
def ending_with_parent() -> Iterator[None]:
    """End this process when the one that started it was killed: it would wait for it for ever."""
    parent = os.getppid()
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(POLL_INTERVAL_S):
            if os.getppid() != parent:
                os._exit(1)

    # No thread is left to the end of the interpreter.
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
