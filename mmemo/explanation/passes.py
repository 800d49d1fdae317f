"""Passes through a model: what an explanation costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Passes:
    """Numbers of passes of one utterance, perturbed or not; a batch of N counts N times.

    Args:
        forward: From input to answer, also where one modality was encoded before.
        backward: From answer to input.
    """

    forward: int
    backward: int

    def __add__(self, other: Passes) -> Passes:
        """Both together."""
        return Passes(self.forward + other.forward, self.backward + other.backward)


class PassCounter:
    """Counts passes while they are done.

    Args:
        progress: Called with the number of passes, of both kinds, that were just done.
    """

    def __init__(self, progress: Callable[[int], None] | None = None) -> None:
        self.done = Passes(0, 0)
        self._progress = progress

    def count(self, forward: int = 0, backward: int = 0) -> None:
        """Add passes."""
        self.done += Passes(forward, backward)
        if self._progress is not None:
            self._progress(forward + backward)
