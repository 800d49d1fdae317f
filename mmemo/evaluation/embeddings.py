"""The fused embedding of what a model predicts: what its head is given."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmemo.evaluation.confusion_scores import Floats
from mmemo.evaluation.predictions import Outputs
from mmemo.models.fusion import embedding_of


@contextmanager
def fused_embeddings(module: nn.Module) -> Iterator[list[Tensor]]:
    """Collects the embedding (B, D) float32 of each batch that is predicted inside.

    None where the module, one of the user's own, has no classifier with a fusion.
    """
    found: list[Tensor] = []
    fusion = getattr(getattr(module, "classifier", None), "fusion", None)

    def keep(part: nn.Module, given: Any, fused: Any) -> None:  # noqa: ANN401
        found.append(embedding_of(fused).detach().float().cpu())

    with ExitStack() as stack:
        if isinstance(fusion, nn.Module):
            stack.callback(fusion.register_forward_hook(keep).remove)
        if "torch._dynamo" in sys.modules:
            # A graph that was compiled without the hook would not call it.
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield found


def by_key(outputs: Outputs, keys: Sequence[str]) -> Floats:
    """Embeddings (N, D) in the order of keys (N,), of a model that has given them by batch."""
    vectors = {
        key: vector
        for names, batch in outputs
        for key, vector in zip(names, batch.double().numpy(), strict=True)
    }
    return np.stack([vectors[key] for key in keys])
