"""Metrics of the user's own: functions of a split's answers, or classes of torchmetrics."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmemo.errors import InputError
from mmemo.evaluation.confusion_scores import Floats, class_numbers
from mmemo.evaluation.predictions import PROBABILITY_PREFIX, classes_of
from mmemo.metric_table import Direction

Numbers = NDArray[np.int64]

ARGUMENTS = ("preds", "target", "probabilities")
"""What a function may take, by these names: (N,), (N,) and (N, C)."""


@dataclass(frozen=True)
class Answers:
    """The answers of one model on N utterances.

    Args:
        preds: (N,), class numbers.
        target: (N,), class numbers.
        probabilities: (N, C).
    """

    preds: Numbers
    target: Numbers
    probabilities: Floats

    @classmethod
    def of(cls, table: pd.DataFrame) -> Answers:
        """Of a prediction table."""
        classes = classes_of(table)
        columns = [table[PROBABILITY_PREFIX + name].to_numpy(dtype=np.float64) for name in classes]
        preds, target = (class_numbers(table[column], classes) for column in ("pred", "target"))
        return cls(preds, target, np.stack(columns, axis=1))

    def only(self, rows: Numbers) -> Answers:
        """Some of the utterances, each as often as it is named."""
        return Answers(self.preds[rows], self.target[rows], self.probabilities[rows])


@dataclass(frozen=True)
class OwnMetric:
    """A metric of the user's.

    Args:
        name: What it is called in settings, files and tables.
        direction: Whether the lowest or the highest value is best.
        build: A function of ``preds``, ``target`` and ``probabilities`` (NumPy's, those of them
            that it names), or makes a metric of torchmetrics, which is given probabilities (N, C)
            and targets (N,).
        is_torchmetrics: Which of the two.
    """

    name: str
    direction: Direction
    build: Callable[..., Any]
    is_torchmetrics: bool

    def score(self, answers: Answers) -> float:
        """The metric of these answers.

        Raises:
            InputError: If it fails, or gives something else than a number.
        """
        try:
            value = self._value(answers)
            return float(value)
        except Exception as error:
            raise InputError(
                f"metrics.{self.name}: expected a number of {len(answers.target)} answers, got "
                f"{type(error).__name__}: {error}; correct that metric"
            ) from error

    def score_or_none(self, answers: Answers) -> float | None:
        """The same; None where it is not finite: it is undefined."""
        value = self.score(answers)
        return value if math.isfinite(value) else None

    def _value(self, answers: Answers) -> Any:  # noqa: ANN401
        if not self.is_torchmetrics:
            taken = self.taken()
            return self.build(**{name: vars(answers)[name] for name in taken})
        import torch

        metric = self.build()
        metric.update(torch.from_numpy(answers.probabilities), torch.from_numpy(answers.target))
        return metric.compute()

    def taken(self) -> list[str]:
        """Which of the answers' parts a function takes."""
        parameters = inspect.signature(self.build).parameters
        if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
            return list(ARGUMENTS)
        return [name for name in ARGUMENTS if name in parameters]


def own_scores(table: pd.DataFrame, own: Sequence[OwnMetric]) -> Mapping[str, float | None]:
    """By name the value of each of the user's metrics, of a prediction table."""
    if not own:
        return {}
    answers = Answers.of(table)
    return {metric.name: metric.score_or_none(answers) for metric in own}
