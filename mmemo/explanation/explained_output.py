"""The number F that is explained: how much a model is for a class."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mmemo.errors import InputError

Output = Callable[[Tensor, int], Tensor]


def logit(logits: Tensor, target: int) -> Tensor:
    """The class' logit: (N, C) to (N,)."""
    return logits[:, target]


def log_odds(logits: Tensor, target: int) -> Tensor:
    """log(p / (1 - p)) for the class' probability p: (N, C) to (N,).

    What lifts all logits alike, and so changes no answer, does not move it; and it does not
    saturate where the model is sure.
    """
    others = torch.cat([logits[:, :target], logits[:, target + 1 :]], dim=1)
    return logits[:, target] - others.logsumexp(dim=1)


def log_probability(logits: Tensor, target: int) -> Tensor:
    """The natural logarithm of the class' probability: (N, C) to (N,)."""
    return logits.log_softmax(dim=1)[:, target]


def probability(logits: Tensor, target: int) -> Tensor:
    """The class' probability: (N, C) to (N,)."""
    return logits.softmax(dim=1)[:, target]


_OUTPUTS: dict[str, Output] = {
    output.__name__: output for output in (log_odds, logit, log_probability, probability)
}


def get_output(name: str) -> Output:
    """The output of a name.

    Raises:
        InputError: If there is none of that name.
    """
    if name not in _OUTPUTS:
        raise InputError(f"output: expected one of {', '.join(_OUTPUTS)}, got '{name}'")
    return _OUTPUTS[name]
