"""Errors of the user's, found behind others and shown."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from hydra.errors import InstantiationException
from omegaconf.errors import MissingMandatoryValue

from mmemo.errors import InputError

UNWRITABLE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG),
    *(errno.ENAMETOOLONG, errno.EIO),
)
"""Ways of a disk not to take, or not to give, a file."""

WORKER = "in DataLoader worker process"


def input_error(error: BaseException) -> InputError | None:
    """The user's error behind an exception, or a disk's; Hydra wraps what a constructor raises.

    What cannot be built from its settings is the user's too, unless ``HYDRA_FULL_ERROR`` asks for
    where it was raised.
    """
    cause: BaseException | None = error
    unbuilt: InstantiationException | None = None
    while cause is not None:
        if isinstance(cause, MissingMandatoryValue):
            key = cause.full_key or str(cause)
            return InputError(f"{key}: expected a value, got none; give it with {key}=…")
        if isinstance(cause, InputError):
            return _of_worker(cause)
        if isinstance(cause, OSError) and cause.errno in UNWRITABLE:
            return InputError(
                f"{cause.filename or 'a file'}: expected to read or write it, could not "
                f"({cause.strerror}); make room on the disk, or give permission, then give the "
                "command again: what is finished is kept"
            )
        if isinstance(cause, InstantiationException):
            unbuilt = cause
        cause = cause.__cause__
    if unbuilt is None or os.environ.get("HYDRA_FULL_ERROR") == "1":
        return None
    key = str(unbuilt).rpartition("full_key: ")[2].splitlines()[0]
    target = str(unbuilt).partition("'")[2].partition("'")[0]
    return _unbuilt(key, unbuilt.__cause__ or unbuilt, target)


def _unbuilt(option: str, error: BaseException, target: str = "") -> InputError:
    of = f" of {target}" if target else ""
    return InputError(
        f"{option}: expected settings{of} that it can be built with, got {type(error).__name__}: "
        f"{str(error).strip()} (HYDRA_FULL_ERROR=1 shows where)"
    )


@contextmanager
def settings_of(option: str) -> Iterator[None]:
    """Let an error while a part is built name the option that it is built from."""
    try:
        yield
    except Exception as error:
        problem = input_error(error)
        if problem is None and os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        raise problem or _unbuilt(option, error) from error


def _of_worker(error: InputError) -> InputError:
    """The message alone of a loader's process: torch puts a traceback before it."""
    text = str(error)
    name = f"{InputError.__module__}.{InputError.__qualname__}: "
    return InputError(text.rpartition(name)[2].strip()) if WORKER in text else error


def fail(error: Exception) -> NoReturn:
    """Print an error and end with exit status 1."""
    print(f"mmemo: error: {error}", file=sys.stderr)
    sys.exit(1)
