"""What is computed and kept in float32, whatever the precision of the model around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def at_least_float32(values: Tensor) -> Tensor:
    """The same values in float32; in float64 where they are in it."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def move_alone(convert: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Of what ``nn.Module.to`` would do to a tensor, the move to another device alone."""
    return lambda values: values.to(convert(values).device)


class FixedBuffers(nn.Module):
    """A module without weights whose buffers keep their type when the model's is changed.

    For windows and filter banks: eight bits are too few for them, and torch computes no spectrum
    in less than 32.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:  # noqa: ANN401
        return super()._apply(move_alone(fn), recurse)  # type: ignore[no-untyped-call]
