"""What each layer of an encoder knows: linear probes on its pooled features, and their file."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mmemo.documents import read_document
from mmemo.errors import InputError
from mmemo.evaluation.confusion_scores import METRICS
from mmemo.evaluation.intervals import UnitTallies, interval, resampled_scores
from mmemo.evaluation.units import Units

PROBES_FILE = "probes.json"
"""In the folder of a set of explanations."""

CONFIDENCE = 0.95
NUM_RESAMPLES = 2000


@dataclass(frozen=True)
class LayerProbe:
    """How well one layer's pooled features tell the classes apart.

    Args:
        layer: 0 is what goes into the first transformer layer.
        macro_f1: Over utterances, each predicted by a probe that saw none of its group.
        low: Lower bound of the 95 % interval, by bootstrap over groups; None below twenty.
        high: Upper bound.
        num_utterances: That were probed.
        num_groups: Speakers or dialogues among them.
    """

    layer: int
    macro_f1: float
    low: float | None
    high: float | None
    num_utterances: int
    num_groups: int


@dataclass(frozen=True)
class StageProbes:
    """Probes of all layers of one encoder, before or after its training.

    Args:
        encoder: "audio" or "text".
        stage: "before" or "after".
        layers: From the transformer's input up.
    """

    encoder: str
    stage: str
    layers: tuple[LayerProbe, ...]


@dataclass(frozen=True)
class ProbesDocument:
    """Contents of ``probes.json``: probes of a run.

    Args:
        num_utterances: Setting of ``EncoderProbes``.
        groups: Setting of ``EncoderProbes``.
        seed: Setting of ``EncoderProbes``.
        split: Whose utterances were probed.
        encoders: Probes of each encoder and stage.
    """

    VERSION: ClassVar[int] = 1

    num_utterances: int
    groups: str
    seed: int
    split: str
    encoders: tuple[StageProbes, ...]


def read_probes(folder: Path) -> ProbesDocument | None:
    """The probes in the folder of a set; None if there are none.

    Raises:
        InputError: If the file is damaged or of another version.
    """
    path = folder / PROBES_FILE
    if not path.exists():
        return None
    remedy = "remove it and run `mmemo explain` again with probes=true"
    return read_document(path, ProbesDocument, "linear probes of encoders", remedy)


def probe_layers(
    features: NDArray[np.float32],
    targets: Sequence[str],
    groups: Sequence[str],
    num_folds: int = 5,
    seed: int = 0,
) -> list[LayerProbe]:
    """Probe each layer with a logistic regression on standardised features.

    Source: Alain and Bengio 2017 (linear probes). Every utterance is predicted by the probe of the
    fold that its group is not in, so that a layer is not praised for knowing speakers or dialogues.

    Args:
        features: (U, N, D), of each of N layers.
        targets: (U,), class names.
        groups: (U,), speakers or dialogues.
        num_folds: Of the cross-validation; fewer where there are fewer groups, or fewer
            utterances of the most frequent class.
        seed: Of folds and bootstrap.

    Raises:
        InputError: If a probe would have no group to be tested on, or one class to learn.
    """
    names, target = np.unique(np.asarray(targets), return_inverse=True)
    folds = _folds(target, np.asarray(groups), num_folds, seed)
    preds = []
    for layer in range(features.shape[1]):
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        preds.append(cross_val_predict(probe, features[:, layer], target, cv=folds))
    units = Units("group", np.unique(np.asarray(groups), return_inverse=True)[1])
    counts = UnitTallies.of(target, preds, len(names), units)
    metric = {"macro_f1": METRICS["macro_f1"]}
    resampled = resampled_scores(counts, metric, NUM_RESAMPLES, seed)["macro_f1"]
    probes = []
    for layer, macro_f1 in enumerate(counts.scores(METRICS["macro_f1"])):
        low, high = interval(resampled[:, layer], CONFIDENCE, units) or (None, None)
        probes.append(LayerProbe(layer, float(macro_f1), low, high, len(target), units.num))
    return probes


def _folds(
    target: NDArray[np.int64], groups: NDArray[Any], num_folds: int, seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Indices to train and to test on, of each fold."""
    most = min(num_folds, len(set(groups)), int(np.bincount(target).max()))
    folds = []
    if most >= 2:
        splitter = StratifiedGroupKFold(most, shuffle=True, random_state=seed)
        with warnings.catch_warnings():
            # A class that is rarer than there are folds is missed by some of them.
            warnings.filterwarnings("ignore", "The least populated class", UserWarning)
            # A fold may get no group where there are few.
            folds = [fold for fold in splitter.split(target, target, groups) if len(fold[1])]
    if len(folds) < 2 or min(len(set(target[train])) for train, _ in folds) < 2:
        raise InputError(
            "probes=true: expected utterances of at least two groups, and of two classes in what "
            f"each probe learns from, got {len(set(groups))} groups and {len(set(target))} classes "
            f"in {len(target)} utterances; raise layer_probes.num_utterances or choose other "
            "layer_probes.groups"
        )
    return folds
