"""The attention of an encoder's layers, for what looks inside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmemo.models.pooling import Pooling


@dataclass(frozen=True)
class Attentions:
    """How the layers of an encoder attend, and how it pools what comes out.

    Args:
        layers: (B, H, F, F) of each, bottom first: row i says what frame i takes from each;
            empty where the encoder tells none.
        pooled: (B, F), the share of each frame, or token, in the utterance's vector.
        mask: (B, F), True where a frame is real.
    """

    layers: tuple[Tensor, ...]
    pooled: Tensor
    mask: Tensor


def pooling_shares(pool: Pooling, mask: Tensor) -> Tensor:
    """Share (B, F) of each frame in what a pooling makes of frames; of their mean with "mean_std".

    Args:
        pool: A pooling whose first D numbers are linear in the frames.
        mask: (B, F).
    """
    num_frames = mask.shape[1]
    # Frame i has 1 in place i and 0 elsewhere.
    frames = torch.eye(num_frames, device=mask.device).expand(len(mask), -1, -1)
    return pool(frames, mask)[:, :num_frames]


@contextmanager
def recorded_attentions(model: Any) -> Iterator[list[Tensor]]:  # noqa: ANN401
    """Attentions (B, H, F, F) of a transformers model's layers, as it computes inside the block.

    Fused attention has no weights to show: the model attends as it stands in transformers for
    so long, with the same answer but for rounding.

    Args:
        model: A transformers model in evaluation mode.
    """
    found: list[Tensor] = []
    keeping = [module for module in model.modules() if hasattr(module, "keeps_weights")]
    config, attention = model.config, model.config._attn_implementation
    tells = getattr(config, "output_attentions", False)
    hook = model.register_forward_hook(lambda _, __, out: found.extend(out.attentions or ()))
    try:
        model.set_attn_implementation("eager")
        config.output_attentions = True
        for module in keeping:
            module.keeps_weights = True
        yield found
    finally:
        hook.remove()
        for module in keeping:
            module.keeps_weights = False
        config.output_attentions = tells
        model.set_attn_implementation(attention)
