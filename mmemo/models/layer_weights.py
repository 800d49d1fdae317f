"""Which layers of a pretrained model are heard: the last, or a learned weighting of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from mmemo.errors import InputError
from mmemo.models.precision import at_least_float32

Layers = Literal["last", "weighted"]

SHARPNESS = 100.0
"""What the weights' parameters are multiplied with before the softmax. Adam moves a parameter by
about its learning rate in a step whatever the gradient's size: at the rates that models are trained
with, the weights would end where they began."""


class LayerWeights(nn.Module):
    """A weighted sum over layers, with weights that are positive and sum to 1.

    Source: Peters et al. 2018 (ELMo), Yang et al. 2021 (SUPERB). With one layer it is that layer.

    Args:
        num_layers: N.
    """

    def __init__(self, num_layers: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(num_layers)) if num_layers > 1 else None

    def forward(self, layers: Sequence[Tensor]) -> Tensor:
        """N tensors of one shape to one of that shape, of several ones in at least float32."""
        if self.logits is None:
            return layers[0]
        weights = (SHARPNESS * at_least_float32(self.logits)).softmax(dim=0)
        first, *others = (
            weight * at_least_float32(layer) for weight, layer in zip(weights, layers, strict=True)
        )
        weighted: Tensor = sum(others, first)
        return weighted


def check_layers(layers: str, layerdrop: float, frozen: bool, option: str) -> None:
    """Refuse settings of layers that do not fit.

    Raises:
        InputError: If ``layers`` is unknown, or layers would be missing from the weighting.
    """
    if layers not in ("last", "weighted"):
        raise InputError(f"{option}.layers: expected last or weighted, got '{layers}'")
    if layers == "weighted" and layerdrop > 0 and not frozen:
        raise InputError(
            f"{option}.layerdrop: expected 0 where layers=weighted, because a layer that is "
            f"dropped has no output to be weighed, got {layerdrop}; set {option}.layerdrop=0"
        )
