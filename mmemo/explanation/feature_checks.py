"""Checks of SHAP values of features: taken away in their order, and of an estimator of chance."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mmemo.explanation.checks import ChecksDocument, CheckSettings, ExplanationChecks
from mmemo.explanation.faithfulness import Faithfulness, randomised_stage
from mmemo.explanation.feature_attributions import FeatureAttributions, FeatureShap, Floats
from mmemo.models.classical import EstimatorHead

METHOD, MODALITY = "feature_shap", "features"
"""As the checks call them."""


@dataclass(frozen=True)
class FeatureRows:
    """Features of utterances.

    Args:
        keys: (N,).
        vectors: (N, D), as the estimator is given them.
        targets: (N,), indices of the explained classes.
    """

    keys: Sequence[str]
    vectors: Floats
    targets: NDArray[np.int64]


def check_features(
    head: EstimatorHead,
    rows: FeatureRows,
    found: FeatureAttributions,
    checked: NDArray[np.int64],
    settings: FeatureShap,
    faithfulness: Faithfulness,
) -> list[ChecksDocument]:
    """Checks of each of some utterances.

    What is taken away has the median of the training rows in its place; a feature that has it
    already, such as a word that is not said, is no unit. For what is random in place of learnt,
    the estimator is fitted on shuffled classes.

    Args:
        head: The estimator.
        rows: All utterances.
        found: Of all of them.
        checked: Places (K,) of those that are checked.
        settings: How features are attributed again by another model.
        faithfulness: Numbers of orders and of utterances that another model explains.
    """
    medians = np.median(head.train_vectors.cpu().double().numpy(), axis=0)
    shuffled = checked[: faithfulness.num_randomised]
    changed: dict[int, Floats] = {}
    if len(shuffled):
        random = copy.deepcopy(head)
        random.shuffle_targets(torch.Generator().manual_seed(faithfulness.seed))
        values = settings.attribute(random, rows.vectors[shuffled]).values
        changed = dict(zip(shuffled.tolist(), values, strict=True))
    documents = []
    for place in checked.tolist():
        vector, target = rows.vectors[place], int(rows.targets[place])
        units = np.flatnonzero(vector != medians)
        checks = ExplanationChecks(rows.keys[place])
        if len(units):
            own = found.values[place, units, target]

            def score(
                masks: NDArray[np.bool_],
                vector: Floats = vector,
                units: NDArray[np.int64] = units,
                target: int = target,
            ) -> Floats:
                given = np.tile(vector, (len(masks), 1))
                given[:, units] = np.where(masks, vector[units], medians[units])
                probabilities: Floats = probabilities_of(head, given)[:, target]
                return probabilities

            orders, seed = faithfulness.num_orders, faithfulness.seed
            checks.add_order(METHOD, MODALITY, own, score, orders, seed)
            if place in changed:
                other = changed[place][units, target]
                stage = randomised_stage("shuffled classes", own, other, seed, is_sound=False)
                checks.add_randomisation(METHOD, MODALITY, [stage])
        made = CheckSettings(asdict(faithfulness), place in changed, ())
        documents.append(checks.document(made))
    return documents


def probabilities_of(head: EstimatorHead, vectors: Floats) -> Floats:
    """Of the classes (N, C), for vectors (N, D)."""
    with torch.inference_mode():
        logs = head(torch.from_numpy(vectors))
    return np.asarray(logs.double().exp())
