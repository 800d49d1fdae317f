"""From frames to one vector for each utterance, over real frames only, in at least float32."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mmemo.errors import InputError
from mmemo.models.precision import at_least_float32

Pooling = Callable[[Tensor, Tensor], Tensor]


def mean(frames: Tensor, mask: Tensor) -> Tensor:
    """Mean of the real frames: (B, F, D) and (B, F) to (B, D)."""
    frames = at_least_float32(frames)
    weights = mask.to(frames.dtype)[:, :, None]
    return (frames * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def mean_std(frames: Tensor, mask: Tensor) -> Tensor:
    """Mean and standard deviation of the real frames: (B, F, D) and (B, F) to (B, 2 D)."""
    frames = at_least_float32(frames)
    centre = mean(frames, mask)
    variance = mean((frames - centre[:, None]) ** 2, mask)
    # The root's slope is infinite at zero, where an utterance has one frame.
    return torch.cat([centre, (variance + 1e-6).sqrt()], dim=1)


def first(frames: Tensor, mask: Tensor) -> Tensor:
    """The first frame, such as a classification token: (B, F, D) to (B, D)."""
    return at_least_float32(frames[:, 0])


_POOLINGS: dict[str, tuple[Pooling, int]] = {
    "mean": (mean, 1),
    "mean_std": (mean_std, 2),
    "first": (first, 1),
}


def get_pooling(name: str) -> tuple[Pooling, int]:
    """Pooling of the given name, and how many times D its output has.

    Raises:
        InputError: If there is none of that name.
    """
    if name not in _POOLINGS:
        raise InputError(f"pooling: expected one of {', '.join(_POOLINGS)}, got '{name}'")
    return _POOLINGS[name]
