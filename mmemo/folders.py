"""Folders that the user names and mmemo writes to."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mmemo.errors import InputError


def writable_folder(path: str | Path, option: str) -> Path:
    """Make the folder where it is missing and try a write in it.

    Args:
        path: The folder.
        option: The setting that named it, for the message.

    Raises:
        InputError: If it cannot be made or written to.
    """
    folder = Path(path).expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"{option}: expected a folder that can be written to, cannot write to {folder} "
            f"({error.strerror or error}); name another one with {option}=DIR"
        ) from error
    return folder
