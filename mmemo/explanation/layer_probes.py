"""What each layer of an encoder knows: linear probes on its pooled features."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from mmemo.data.batch import AudioInput, TextInput
from mmemo.errors import InputError
from mmemo.evaluation.confusion_scores import METRICS
from mmemo.evaluation.intervals import UnitTallies, interval, resampled_scores
from mmemo.evaluation.units import Units
from mmemo.models.audio_encoders import PretrainedAudioEncoder
from mmemo.models.text_encoders import PretrainedTextEncoder

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


def layer_features(
    encoder: PretrainedAudioEncoder | PretrainedTextEncoder, given: AudioInput | TextInput
) -> Tensor:
    """Pooled features of the input of a model's transformer and of each layer: (B, N, D_out)."""
    with torch.inference_mode():
        if isinstance(encoder, PretrainedAudioEncoder):
            audio = cast(AudioInput, given)
            layers, mask = encoder.backbone(audio, True)
        else:
            text = cast(TextInput, given)
            output = encoder.model(
                input_ids=text.input_ids,
                attention_mask=text.mask.long(),
                output_hidden_states=True,
            )
            layers, mask = list(output.hidden_states), text.pooled_mask
        return torch.stack([encoder.pool(layer, mask) for layer in layers], dim=1)


def has_layers(encoder: nn.Module | None) -> bool:
    """Whether an encoder is a pretrained model whose layers can be probed."""
    return isinstance(encoder, PretrainedAudioEncoder | PretrainedTextEncoder)


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


def probe_table(probes: dict[tuple[str, str], list[LayerProbe]]) -> pd.DataFrame:
    """Probes by encoder ("audio", "text") and stage ("before", "after" fine-tuning) as one table.

    Returns:
        The columns encoder, stage, and the fields of ``LayerProbe``.
    """
    rows: list[dict[str, Any]] = [
        {"encoder": encoder, "stage": stage, **asdict(probe)}
        for (encoder, stage), layers in probes.items()
        for probe in layers
    ]
    return pd.DataFrame(rows)
