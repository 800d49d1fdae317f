"""The number F that is explained: how much a model is for a class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mmemo.errors import InputError

if TYPE_CHECKING:
    # Names are looked up where nothing else needs torch, which takes seconds to import.
    from torch import Tensor

Output = Callable[["Tensor", int], "Tensor"]

PREDICTED, TRUE = "predicted", "true"
"""Targets that differ from utterance to utterance."""


def logit(logits: Tensor, target: int) -> Tensor:
    """The class' logit: (N, C) to (N,)."""
    return logits[:, target]


def log_odds(logits: Tensor, target: int) -> Tensor:
    """log(p / (1 - p)) for the class' probability p: (N, C) to (N,).

    What lifts all logits alike, and so changes no answer, does not move it; and it does not
    saturate where the model is sure.
    """
    import torch

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


def check_target(target: str, classes: Sequence[str]) -> None:
    """Refuse a target that is none.

    Args:
        target: The class that is explained.
        classes: Names of the model's classes.

    Raises:
        InputError: If it is no class, and neither "predicted" nor "true".
    """
    if target not in (PREDICTED, TRUE, *classes):
        raise InputError(
            f"target: expected {PREDICTED}, {TRUE} or one of {', '.join(classes)}, got '{target}'"
        )
