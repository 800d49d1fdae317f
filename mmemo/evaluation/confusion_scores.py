"""Scores from confusion counts: of one table, of many runs, of thousands of resamples at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmemo.errors import InputError

Floats = NDArray[np.float64]

Metric = Callable[[Floats], Floats]
"""From confusion matrices (..., C, C) to scores (...)."""


def confusion_counts(
    table: pd.DataFrame, classes: Sequence[str], unit: NDArray[np.int64], num_units: int
) -> Floats:
    """Confusion matrix of each unit: (U, C, C), rows target, columns prediction.

    Args:
        table: Prediction table of one split.
        classes: Names of the C classes.
        unit: (N,), which unit each row belongs to, such as its dialogue.
        num_units: U.
    """
    index = pd.Index(classes)
    target, pred = (index.get_indexer(pd.Index(table[column])) for column in ("target", "pred"))
    num_classes = len(classes)
    place = (unit * num_classes + target) * num_classes + pred
    counts = np.bincount(place, minlength=num_units * num_classes**2)
    return counts.reshape(num_units, num_classes, num_classes).astype(np.float64)


def accuracy(confusion: Floats) -> Floats:
    """Share of right answers: (..., C, C) to (...)."""
    right = np.trace(confusion, axis1=-2, axis2=-1)
    return _share(right, confusion.sum(axis=(-2, -1)))


def f1_by_class(confusion: Floats) -> Floats:
    """F1 of each class, 0 where it neither occurs nor is predicted: (..., C, C) to (..., C)."""
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    return _share(2 * right, confusion.sum(axis=-1) + confusion.sum(axis=-2))


def macro_f1(confusion: Floats) -> Floats:
    """Mean of the classes' F1: (..., C, C) to (...)."""
    mean: Floats = f1_by_class(confusion).mean(axis=-1)
    return mean


def weighted_f1(confusion: Floats) -> Floats:
    """Mean of the classes' F1, weighed by how often each occurs: (..., C, C) to (...)."""
    support = confusion.sum(axis=-1)
    return _share((f1_by_class(confusion) * support).sum(axis=-1), support.sum(axis=-1))


METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "macro_f1": macro_f1,
    "weighted_f1": weighted_f1,
}


def check_metric(name: str) -> None:
    """Refuse a metric that there is none of.

    Raises:
        InputError: If the name is none of ``METRICS``.
    """
    if name not in METRICS:
        raise InputError(f"metric: expected one of {', '.join(METRICS)}, got '{name}'")


def _share(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(whole, dtype=np.float64), where=whole > 0)
