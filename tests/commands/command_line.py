"""``mmemo`` as it is typed, called without the imports of a new process."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from unittest import mock

from hydra.core.global_hydra import GlobalHydra

from mmemo.cli import main


def typed(*arguments: str) -> None:
    """Run a command line in the working folder, as the whole work of a process."""
    sys.argv = ["mmemo", *arguments]
    main()


def call(folder: Path, *arguments: str) -> object:
    """Run a command line in a folder and come back; returns its exit status."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        with mock.patch.object(sys, "argv", ["mmemo", *arguments]):
            main()
    except SystemExit as end:
        return end.code or 0
    finally:
        GlobalHydra.instance().clear()
        os.chdir(before)
    return 0
