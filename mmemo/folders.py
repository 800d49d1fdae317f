"""Folders that mmemo reads from and writes to, and files that are there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmemo.errors import InputError


def config_dir() -> Path:
    """Folder with the configs: in the package when it was installed, else beside it."""
    package = Path(__file__).resolve().parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


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


def check_writable(folder: Path) -> None:
    """Try a write in a folder that is there, before what is to be written to it is computed.

    Raises:
        InputError: If it cannot be written to.
    """
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"{folder}: expected a folder that can be written to, could not "
            f"({error.strerror or error}); make it writable, or copy it to where you may write"
        ) from error


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A place beside ``path`` to write to, which takes its name when all is written.

    A kill or a full disk at any moment leaves the former file, or none, but never a part of one.
    The place keeps the suffix, by which writers know a format.

    Raises:
        InputError: If it cannot be written, whatever the reason.
    """
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise unwritable(path, error) from error
        raise


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file that is there whole or not at all; text as UTF-8.

    Raises:
        InputError: If it cannot be written.
    """
    with written_whole(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def unwritable(path: Path | str, error: OSError) -> InputError:
    """What is said where a file cannot be written: in one line, whatever was computed for it."""
    return InputError(
        f"{path}: expected to write it, could not ({error.strerror or error}); make room on the "
        "disk, or make the folder writable, and give the command again"
    )
