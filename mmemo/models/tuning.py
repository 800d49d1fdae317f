"""How an estimator's hyperparameters are chosen: on validation, or in folds of training rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mmemo.corpora.splits import stratified_folds
from mmemo.errors import InputError
from mmemo.values import check_seed, check_whole

Score = Callable[[NDArray[np.float64], NDArray[np.int64]], float]
"""From probabilities (N, C) and targets (N,) to a number; the highest is best."""


@dataclass(frozen=True)
class LabelledVectors:
    """Utterances as an estimator takes them.

    Args:
        vectors: (N, D).
        targets: (N,), class indices.
        groups: (N,), the number of the group of each: its speaker.
    """

    vectors: NDArray[np.float64]
    targets: NDArray[np.int64]
    groups: NDArray[np.int64]

    def at(self, rows: NDArray[np.int64]) -> LabelledVectors:
        """Some of them."""
        return LabelledVectors(self.vectors[rows], self.targets[rows], self.groups[rows])


Fold = tuple[LabelledVectors, LabelledVectors]
"""What is fitted on, and what is scored."""


class Tuning(Protocol):
    """Says on which rows the settings of a grid are fitted and scored.

    ``metric`` is what is scored; ``group_columns`` name the groups of training rows, and may be
    empty; ``words`` tell where the score is from.
    """

    metric: str
    group_columns: Sequence[str]

    @property
    def words(self) -> str:
        """Where the score is from: "on validation"."""
        ...

    def folds(self, train: LabelledVectors, val: LabelledVectors) -> list[Fold]:
        """The rows of each fold; never those of test."""
        ...


class ValidationTuning:
    """Settings are fitted on training rows and scored on validation.

    Args:
        metric: By any of its names: "uar", "macro_f1", "recall_anger".
    """

    group_columns: Sequence[str] = ()
    words = "on validation"

    def __init__(self, metric: str) -> None:
        self.metric = metric

    def folds(self, train: LabelledVectors, val: LabelledVectors) -> list[Fold]:
        """Training and validation."""
        return [(train, val)]


class InnerFolds:
    """Settings are scored in cross-validation inside the training rows, groups kept together.

    Validation is left for the temperature alone. The chosen setting is fitted on all training
    rows again.

    Args:
        metric: As of ``ValidationTuning``; its mean over the folds counts.
        group_columns: Columns whose values together name a group; a group is in one fold.
        num_folds: At least 2, at most as many as there are groups.
        seed: Of the order in which groups are dealt.

    Raises:
        InputError: If a number is out of its range.
    """

    def __init__(
        self, metric: str, group_columns: Sequence[str], num_folds: int = 5, seed: int = 0
    ) -> None:
        check_whole("classifier.tuning.num_folds", num_folds, 2)
        check_seed("classifier.tuning.seed", seed)
        if not group_columns:
            raise InputError(
                "classifier.tuning.group_columns: expected columns that name what stays in one "
                "fold, got none; write [speaker]"
            )
        self.metric = metric
        self.group_columns = list(group_columns)
        self.num_folds = num_folds
        self.seed = seed

    @property
    def words(self) -> str:
        """Where the score is from."""
        return f"over {self.num_folds} folds of training by {' and '.join(self.group_columns)}"

    def folds(self, train: LabelledVectors, val: LabelledVectors) -> list[Fold]:
        """Each fold's rest and its rows.

        Raises:
            InputError: If there are fewer groups than folds, or a fold has no rows or leaves rows
                of one class alone.
        """
        num_groups = len(np.unique(train.groups))
        if num_groups < self.num_folds:
            raise InputError(
                f"classifier.tuning.num_folds: expected at most the {num_groups} groups of "
                f"training rows by {' and '.join(self.group_columns)}, got {self.num_folds}; lower "
                "it, or choose classifier/tuning=validation"
            )
        rows = np.arange(len(train.targets))
        dealt = stratified_folds(rows, train.targets, train.groups, self.num_folds, self.seed)
        found = [(train.at(outside), train.at(inside)) for outside, inside in dealt]
        for number, (fitted, scored) in enumerate(found, 1):
            num_classes = len(np.unique(fitted.targets))
            if num_classes < 2 or not len(scored.targets):
                raise InputError(
                    "classifier.tuning: expected two classes to fit on and rows to score in each "
                    f"fold, fold {number} of {self.num_folds} by "
                    f"{' and '.join(self.group_columns)} has {num_classes} and "
                    f"{len(scored.targets)}; lower num_folds, or choose "
                    "classifier/tuning=validation"
                )
        return found


@dataclass(frozen=True)
class TriedSetting:
    """One setting of a grid.

    Args:
        settings: By name of the pipeline's parameter its value.
        scores: Of each fold.
    """

    settings: Mapping[str, Any]
    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the folds."""
        return float(np.mean(self.scores))


def best_of(tried: Sequence[TriedSetting]) -> int:
    """The place of the setting with the highest mean score, the first of equal ones."""
    return int(np.argmax([setting.mean for setting in tried]))
