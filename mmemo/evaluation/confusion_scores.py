"""Scores from counts by class: of one table, of many runs, of thousands of resamples at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmemo.errors import InputError
from mmemo.metric_table import find_metric, known_names

Floats = NDArray[np.float64]


class Tallies(NamedTuple):
    """What scores are made of, by class: (..., C) each, of shapes that broadcast.

    Args:
        right: Utterances of the class that were predicted as it.
        predicted: Utterances that were predicted as the class.
        annotated: Utterances of the class.
    """

    right: Floats
    predicted: Floats
    annotated: Floats

    @classmethod
    def of(cls, confusion: Floats) -> Tallies:
        """Of confusion matrices (..., C, C), rows target, columns prediction."""
        right = np.diagonal(confusion, axis1=-2, axis2=-1)
        return cls(right, confusion.sum(axis=-2), confusion.sum(axis=-1))


Metric = Callable[[Tallies], Floats]
"""From tallies (..., C) to scores (...)."""


def confusion_counts(table: pd.DataFrame, classes: Sequence[str]) -> Floats:
    """Confusion matrix (C, C) of a prediction table: rows target, columns prediction.

    Args:
        table: Prediction table of one split.
        classes: Names of the C classes.
    """
    target, pred = (class_numbers(table[column], classes) for column in ("target", "pred"))
    counts = np.bincount(target * len(classes) + pred, minlength=len(classes) ** 2)
    return counts.reshape(len(classes), len(classes)).astype(np.float64)


def class_numbers(names: pd.Series[str], classes: Sequence[str]) -> NDArray[np.int64]:
    """Place in ``classes`` of each name (N,)."""
    values = names.array
    if isinstance(values, pd.Categorical):
        places = {name: place for place, name in enumerate(classes)}
        # The last one is of a name that is missing, which has the code -1.
        numbers = np.array([*(places.get(name, -1) for name in values.categories), -1], np.int64)
        found: NDArray[np.int64] = numbers[values.codes]
        return found
    return pd.Index(classes).get_indexer(pd.Index(names)).astype(np.int64)


def accuracy(tallies: Tallies) -> Floats:
    """Share of right answers: (..., C) to (...)."""
    return _share(tallies.right.sum(axis=-1), tallies.annotated.sum(axis=-1))


def f1_by_class(tallies: Tallies) -> Floats:
    """F1 of each class, 0 where it neither occurs nor is predicted: (..., C) to (..., C)."""
    return _share(2 * tallies.right, tallies.predicted + tallies.annotated)


def macro_f1(tallies: Tallies) -> Floats:
    """Mean of the classes' F1: (..., C) to (...)."""
    mean: Floats = f1_by_class(tallies).mean(axis=-1)
    return mean


def weighted_f1(tallies: Tallies) -> Floats:
    """Mean of the classes' F1, weighed by how often each occurs: (..., C) to (...)."""
    sums = (f1_by_class(tallies) * tallies.annotated).sum(axis=-1)
    return _share(sums, tallies.annotated.sum(axis=-1))


def recall_by_class(tallies: Tallies) -> Floats:
    """Share of each class that is found, 0 where it does not occur: (..., C) to (..., C)."""
    return _share(tallies.right, tallies.annotated)


def precision_by_class(tallies: Tallies) -> Floats:
    """Share of what is called a class that is it, 0 where none is: (..., C) to (..., C)."""
    return _share(tallies.right, tallies.predicted)


def uar(tallies: Tallies) -> Floats:
    """Unweighted average recall: mean over the classes that occur, (..., C) to (...).

    Balanced accuracy; of a split that has all classes the mean of their recalls.
    """
    occurs = np.broadcast_to(tallies.annotated > 0, recall_by_class(tallies).shape)
    return _share(recall_by_class(tallies).sum(axis=-1), occurs.sum(axis=-1).astype(np.float64))


def mcc(tallies: Tallies) -> Floats:
    """Matthews' correlation coefficient of targets and answers: (..., C) to (...).

    0 where all targets, or all answers, are of one class. Source: Gorodkin 2004, "Comparing two
    K-category assignments by a K-category correlation coefficient".
    """
    num = tallies.annotated.sum(axis=-1)
    together = tallies.right.sum(axis=-1) * num - (tallies.predicted * tallies.annotated).sum(-1)
    spread = [num**2 - (part**2).sum(axis=-1) for part in (tallies.predicted, tallies.annotated)]
    return _share(together, np.sqrt(spread[0] * spread[1]))


def misjudged_as(place: int) -> Metric:
    """Share of the utterances of other classes that is taken for one class: its false alarms.

    Args:
        place: Of the class in label order.

    Returns:
        A metric, 0 where there are no utterances of other classes.
    """

    def share(tallies: Tallies) -> Floats:
        wrong = tallies.predicted[..., place] - tallies.right[..., place]
        return _share(wrong, tallies.annotated.sum(axis=-1) - tallies.annotated[..., place])

    return share


def only_of(metric: Metric, counted: Metric) -> Metric:
    """A metric that is not a number where nothing is counted that it is of.

    In draws, where a score of 0 would be taken for one: an interval of such draws is none.

    Args:
        metric: The metric.
        counted: Counts, from the same tallies, what it is of: the utterances of a class.
    """

    def score(tallies: Tallies) -> Floats:
        found: Floats = np.where(counted(tallies) > 0, metric(tallies), np.nan)
        return found

    return score


METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "macro_f1": macro_f1,
    "weighted_f1": weighted_f1,
    "uar": uar,
    "mcc": mcc,
}
"""What every comparison tells, by the names of the table of metrics."""

BY_CLASS: dict[str, Metric] = {
    "recall": recall_by_class,
    "precision": precision_by_class,
    "f1": f1_by_class,
}


def metric_of(name: str, classes: Sequence[str]) -> Metric:
    """A metric by any of its names in the table: ``uar``, ``wa``, ``recall_anger``.

    Args:
        name: Of the metric.
        classes: Names of the C classes.

    Raises:
        InputError: If there is none of that name.
    """
    found = find_metric(name, classes)
    if found is None or found.entry.name not in {*METRICS, *BY_CLASS}:
        raise InputError(f"metric: expected one of {', '.join(known_names(classes))}, got '{name}'")
    if found.class_name is None:
        return METRICS[found.entry.name]
    by_class, place = BY_CLASS[found.entry.name], list(classes).index(found.class_name)
    return lambda tallies: by_class(tallies)[..., place]


def check_metric(name: str, own: Sequence[str] = ()) -> None:
    """Refuse a metric that there is none of.

    Args:
        name: Of the metric; any class may be in it.
        own: Names of the user's metrics.

    Raises:
        InputError: If the name is none of the table's, nor the user's.
    """
    found = find_metric(name)
    if name not in own and (found is None or found.entry.name not in {*METRICS, *BY_CLASS}):
        raise InputError(
            f"metric: expected one of {', '.join([*known_names(), *own])}, got '{name}'"
        )


def _share(part: Floats, whole: Floats) -> Floats:
    out = np.zeros(np.broadcast_shapes(part.shape, whole.shape))
    return np.divide(part, whole, out=out, where=whole > 0)
