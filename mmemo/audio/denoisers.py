"""Speech enhancement before anything else sees the sound."""

from __future__ import annotations

import os
import pickle
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from unittest.mock import patch

from mmemo.audio.deepfilternet_checkpoint import find_checkpoint, model_digest
from mmemo.audio.deepfilternet_package import import_enhance, package_version
from mmemo.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


class Denoiser(Protocol):
    """Takes noise out of speech. Instances are pickled into the workers that use them."""

    name: str
    sample_rate: int

    @property
    def version(self) -> str:
        """Names everything that its output depends on; part of a prepared corpus' name."""
        ...

    def check(self) -> None:
        """Load what it needs, so that a fault shows before any clip is decoded."""
        ...

    def __call__(self, waveform: Tensor) -> Tensor:
        """Enhance (T,) at ``sample_rate``; same length, same alignment."""
        ...


class DeepFilterNet2:
    """DeepFilterNet2 with its official checkpoint, at 48 kHz, on the CPU.

    Source: Schröter et al. 2022, "DeepFilterNet2: Towards Real-Time Speech Enhancement on
    Embedded Devices for Full-Band Audio"; weights as shipped (FFT 960, hop 480).

    Args:
        cache_dir: mmemo's cache folder; the checkpoint is kept there once it was fetched.
        checkpoint_dir: Model folder to use instead (``config.ini`` and ``checkpoints/``).
    """

    name = "deepfilternet2"
    sample_rate = 48_000

    def __init__(self, cache_dir: str | Path, checkpoint_dir: str | Path | None = None) -> None:
        self.cache_dir = Path(cache_dir)
        self.checkpoint_dir = Path(checkpoint_dir) if checkpoint_dir is not None else None
        self._loaded: tuple[Any, Any, Any] | None = None

    @property
    def version(self) -> str:
        """Package version and a digest of the model folder's weights and settings."""
        return f"{package_version()}-{model_digest(self._find())}"

    def check(self) -> None:
        """Find or fetch the checkpoint and load it.

        Raises:
            InputError: If the package is not installed, or there is no usable checkpoint.
        """
        package_version()
        self._load()

    def __call__(self, waveform: Tensor) -> Tensor:
        """Enhance (T,) float32 at 48 kHz; the result does not depend on earlier calls."""
        import torch

        enhance, model, state = self._load()
        with _isolated_environment(), torch.inference_mode():
            enhanced: Tensor = enhance.enhance(model, state, waveform[None])
        return enhanced[0]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the loaded network out: each process loads its own, once."""
        return {**self.__dict__, "_loaded": None}

    def _find(self) -> Path:
        # Looked up once: a later copy of the folder must not change what this object is.
        self.checkpoint_dir = find_checkpoint(self.checkpoint_dir, self.cache_dir)
        return self.checkpoint_dir

    def _load(self) -> tuple[Any, Any, Any]:
        if self._loaded is None:
            folder = self._find()
            enhance = import_enhance()
            with _isolated_environment():
                try:
                    model, state, _ = enhance.init_df(str(folder), log_level="none", log_file=None)
                except (RuntimeError, OSError, EOFError, KeyError, pickle.UnpicklingError) as error:
                    raise InputError(
                        f"denoiser: expected DeepFilterNet2's checkpoint in {folder}, it does not "
                        f"load ({type(error).__name__}: {str(error).splitlines()[0]}); remove the "
                        "folder to have the official one fetched again"
                    ) from error
            from mmemo.audio.deepfilternet_inference import prepare_for_inference

            self._loaded = (enhance, prepare_for_inference(model), state)
        return self._loaded


def _isolated_environment() -> AbstractContextManager[Any]:
    """The package lets any environment variable override its model's settings: hide them all."""
    return patch.dict(os.environ, {"DEVICE": "cpu"}, clear=True)
