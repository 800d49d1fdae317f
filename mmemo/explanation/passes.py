"""Passes through a model: counted, and tried with smaller batches where memory is short."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

Result = TypeVar("Result")

MEMORY_MESSAGES = (
    "DefaultCPUAllocator: can't allocate memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "MPS backend out of memory",
)
"""What torch says of memory where it has no exception of its own."""


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


class ExplanationError(RuntimeError):
    """One utterance cannot be explained; others can.

    The message says which, what happened, and what to do about it.
    """


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of a GPU, or of the machine, did not suffice."""
    is_torchs = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return is_torchs or any(message in str(error) for message in MEMORY_MESSAGES)


def with_smaller_batches(
    compute: Callable[[int], Result], batch_size: int, key: str
) -> tuple[Result, int]:
    """Compute with batches of a size, halved as long as memory does not suffice.

    Args:
        compute: Takes the size of a batch.
        batch_size: The first one, at least 1.
        key: The utterance, for the message.

    Returns:
        The result, and the size that it was computed with.

    Raises:
        ExplanationError: If memory does not suffice for one at a time.
    """
    while True:
        try:
            return compute(batch_size), batch_size
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if batch_size == 1:
                said = (str(error) or type(error).__name__).splitlines()[0]
                raise ExplanationError(
                    f"{key}: expected memory for one pass at a time, it did not suffice ({said}); "
                    "use a machine with more memory, or explain shorter utterances"
                ) from error
        # Outside of the handler: the error holds what was computed until it is gone.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        batch_size //= 2
