"""The deepfilternet package, importable beside any torchaudio."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
import types
from typing import Any

from mmemo.errors import InputError

_ALTERNATIVE = "use Python 3.10 or 3.11, or train without denoising: denoiser=off"


def package_version() -> str:
    """Installed version of deepfilternet.

    Raises:
        InputError: If the package is not installed.
    """
    try:
        return importlib.metadata.version("deepfilternet")
    except importlib.metadata.PackageNotFoundError as error:
        found = f"Python {sys.version_info.major}.{sys.version_info.minor}"
        raise InputError(
            f"denoiser: expected the package deepfilternet, it is not installed ({found}; it "
            f"exists only below Python 3.12); {_ALTERNATIVE}"
        ) from error


def import_enhance() -> Any:  # noqa: ANN401
    """Module ``df.enhance``.

    Its file reader imports a name that torchaudio 2.9 removed and that mmemo, which reads files
    itself, never uses; a placeholder stands in for the name where it is gone.

    Raises:
        InputError: If the package is not installed.
    """
    package_version()
    try:
        importlib.import_module("torchaudio.backend.common")
    except ImportError:
        package = types.ModuleType("torchaudio.backend")
        common = types.ModuleType("torchaudio.backend.common")
        common.__dict__["AudioMetaData"] = type("AudioMetaData", (), {})
        package.__dict__["common"] = common
        sys.modules["torchaudio.backend"] = package
        sys.modules["torchaudio.backend.common"] = common
    return importlib.import_module("df.enhance")
