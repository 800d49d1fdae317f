"""Metrics of one split, from its prediction table alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torchmetrics.functional.classification import (
    binary_auroc,
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)

from mmemo.evaluation.calibration import NUM_BINS
from mmemo.evaluation.predictions import PROBABILITY_PREFIX, classes_of


def compute_metrics(table: pd.DataFrame, majority_class: str) -> dict[str, Any]:
    """Metrics of the rows of one split.

    Precision, recall and F1 of a class that is never predicted, or never occurs, are 0, and
    macro averages run over all C classes, as in scikit-learn with ``zero_division=0`` and all
    labels given. The area under the ROC curve of a class that does not occur, or is the only
    one, is not defined: null, and left out of the macro mean.

    Args:
        table: Prediction table of one split.
        majority_class: The training split's most frequent class, for the baseline.

    Returns:
        ``num_utterances, accuracy, macro, weighted, per_class, auroc_macro, ece`` and
        ``majority_baseline``; ``ece`` is the expected calibration error of the top class over 15
        equal bins (Guo et al. 2017).
    """
    classes = classes_of(table)
    target = _indices(table["target"], classes)
    pred = _indices(table["pred"], classes)
    probabilities = torch.tensor(
        table[[PROBABILITY_PREFIX + name for name in classes]].to_numpy(), dtype=torch.float64
    )
    auroc = [_auroc(probabilities[:, i], target == i) for i in range(len(classes))]
    defined = [value for value in auroc if value is not None]
    ece = multiclass_calibration_error(probabilities, target, len(classes), NUM_BINS)
    scores = _scores(pred, target, classes)
    for name, value in zip(classes, auroc, strict=True):
        scores["per_class"][name]["auroc"] = value
    baseline = torch.full_like(target, classes.index(majority_class))
    baseline_scores = _scores(baseline, target, classes)
    return {
        "num_utterances": len(table),
        **scores,
        "auroc_macro": sum(defined) / len(defined) if defined else None,
        "ece": float(ece),
        "majority_baseline": {
            "class": majority_class,
            "accuracy": baseline_scores["accuracy"],
            "macro_f1": baseline_scores["macro"]["f1"],
            "weighted_f1": baseline_scores["weighted"]["f1"],
        },
    }


def _scores(pred: Tensor, target: Tensor, classes: Sequence[str]) -> dict[str, Any]:
    num_classes = len(classes)
    functions = {
        "precision": multiclass_precision,
        "recall": multiclass_recall,
        "f1": multiclass_f1_score,
    }
    per_class = {
        metric: function(pred, target, num_classes, average="none").double()
        for metric, function in functions.items()
    }
    support = torch.bincount(target, minlength=num_classes)
    # torchmetrics leaves classes that neither occur nor are predicted out of its macro mean.
    macro = {metric: float(values.mean()) for metric, values in per_class.items()}
    weights = support.double() / support.sum()
    weighted = {metric: float((values * weights).sum()) for metric, values in per_class.items()}
    return {
        "accuracy": float(multiclass_accuracy(pred, target, num_classes, average="micro")),
        "macro": macro,
        "weighted": weighted,
        "per_class": {
            name: {
                **{metric: float(values[index]) for metric, values in per_class.items()},
                "support": int(support[index]),
            }
            for index, name in enumerate(classes)
        },
    }


def _auroc(scores: Tensor, is_class: Tensor) -> float | None:
    if bool(is_class.all()) or not bool(is_class.any()):
        return None
    value = float(binary_auroc(scores, is_class.long()))
    return None if math.isnan(value) else value


def _indices(names: pd.Series[str], classes: Sequence[str]) -> Tensor:
    return torch.tensor([classes.index(name) for name in names])


def metrics_table(metrics: dict[str, dict[str, Any]], split_protocol: str) -> pd.DataFrame:
    """The metrics of each split as one table: a row for each class and each average.

    Args:
        metrics: For each split what ``compute_metrics`` gives.
        split_protocol: Stamp of the protocol, for the column of that name.
    """
    rows: list[dict[str, Any]] = []
    for split, values in metrics.items():
        size = values["num_utterances"]
        for name, scores in values["per_class"].items():
            rows.append({"split": split, "row": name, **scores})
        averages = {"accuracy": {"f1": values["accuracy"]}}
        averages |= {"macro": {**values["macro"], "auroc": values["auroc_macro"]}}
        averages |= {"weighted": values["weighted"]}
        rows.extend({"split": split, "row": n, "support": size, **v} for n, v in averages.items())
        baseline = values["majority_baseline"]
        name = f"always {baseline['class']}"
        rows.append({"split": split, "row": f"{name}: accuracy", "f1": baseline["accuracy"]})
        rows.append({"split": split, "row": f"{name}: macro", "f1": baseline["macro_f1"]})
    columns = ["split", "row", "precision", "recall", "f1", "auroc", "support"]
    table = pd.DataFrame(rows, columns=columns).astype({"support": "Int64"})
    return table.assign(split_protocol=split_protocol)
