"""Speech enhancement before anything else sees the sound."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

Samples = np.ndarray[tuple[int], np.dtype[np.float32]]
"""A waveform (T,), full scale at 1."""


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

    def __call__(self, waveform: Samples) -> Samples:
        """Enhance (T,) float32 at ``sample_rate``; same length, same alignment."""
        ...


@runtime_checkable
class KeptDenoiser(Protocol):
    """A denoiser that needs files which no package carries.

    It takes ``assets_dir``, the folder of a run that it has saved them in, to be built from there.
    """

    def save_assets(self, folder: Path) -> None:
        """Write what is needed to build the denoiser again; nothing, where nothing is."""
        ...
