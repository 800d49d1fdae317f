"""Attributing a run's features: utterances in, the document and its tables out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mmemo.documents import write_document
from mmemo.errors import InputError
from mmemo.evaluation.units import KeyUnits
from mmemo.explanation.checks_summary import CheckSummary, checks_summary
from mmemo.explanation.faithfulness import Faithfulness
from mmemo.explanation.feature_attributions import FeatureAttributions, FeatureShap, Floats
from mmemo.explanation.feature_checks import FeatureRows, check_features, probabilities_of
from mmemo.explanation.feature_shap import (
    DOCUMENT_FILE,
    FeatureImportance,
    FeatureOfUtterance,
    FeatureShapDocument,
    UtteranceFeatures,
    read_feature_shap,
    told,
)
from mmemo.explanation.inputs import UtteranceInput
from mmemo.explanation.perturbation import freeze_classifier
from mmemo.explanation.selection import PREDICTED, TRUE
from mmemo.folders import write_whole
from mmemo.models.classical import ClassicalClassifier
from mmemo.models.protocols import EncodedModality
from mmemo.progress import progress_bar
from mmemo.runs.classical_files import feature_names

TABLE_FILE = "feature_shap.csv"
UTTERANCES_FILE = "feature_shap_utterances.csv"

NUM_TOLD = 12
"""Features of a single utterance that the document names."""


@dataclass(frozen=True)
class FeatureQuestion:
    """Whose features are asked about.

    Args:
        classifier: The run's.
        classes: Of the model, in the order of its outputs.
        load: An utterance by its key.
        keys: Of single utterances.
        sampled: Of those that the means are over.
        split: Where these are from.
        target: "predicted", "true" or a class.
        units: Which utterances belong together.
    """

    classifier: ClassicalClassifier
    classes: Sequence[str]
    load: Callable[[str], UtteranceInput]
    keys: Sequence[str]
    sampled: Sequence[str]
    split: str
    target: str
    units: KeyUnits

    def read(self) -> FeatureRows:
        """Features and explained classes of all utterances, single ones first."""
        freeze_classifier(self.classifier)
        keys = list(dict.fromkeys([*self.keys, *self.sampled]))
        vectors, trues = [], []
        device = self.classifier.estimator.train_vectors.device
        with progress_bar(len(keys), "reading features") as bar:
            for key in keys:
                inputs = self.load(key)
                vectors.append(feature_vector(self.classifier, inputs.to(device)))
                trues.append(inputs.true)
                bar.update()
        rows = np.stack(vectors)
        if self.target == PREDICTED:
            targets = probabilities_of(self.classifier.estimator, rows).argmax(axis=1)
        elif self.target == TRUE:
            targets = np.array(trues, dtype=np.int64)
        else:
            targets = np.full(len(keys), list(self.classes).index(self.target))
        return FeatureRows(keys, rows, targets.astype(np.int64))


def feature_vector(classifier: ClassicalClassifier, inputs: UtteranceInput) -> Floats:
    """Features (D,) of an utterance, side by side as the estimator is given them."""
    encoded: dict[str, EncodedModality] = {}
    with torch.inference_mode():
        if classifier.audio_encoder is not None and inputs.audio is not None:
            encoded["audio"] = classifier.audio_encoder(inputs.audio)
        if classifier.text_encoder is not None and inputs.text is not None:
            encoded["text"] = classifier.text_encoder(inputs.text)
        fused = classifier.fuse(encoded)
    assert isinstance(fused, torch.Tensor)
    return np.asarray(fused[0].double().cpu())


def write_feature_shap(
    question: FeatureQuestion,
    settings: FeatureShap,
    faithfulness: Faithfulness | None,
    folder: Path,
) -> FeatureShapDocument:
    """Attribute features, and write ``feature_shap.json`` and two tables.

    Args:
        question: Whose features.
        settings: How they are attributed.
        faithfulness: How that is checked; None to leave it out.
        folder: Of the files; those that are there with the same settings stay.

    Returns:
        What the document holds.

    Raises:
        InputError: If the package shap is not installed, or a value is not finite.
    """
    there = _what_is_there(question, settings, faithfulness, folder)
    if there is not None:
        print("feature SHAP: all is there")
        return there
    head, names = question.classifier.estimator, feature_names(question.classifier)
    rows = question.read()
    print(f"feature SHAP: {head.num_features} features of {len(rows.keys)} utterances")
    with progress_bar(len(rows.keys), "attributing features") as bar:
        found = settings.attribute(head, rows.vectors, bar.update)
    means = np.isin(rows.keys, question.sampled)
    checks: tuple[CheckSummary, ...] = ()
    if faithfulness is not None:
        checked = np.flatnonzero(means)
        documents = check_features(head, rows, found, checked, settings, faithfulness)
        checks = checks_summary(documents, question.units.by_key)
    units = {question.units.by_key.get(key, key) for key in question.sampled}
    document = FeatureShapDocument(
        settings=asdict(settings),
        split=question.split,
        target=question.target,
        keys=tuple(question.keys),
        faithfulness=None if faithfulness is None else asdict(faithfulness),
        estimator=type(head.model).__name__,
        algorithm=found.algorithm,
        output=found.output,
        num=int(means.sum()),
        unit=question.units.name,
        num_units=len(units),
        error=found.error,
        relative_error=found.relative_error,
        is_complete=found.is_complete,
        features=feature_importance(names, question.classes, found.values[means]),
        utterances=_single(question, names, rows, found),
        checks=checks,
    )
    table = _importance_table(document.features)
    write_whole(folder / TABLE_FILE, table.to_csv(index=False))
    values = _values_table(question, names, rows, found)
    write_whole(folder / UTTERANCES_FILE, values.to_csv(index=False))
    write_document(folder / DOCUMENT_FILE, document)
    print(told(document))
    return document


def feature_importance(
    names: Sequence[str], classes: Sequence[str], values: Floats
) -> tuple[FeatureImportance, ...]:
    """Mean sizes of SHAP values (N, D, C), the largest first; of equal ones the first."""
    means = np.abs(values).mean(axis=0)
    order = np.argsort(-means.mean(axis=1), kind="stable")
    return tuple(
        FeatureImportance(
            names[place],
            float(means[place].mean()),
            {name: float(mean) for name, mean in zip(classes, means[place], strict=True)},
        )
        for place in order
    )


def _single(
    question: FeatureQuestion,
    names: Sequence[str],
    rows: FeatureRows,
    found: FeatureAttributions,
) -> tuple[UtteranceFeatures, ...]:
    told = []
    for place in range(len(question.keys)):
        target = int(rows.targets[place])
        values, vector = found.values[place, :, target], rows.vectors[place]
        order = np.argsort(-np.abs(values), kind="stable")
        told.append(
            UtteranceFeatures(
                rows.keys[place],
                question.classes[target],
                float(found.outputs[place, target]),
                float(found.expected[target]),
                tuple(
                    FeatureOfUtterance(names[i], float(vector[i]), float(values[i]))
                    for i in order[:NUM_TOLD]
                ),
                float(values[order[NUM_TOLD:]].sum()),
            )
        )
    return tuple(told)


def _importance_table(features: Sequence[FeatureImportance]) -> pd.DataFrame:
    """A row for each feature, a column for each class behind their mean."""
    return pd.DataFrame(
        [
            {
                "feature": one.feature,
                "mean_abs_shap": one.mean_abs,
                **{f"mean_abs_shap_{name}": value for name, value in one.by_class.items()},
            }
            for one in features
        ]
    )


def _values_table(
    question: FeatureQuestion,
    names: Sequence[str],
    rows: FeatureRows,
    found: FeatureAttributions,
) -> pd.DataFrame:
    """A row for each feature of each utterance that says anything of the explained class."""
    parts = []
    for place, key in enumerate(rows.keys):
        target = int(rows.targets[place])
        values = found.values[place, :, target]
        some = np.flatnonzero(values).tolist()
        parts.append(
            pd.DataFrame(
                {
                    "key": key,
                    "class": question.classes[target],
                    "feature": [names[i] for i in some],
                    "value": rows.vectors[place, some],
                    "shap": values[some],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _what_is_there(
    question: FeatureQuestion,
    settings: FeatureShap,
    faithfulness: Faithfulness | None,
    folder: Path,
) -> FeatureShapDocument | None:
    """What a folder has of what is asked for; what cannot be read is made again."""
    try:
        there = read_feature_shap(folder)
    except InputError:
        return None
    is_the_same = (
        there is not None
        and all((folder / name).is_file() for name in (TABLE_FILE, UTTERANCES_FILE))
        and dict(there.settings) == asdict(settings)
        and (there.split, there.target) == (question.split, question.target)
        and there.keys == tuple(question.keys)
        and there.faithfulness == (None if faithfulness is None else asdict(faithfulness))
    )
    return there if is_the_same else None
