"""What a training logs beside what every training logs: the user's metrics, and what is monitored.

Apart from ``own_metrics.py``, which is asked before torch is imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torchmetrics import Metric

from mmemo.evaluation.own_metrics import Answers, OwnMetric
from mmemo.training.epoch_metrics import OfProbabilities, OfRows, named_metric
from mmemo.training.monitored_scores import unlogged_metrics


def logged_metrics(
    own: Iterable[OwnMetric], monitors: Iterable[object], classes: Sequence[str]
) -> dict[str, Metric]:
    """By name, of logits (B, C) and targets (B,).

    Args:
        own: The user's.
        monitors: What callbacks watch: ``val/recall_anger``; None where one watches nothing.
        classes: Names of the classes, in label order.

    Raises:
        InputError: If something is monitored that there is not.
    """
    found = {metric.name: _logged(metric) for metric in own}
    return found | {name: named_metric(name, classes) for name in unlogged_metrics(monitors, found)}


def _logged(metric: OwnMetric) -> Metric:
    if metric.is_torchmetrics:
        return OfProbabilities(metric.build())
    return OfRows(lambda preds, target, p: metric.score(Answers(preds, target, p)))
