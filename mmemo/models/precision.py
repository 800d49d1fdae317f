"""What is computed and kept in float32, whatever the precision of the model around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def at_least_float32(values: Tensor) -> Tensor:
    """The same values in float32; in float64 where they are in it."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def keep_residuals_in_float32(model: nn.Module) -> None:
    """Hand a model's transformer its first vectors in float32 where autocast has left them in less.

    Those that come out of a linear layer are: the frames of WavLM and its kin, the tokens of
    ELECTRA. What the layers add to them is then added in float32, and the gradients of the norms
    are summed in it: on a CPU, whose autocast leaves norms in the type of their input, and on a
    GPU in models whose layers begin with the norm.
    """
    encoder = getattr(model, "encoder", None)
    if isinstance(encoder, nn.Module):
        encoder.register_forward_pre_hook(_first_in_float32)


def _first_in_float32(encoder: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    if not arguments or not torch.is_autocast_enabled(arguments[0].device.type):
        return arguments
    return (at_least_float32(arguments[0]), *arguments[1:])


def move_alone(convert: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Of what ``nn.Module.to`` would do to a tensor, the move to another device alone."""
    return lambda values: values.to(convert(values).device)


class FixedBuffers(nn.Module):
    """A module without weights whose buffers keep their type when the model's is changed.

    For windows, filter banks and the weights of classes: eight bits are too few for them, and torch
    computes no spectrum in less than 32.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:  # noqa: ANN401
        return super()._apply(move_alone(fn), recurse)  # type: ignore[no-untyped-call]
