"""Training losses: what each utterance costs, and how much it counts in the mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from mmemo.errors import InputError
from mmemo.models.precision import move_alone


class CrossEntropy(nn.Module):
    """Cross-entropy of each utterance, with class weights and label smoothing where asked for.

    The loss of a batch is the sum of ``forward`` over the sum of ``weights``: what torch's mean
    is, and the same whatever processes the batch is shared among.

    Args:
        name: What the loss is called in the protocol.
        balance_classes: Weigh class c, with n_c of N training utterances, by N / (C n_c): all
            classes together count the same. Source: King and Zeng 2001, "Logistic Regression in
            Rare Events Data", as in scikit-learn's ``class_weight="balanced"``.
        label_smoothing: Share of the target that is spread evenly over all classes, in [0, 1).
            Source: Szegedy et al. 2016, "Rethinking the Inception Architecture".

    Raises:
        InputError: If the share is out of range.
    """

    def __init__(
        self, name: str, balance_classes: bool = False, label_smoothing: float = 0.0
    ) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise InputError(
                "loss.label_smoothing: expected a share of the target, from 0 to less than 1, got "
                f"{label_smoothing}"
            )
        self.name = name
        self.balance_classes = balance_classes
        self.label_smoothing = label_smoothing
        # Made of the training split again in every run: no part of the saved state.
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", None, persistent=False)

    def use_class_counts(self, counts: Sequence[int]) -> None:
        """Take the number of training utterances of each of C classes, in label order.

        Raises:
            InputError: If classes are balanced and one has no utterance.
        """
        if not self.balance_classes:
            return
        if min(counts) == 0:
            raise InputError(
                f"loss={self.name}: expected training utterances of every class, got "
                f"{', '.join(map(str, counts))} in label order; choose loss=cross_entropy or "
                "labels without the absent class"
            )
        numbers = torch.tensor(counts, dtype=torch.float64)
        self.class_weights = (numbers.sum() / (len(counts) * numbers)).float()

    def weights(self, target: Tensor) -> Tensor:
        """How much each utterance counts in the mean (B,), from class indices (B,)."""
        if self.class_weights is None:
            return torch.ones_like(target, dtype=torch.float32)
        return self.class_weights[target]

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Losses (B,), weighted, from logits (B, C) and class indices (B,)."""
        return nn.functional.cross_entropy(
            logits,
            target,
            weight=None if self.class_weights is None else self.class_weights.to(logits.dtype),
            reduction="none",
            label_smoothing=self.label_smoothing,
        )


class FocalLoss(CrossEntropy):
    """Cross-entropy of each utterance times (1 - p)^gamma, p the probability of its class.

    Source: Lin et al. 2017, "Focal Loss for Dense Object Detection", equation 5, over a softmax.

    Args:
        name: What the loss is called in the protocol.
        gamma: 0 for cross-entropy; the higher, the less well-answered utterances count.
        balance_classes: As for cross-entropy.

    Raises:
        InputError: If gamma is negative, or between 0 and 1, where the gradient of a certain
            answer is not finite.
    """

    def __init__(self, name: str, gamma: float = 2.0, balance_classes: bool = False) -> None:
        super().__init__(name, balance_classes)
        if gamma != 0 and gamma < 1:
            raise InputError(
                f"loss.gamma: expected 0, or 1 and more, got {gamma}; the paper's is loss.gamma=2"
            )
        self.gamma = gamma

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Losses (B,), weighted, from logits (B, C) and class indices (B,)."""
        plain = nn.functional.cross_entropy(logits, target, reduction="none")
        # expm1 keeps 1 - p exact where p is close to 1.
        return self.weights(target) * (-torch.expm1(-plain)) ** self.gamma * plain


class EpochLoss(Metric):
    """The loss of all utterances of an epoch: the sum of theirs over the sum of their weights.

    torchmetrics' MeanMetric either makes a GPU wait, to look for what is not a number, or leaves
    the weights out (``nan_strategy="disable"``, as of 1.9). The sums stay in float32 where the
    model's weights are not: bfloat16 counts to 256.
    """

    total: Tensor
    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("total", "weight"):
            self.add_state(name, torch.zeros(()), dist_reduce_fx="sum")

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> Any:  # noqa: ANN401
        return super()._apply(move_alone(fn), exclude_state)

    def update(self, losses: Tensor, weights: Tensor) -> None:
        """Add losses (B,), weighted already, and weights (B,)."""
        self.total += losses.sum()
        self.weight += weights.sum()

    def compute(self) -> Tensor:
        """The loss; not a number without utterances."""
        return self.total / self.weight
