"""The metrics of an epoch: those of the table by torchmetrics, and functions of one's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassF1Score,
    MulticlassMatthewsCorrCoef,
    MulticlassPrecision,
    MulticlassRecall,
)

from mmemo.errors import InputError
from mmemo.metric_table import COMPARED, find_metric, known_names

RowFunction = Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]], float]
"""From predictions (N,), targets (N,) and probabilities (N, C) to a number."""


class UnweightedAverageRecall(MulticlassRecall):
    """Mean recall of the classes that occur: balanced accuracy.

    torchmetrics' own macro mean counts a class that is predicted and does not occur as 0.

    Args:
        num_classes: C.
    """

    def __init__(self, num_classes: int) -> None:
        # Checking their arguments would make a GPU wait for every batch.
        super().__init__(num_classes, average="none", validate_args=False)

    def compute(self) -> Tensor:
        """The mean; 0 before the first utterance."""
        recall = super().compute()
        assert isinstance(self.tp, Tensor)
        assert isinstance(self.fn, Tensor)
        occurs = (self.tp + self.fn) > 0
        return (recall * occurs).sum() / occurs.sum().clamp(min=1)


class MatthewsCorrelation(MulticlassMatthewsCorrCoef):
    """Matthews' correlation coefficient, 0 where all targets or all answers are of one class.

    torchmetrics' own is 1 or -1 there where there are two classes.

    Args:
        num_classes: C.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, validate_args=False)

    def compute(self) -> Tensor:
        """The coefficient."""
        confusion = self.confmat.double()
        num, right = confusion.sum(), confusion.diagonal().sum()
        annotated, predicted = confusion.sum(dim=1), confusion.sum(dim=0)
        together = right * num - (annotated * predicted).sum()
        spread = (num**2 - (annotated**2).sum()) * (num**2 - (predicted**2).sum())
        return torch.where(spread > 0, together / spread.sqrt(), 0.0).float()


class OfClass(Metric):
    """One class' part of a metric that has one for each.

    Args:
        by_class: Computes (C,).
        place: Of the class.
    """

    def __init__(self, by_class: Metric, place: int) -> None:
        super().__init__()
        self.by_class = by_class
        self.place = place

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Note logits or probabilities (B, C) and targets (B,)."""
        self.by_class.update(preds, target)

    def compute(self) -> Tensor:
        """The class' value."""
        value: Tensor = self.by_class.compute()[self.place]
        return value

    def reset(self) -> None:
        """Forget the epoch."""
        super().reset()
        self.by_class.reset()


class OfProbabilities(Metric):
    """A metric of torchmetrics' kind that is given probabilities, as in evaluation.

    Args:
        metric: Takes probabilities (B, C) and targets (B,).
    """

    def __init__(self, metric: Metric) -> None:
        super().__init__()
        self.metric = metric

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Note logits (B, C) and targets (B,)."""
        self.metric.update(torch.softmax(preds.detach().float(), dim=1), target)

    def compute(self) -> Tensor:
        """The metric's value."""
        value: Tensor = self.metric.compute()
        return value

    def reset(self) -> None:
        """Forget the epoch."""
        super().reset()
        self.metric.reset()


class OfRows(Metric):
    """A function of all utterances of an epoch.

    Args:
        function: Of predictions, targets and probabilities of all utterances.
    """

    full_state_update = False

    def __init__(self, function: RowFunction) -> None:
        super().__init__()
        self.function = function
        self.probabilities: list[Tensor] | Tensor
        self.target: list[Tensor] | Tensor
        self.add_state("probabilities", [], dist_reduce_fx="cat")
        self.add_state("target", [], dist_reduce_fx="cat")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Note logits (B, C) and targets (B,)."""
        assert isinstance(self.probabilities, list)
        assert isinstance(self.target, list)
        self.probabilities.append(torch.softmax(preds.detach().double(), dim=1))
        self.target.append(target)

    def compute(self) -> Tensor:
        """The function's value."""
        device = _all(self.target).device
        probabilities = _all(self.probabilities).cpu().numpy()
        target = _all(self.target).cpu().numpy()
        value = self.function(probabilities.argmax(axis=1), target, probabilities)
        return torch.tensor(float(value), dtype=torch.float32, device=device)


def _all(rows: list[Tensor] | Tensor) -> Tensor:
    return torch.cat(rows) if isinstance(rows, list) else rows


def standard_metrics(num_classes: int) -> dict[str, Metric]:
    """Those that every training logs, by name, of logits (B, C) and targets (B,)."""
    return {entry.name: _of_all(entry.name, num_classes) for entry in COMPARED}


def named_metric(name: str, classes: Sequence[str]) -> Metric:
    """A metric by any of its names in the table: ``uar``, ``wa``, ``recall_anger``.

    Args:
        name: Of the metric.
        classes: Names of the classes, in label order.

    Raises:
        InputError: If there is none of that name.
    """
    found = find_metric(name, classes)
    if found is None or found.entry.name == "loss":
        raise InputError(f"metric: expected one of {', '.join(known_names(classes))}, got '{name}'")
    if found.class_name is None:
        return _of_all(found.entry.name, len(classes))
    kinds: dict[str, Any] = {
        "recall": MulticlassRecall,
        "precision": MulticlassPrecision,
        "f1": MulticlassF1Score,
    }
    by_class = kinds[found.entry.name](len(classes), average="none", validate_args=False)
    return OfClass(by_class, list(classes).index(found.class_name))


def _of_all(name: str, num_classes: int) -> Metric:
    builders: dict[str, Callable[[], Metric]] = {
        "accuracy": lambda: MulticlassAccuracy(num_classes, average="micro", validate_args=False),
        "macro_f1": lambda: MulticlassF1Score(num_classes, average="macro", validate_args=False),
        "weighted_f1": lambda: MulticlassF1Score(
            num_classes, average="weighted", validate_args=False
        ),
        "uar": lambda: UnweightedAverageRecall(num_classes),
        "mcc": lambda: MatthewsCorrelation(num_classes),
    }
    return builders[name]()
