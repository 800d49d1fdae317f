"""Training losses: what each utterance costs, and how much it counts in the mean."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from mmemo.errors import InputError
from mmemo.models.precision import FixedBuffers, move_alone


class CrossEntropy(FixedBuffers):
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

    needs_votes = False

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


class RatersCrossEntropy(CrossEntropy):
    """Cross-entropy to the raters' shares of votes, instead of to the class that most gave.

    What raters disagree on is then no error to unlearn. Source: Peterson et al. 2019, "Human
    uncertainty makes classification more robust". Weights of classes count by these shares.
    """

    needs_votes = True

    def weights(self, target: Tensor) -> Tensor:
        """How much each utterance counts in the mean (B,), from shares of votes (B, C)."""
        if self.class_weights is None:
            return torch.ones_like(target[:, 0])
        return target @ self.class_weights


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


class TorchLoss(CrossEntropy):
    """A loss of torch's over logits and class indices, such as CrossEntropyLoss.

    Args:
        name: What the loss is called in the protocol.
        loss: Gives each utterance's loss: ``reduction="none"``.
        balance_classes: As for cross-entropy, where the loss takes weights of classes.

    Raises:
        InputError: If it gives anything else, or is no lower for the right class.
    """

    def __init__(self, name: str, loss: nn.Module, balance_classes: bool = False) -> None:
        super().__init__(name, balance_classes)
        self.loss = loss
        if balance_classes and not hasattr(loss, "weight"):
            raise InputError(
                f"loss.balance_classes: expected false for {name}, which weighs no classes"
            )
        self._check()

    def _check(self) -> None:
        weight = getattr(self.loss, "weight", None)
        logits = torch.eye(3 if weight is None else len(weight))
        target = torch.arange(len(logits))
        try:
            right, wrong = self.loss(logits, target), self.loss(-logits, target)
            is_fit = right.shape == target.shape and bool((right <= wrong).all())
            is_fit &= bool((right < wrong).any()) and math.isfinite(float((right + wrong).sum()))
            problem = "" if is_fit else " and did not get it"
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            problem = f", which it does not take ({str(error).splitlines()[0]})"
        if problem or isinstance(self.loss, nn.NLLLoss):
            raise InputError(
                f"loss._target_: expected a loss of each utterance from logits (B, C) and class "
                f"indices (B,), got {self.name}{problem}; choose one such as "
                "torch.nn.CrossEntropyLoss or torch.nn.MultiMarginLoss, or loss=focal and the like"
            )

    def use_class_counts(self, counts: Sequence[int]) -> None:
        """As for cross-entropy; the weights are the loss' own."""
        super().use_class_counts(counts)
        if self.class_weights is not None:
            self.loss.weight = self.class_weights

    def weights(self, target: Tensor) -> Tensor:
        """How much each utterance counts in the mean (B,): as torch's own mean counts it."""
        weight = getattr(self.loss, "weight", None)
        if isinstance(self.loss, nn.CrossEntropyLoss) and weight is not None:
            counted: Tensor = weight[target]
            return counted
        return torch.ones_like(target, dtype=torch.float32)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Losses (B,) from logits (B, C) and class indices (B,)."""
        weight = getattr(self.loss, "weight", None)
        if weight is not None and weight.dtype != logits.dtype:
            self.loss.weight = weight.to(logits.dtype)
        losses: Tensor = self.loss(logits, target)
        return losses


def build_torch_loss(target: Callable[..., nn.Module], settings: Mapping[str, Any]) -> TorchLoss:
    """A loss of torch's from what ``loss.*`` says.

    Args:
        target: The class.
        settings: Its arguments, and those of mmemo's own losses: where it does not take one of
            these, it may be left as it is without effect (0, false).

    Raises:
        InputError: If it does not take a setting, or is no loss of logits and class indices.
    """
    name = getattr(target, "__name__", str(target))
    taken = inspect.signature(target).parameters
    given = {k: v for k, v in settings.items() if k not in ("name", "balance_classes")}
    for key in [key for key in given if key not in taken]:
        if given.pop(key):
            raise InputError(
                f"loss.{key}: expected a setting of {name}, one of {', '.join(taken)}, got {key}"
            )
    if "reduction" not in taken or given.pop("reduction", "mean") != "mean":
        raise InputError(
            f"loss: expected a loss with the mean over utterances, which mmemo takes itself, got "
            f"{name} with another or none"
        )
    if isinstance(given.get("weight"), list):
        given["weight"] = torch.tensor(given["weight"], dtype=torch.float32)
    try:
        loss = target(**given, reduction="none")
    except (TypeError, ValueError) as error:
        raise InputError(f"loss: expected settings of {name}, got {error}") from error
    return TorchLoss(name, loss, bool(settings.get("balance_classes", False)))


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
