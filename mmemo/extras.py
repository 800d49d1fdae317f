"""Packages that mmemo's extras install, and what is said where one of them is missing."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from types import ModuleType

from mmemo.errors import InputError


def check_package(option: str, package: str, extra: str) -> None:
    """Look for a package without importing it.

    Args:
        option: What needs it, as typed: ``audio_encoder``.
        package: By the name that it is imported by.
        extra: Which of mmemo's extras installs it.

    Raises:
        InputError: If it is not installed.
    """
    if find_spec(package) is None:
        raise _missing(option, package, extra, "it is not installed")


def import_package(option: str, package: str, extra: str) -> ModuleType:
    """Import a package.

    Args:
        option: What needs it, as typed: ``augmentation=pitch``.
        package: By the name that it is imported by.
        extra: Which of mmemo's extras installs it.

    Raises:
        InputError: If it, or a library of the system that it needs, is not there.
    """
    try:
        return importlib.import_module(package)
    except (ImportError, OSError) as error:
        raise _missing(option, package, extra, f"it cannot be imported ({error})") from error


def _missing(option: str, package: str, extra: str, why: str) -> InputError:
    return InputError(
        f"{option}: expected the package {package}, {why}; pip install 'mmemo[{extra}]'"
    )
