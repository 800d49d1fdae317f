"""Metrics of one split, from its prediction table alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torchmetrics.functional.classification import (
    binary_auroc,
    multiclass_accuracy,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)

from mmemo.evaluation.calibration import table_calibration_error
from mmemo.evaluation.confusion_scores import Tallies, confusion_counts, mcc, uar
from mmemo.evaluation.own_metrics import OwnMetric, own_scores
from mmemo.evaluation.predictions import CORPUS, PROBABILITY_PREFIX, classes_of
from mmemo.evaluation.run_metrics import Averages, ClassScores, MajorityBaseline, SplitMetrics


def compute_metrics(
    table: pd.DataFrame, majority_class: str, own: Sequence[OwnMetric] = ()
) -> SplitMetrics:
    """Metrics of the rows of one split.

    Precision, recall and F1 of a class that is never predicted, or never occurs, are 0, and
    macro averages run over all C classes, as in scikit-learn with ``zero_division=0`` and all
    labels given. The area under the ROC curve of a class that does not occur, or is the only
    one, is not defined: null, and left out of the macro mean. So is the recall of a class that
    does not occur out of the unweighted average recall, which is balanced accuracy.

    Args:
        table: Prediction table of one split.
        majority_class: The training split's most frequent class, for the baseline.
        own: Metrics of the user's own.

    Returns:
        The metrics; ``ece`` is the expected calibration error of the top class over 15 equal bins
        (Guo et al. 2017).
    """
    classes = classes_of(table)
    target = _indices(table["target"], classes)
    pred = _indices(table["pred"], classes)
    probabilities = torch.tensor(
        table[[PROBABILITY_PREFIX + name for name in classes]].to_numpy(), dtype=torch.float64
    )
    auroc = [_auroc(probabilities[:, i], target == i) for i in range(len(classes))]
    defined = [value for value in auroc if value is not None]
    tallies = Tallies.of(confusion_counts(table, classes))
    scores = _Scores.of(pred, target, len(classes))
    always = torch.full_like(target, classes.index(majority_class))
    baseline = _Scores.of(always, target, len(classes))
    support = torch.bincount(target, minlength=len(classes))
    return SplitMetrics(
        num_utterances=len(table),
        accuracy=scores.accuracy,
        macro=scores.macro,
        weighted=scores.weighted,
        per_class={
            name: ClassScores(*scores.per_class[i], int(support[i]), auroc[i])
            for i, name in enumerate(classes)
        },
        auroc_macro=sum(defined) / len(defined) if defined else None,
        ece=table_calibration_error(table),
        majority_baseline=MajorityBaseline(
            majority_class, baseline.accuracy, baseline.macro.f1, baseline.weighted.f1
        ),
        uar=float(uar(tallies)),
        mcc=float(mcc(tallies)),
        own=own_scores(table, own),
    )


def corpus_metrics(
    table: pd.DataFrame, majority_class: str, own: Sequence[OwnMetric] = ()
) -> dict[str, dict[str, SplitMetrics]]:
    """Metrics of each of several corpora, by split; nothing where there is one.

    Args:
        table: Prediction table of all evaluated splits.
        majority_class: As of ``compute_metrics``.
        own: Metrics of the user's own.
    """
    if table[CORPUS].nunique() < 2:
        return {}
    return {
        str(corpus): {
            str(split): compute_metrics(rows, majority_class, own)
            for split, rows in part.groupby("split", sort=False)
        }
        for corpus, part in table.groupby(CORPUS, sort=False)
    }


@dataclass(frozen=True)
class _Scores:
    accuracy: float
    macro: Averages
    weighted: Averages
    per_class: Sequence[tuple[float, float, float]]

    @classmethod
    def of(cls, pred: Tensor, target: Tensor, num_classes: int) -> _Scores:
        functions = (multiclass_precision, multiclass_recall, multiclass_f1_score)
        per_class = [f(pred, target, num_classes, average="none").double() for f in functions]
        support = torch.bincount(target, minlength=num_classes)
        weights = support.double() / support.sum()
        return cls(
            float(multiclass_accuracy(pred, target, num_classes, average="micro")),
            # torchmetrics leaves classes that neither occur nor are predicted out of its macro
            # mean.
            Averages(*(float(values.mean()) for values in per_class)),
            Averages(*(float((values * weights).sum()) for values in per_class)),
            list(zip(*(values.tolist() for values in per_class), strict=True)),
        )


def _auroc(scores: Tensor, is_class: Tensor) -> float | None:
    if bool(is_class.all()) or not bool(is_class.any()):
        return None
    value = float(binary_auroc(scores, is_class.long()))
    return None if math.isnan(value) else value


def _indices(names: pd.Series[str], classes: Sequence[str]) -> Tensor:
    return torch.tensor([classes.index(name) for name in names])


def metrics_table(metrics: Mapping[str, SplitMetrics], split_protocol: str) -> pd.DataFrame:
    """The metrics of each split as one table: a row for each class, average and single number.

    ``score`` holds what is one number: accuracy (WA), UAR, MCC, and the user's own metrics.

    Args:
        metrics: By split.
        split_protocol: Stamp of the protocol, for the column of that name.
    """
    rows: list[dict[str, Any]] = []
    for split, found in metrics.items():
        for name, scores in found.per_class.items():
            rows.append({"split": split, "row": name, **asdict(scores)})
        averages: dict[str, dict[str, Any]] = {
            "accuracy": {"f1": found.accuracy, "score": found.accuracy},
            "macro": {**asdict(found.macro), "auroc": found.auroc_macro},
            "weighted": asdict(found.weighted),
            **{name: {"score": value} for name, value in found.single_scores.items()},
        }
        size = found.num_utterances
        rows.extend({"split": split, "row": n, "support": size, **v} for n, v in averages.items())
        baseline = found.majority_baseline
        name = f"always {baseline.majority_class}"
        rows.append({"split": split, "row": f"{name}: accuracy", "f1": baseline.accuracy})
        rows.append({"split": split, "row": f"{name}: macro", "f1": baseline.macro_f1})
    columns = ["split", "row", "precision", "recall", "f1", "auroc", "score", "support"]
    table = pd.DataFrame(rows, columns=columns).astype({"support": "Int64"})
    return table.assign(split_protocol=split_protocol)
