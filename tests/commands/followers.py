"""The other processes of a run, forked where a run would start interpreters of its own."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.forking import Forking


class ForkedFollower:
    """As ``subprocess.Popen``, for ``python -m MODULE ARGUMENTS``.

    Args:
        forking: Starts it.
        command: The interpreter, ``-m``, the module and its arguments.
        env: Of the process.
    """

    def __init__(self, forking: Forking, command: Sequence[str], env: Mapping[str, str]) -> None:
        interpreter, option, *module = command
        assert (interpreter, option) == (sys.executable, "-m")
        self._forked = forking.start(run_module, *module, folder=Path.cwd(), environment=env)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit status once it has ended; what it has printed is then printed here."""
        code = self._forked.process.exitcode
        if code is not None and self.returncode is None:
            self.returncode = code
            for stream, path in ((1, self._forked.stdout), (2, self._forked.stderr)):
                os.write(stream, path.read_bytes())
        return code

    def kill(self) -> None:
        self._forked.kill()

    def wait(self) -> None:
        self._forked.process.join()
        self.poll()


def run_module(name: str, *arguments: str) -> None:
    sys.argv = [name, *arguments]
    runpy.run_module(name, run_name="__main__")
