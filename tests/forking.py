"""Processes of their own that spare the imports: each is forked from one that has done them."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from tempfile import mkdtemp

IMPORTED = ["mmemo.commands.train", "mmemo.commands.prepare", "mmemo.commands.explain"]


@dataclass(frozen=True)
class Forked:
    """A process and where what it prints goes."""

    process: ForkServerProcess
    stdout: Path
    stderr: Path

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def kill(self) -> None:
        """End it without warning."""
        self.process.kill()
        self.process.join()

    def ended(self, timeout_s: float = 300.0) -> int:
        """Wait for its end; its exit status, negative the signal that ended it."""
        self.process.join(timeout_s)
        if self.process.exitcode is None:
            self.kill()
            raise TimeoutError(f"still running after {timeout_s} s: {self.stderr.read_text()}")
        return self.process.exitcode


class Forking:
    """Calls functions of modules in processes of their own; one for all tests."""

    def __init__(self) -> None:
        self.context: ForkServerContext = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(IMPORTED)

    def start(
        self,
        work: Callable[..., object],
        *arguments: object,
        folder: Path,
        environment: Mapping[str, str] | None = None,
    ) -> Forked:
        """Call a function in a folder, with this process' environment or another."""
        outputs = Path(mkdtemp(prefix=".printed-", dir=folder))
        paths = (outputs / "stdout", outputs / "stderr")
        for path in paths:
            path.touch()
        job = (work, arguments, folder, dict(environment or os.environ), paths)
        process = self.context.Process(target=_work, args=job)
        process.start()
        return Forked(process, *paths)


def run_script(path: Path, *arguments: str) -> None:
    """What ``python PATH ARGUMENTS`` does."""
    sys.argv = [str(path), *arguments]
    sys.path.insert(0, str(path.parent))
    runpy.run_path(str(path), run_name="__main__")


def _work(
    work: Callable[..., object],
    arguments: tuple[object, ...],
    folder: Path,
    environment: dict[str, str],
    outputs: tuple[Path, Path],
) -> None:
    for stream, path in enumerate(outputs, start=1):
        os.dup2(os.open(path, os.O_WRONLY), stream)
    # As in a process that was started by hand: this one would start others as it was started.
    multiprocessing.set_start_method(None, force=True)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    work(*arguments)
