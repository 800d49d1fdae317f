"""Errors of the user's, found behind others and shown."""

from __future__ import annotations

import sys
from typing import NoReturn

from omegaconf.errors import MissingMandatoryValue

from mmemo.errors import InputError


def input_error(error: BaseException) -> InputError | None:
    """The user's error behind an exception; Hydra wraps what a constructor raises."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MissingMandatoryValue):
            key = cause.full_key or str(cause)
            return InputError(f"{key}: expected a value, got none; give it with {key}=…")
        if isinstance(cause, InputError):
            return cause
        cause = cause.__cause__
    return None


def fail(error: Exception) -> NoReturn:
    """Print an error and end with exit status 1."""
    print(f"mmemo: error: {error}", file=sys.stderr)
    sys.exit(1)
