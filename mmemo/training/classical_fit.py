"""Fitting a classical classifier on the frozen features of a run's data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import MetricCollection

from mmemo.corpora.splits import group_numbers
from mmemo.data.datamodule import EmotionDataModule
from mmemo.errors import InputError
from mmemo.models.classical import ClassicalClassifier
from mmemo.models.tuning import LabelledVectors, Score, TriedSetting, Tuning, best_of
from mmemo.training.epoch_metrics import named_metric
from mmemo.training.module import EmotionModule


@dataclass(frozen=True)
class ClassicalFit:
    """What came of it.

    Args:
        tried: The settings that were tried.
        chosen: Place of the chosen one.
        scores: Of the fitted classifier on training and validation: ``train/loss``, ``val/uar``.
        importance: Of each feature (D,), by what selected some; None where nothing did.
        selected: Places of the features that were selected; None for all.
    """

    tried: Sequence[TriedSetting]
    chosen: int
    scores: Mapping[str, float]
    importance: NDArray[np.float64] | None = None
    selected: NDArray[np.int64] | None = None


def fit_classical(
    module: EmotionModule,
    classifier: ClassicalClassifier,
    datamodule: EmotionDataModule,
    device: torch.device,
) -> ClassicalFit:
    """Fit a classifier on training rows; what was tried is scored as its tuning says.

    Test is not read.

    Args:
        module: Whose classifier it is; its metrics are computed.
        classifier: The same.
        datamodule: The run's data.
        device: That the encoders compute on.

    Raises:
        InputError: If the metric is unknown, a group has no name, there are fewer groups than
            folds, or a setting cannot be fitted.
    """
    classifier.to(device).eval()
    tuning = classifier.tuning
    train = _vectors(classifier, datamodule, "train", device, tuning)
    val = _vectors(classifier, datamodule, "val", device, tuning)
    score = _score(tuning.metric, datamodule.labels.classes)
    estimator = classifier.estimator
    tried = estimator.fit(train, val, tuning, score)
    scores: dict[str, float] = {}
    for split, stage, rows in (("train", "fit", train), ("val", "validate", val)):
        with torch.inference_mode():
            logits = estimator(torch.from_numpy(rows.vectors).float()).float()
        targets = torch.from_numpy(rows.targets)
        scores[f"{split}/loss"] = float(torch.nn.functional.cross_entropy(logits, targets))
        scores |= _metrics(module.metrics[stage], logits, targets)
    selection = estimator.fitted().named_steps.get("selection")
    return ClassicalFit(
        tried,
        best_of(tried),
        scores,
        getattr(selection, "importance_", None),
        getattr(selection, "selected_", None),
    )


def _metrics(collection: Any, logits: Tensor, targets: Tensor) -> dict[str, float]:  # noqa: ANN401
    own: MetricCollection = collection.clone().cpu()
    own.update(logits, targets)
    return {name: float(value) for name, value in own.compute().items()}


def _vectors(
    classifier: ClassicalClassifier,
    datamodule: EmotionDataModule,
    split: str,
    device: torch.device,
    tuning: Tuning,
) -> LabelledVectors:
    """The features of a split's utterances side by side, in the order of its rows."""
    parts, targets = [], []
    with torch.inference_mode():
        for batch in datamodule.ordered_dataloader(split):
            fused = classifier.fuse(classifier.encode(batch.to(device)))
            assert isinstance(fused, Tensor)
            parts.append(fused.float().cpu())
            targets.append(batch.target)
    rows = datamodule.datasets[split].rows
    # Validation is never dealt to folds: its groups need no names.
    columns = tuning.group_columns if split == "train" else ()
    groups = _groups(rows, columns) if columns else np.arange(len(rows))
    vectors = torch.cat(parts).double().numpy()
    if not np.isfinite(vectors).all():
        wrong = rows["key"].iloc[int(np.argmin(np.isfinite(vectors).all(axis=1)))]
        raise InputError(
            f"{wrong}: expected features that are numbers, got some that are infinite or none; "
            "leave the utterance out, or choose other features"
        )
    return LabelledVectors(vectors, torch.cat(targets).numpy(), groups)


def _groups(rows: Any, columns: Sequence[str]) -> NDArray[np.int64]:  # noqa: ANN401
    try:
        return group_numbers(rows, columns, "classifier/tuning")
    except InputError as error:
        raise InputError(
            f"classifier.tuning.group_columns: {str(error).partition(': ')[2]}"
        ) from error


def _score(metric: str, classes: Sequence[str]) -> Score:
    """The metric of that name as a function of probabilities and targets."""
    counted = named_metric(metric, classes)

    def score(probabilities: NDArray[np.float64], targets: NDArray[np.int64]) -> float:
        counted.reset()
        counted.update(torch.from_numpy(probabilities), torch.from_numpy(targets))
        return float(counted.compute())

    return score
