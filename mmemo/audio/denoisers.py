"""Speech enhancement before anything else sees the sound."""

from __future__ import annotations

from typing import Protocol

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
