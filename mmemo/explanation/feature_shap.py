"""What a classical classifier's features say, over a split and of single utterances: its files."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from mmemo.documents import read_document, write_document
from mmemo.errors import InputError
from mmemo.evaluation.units import KeyUnits
from mmemo.explanation.checks import ChecksDocument, CheckSettings, ExplanationChecks
from mmemo.explanation.checks_summary import CheckSummary, checks_summary
from mmemo.explanation.faithfulness import Faithfulness, randomised_stage
from mmemo.explanation.feature_attributions import (
    ALGORITHMS,
    FeatureAttributions,
    FeatureShap,
    Floats,
)
from mmemo.explanation.inputs import UtteranceInput
from mmemo.explanation.selection import PREDICTED, TRUE
from mmemo.folders import write_whole
from mmemo.models.classical import ClassicalClassifier, EstimatorHead
from mmemo.models.protocols import EncodedModality
from mmemo.progress import progress_bar
from mmemo.runs.classical_files import feature_names

DOCUMENT_FILE = "feature_shap.json"
TABLE_FILE = "feature_shap.csv"
UTTERANCES_FILE = "feature_shap_utterances.csv"
METHOD, MODALITY = "feature_shap", "features"
"""As the checks call them."""

NUM_TOLD = 12
"""Features of a single utterance that the document names."""


@dataclass(frozen=True)
class FeatureImportance:
    """How much a feature counts.

    Args:
        feature: Its name.
        mean_abs: Mean size of its SHAP value, over utterances and classes.
        by_class: The same of each class.
    """

    feature: str
    mean_abs: float
    by_class: Mapping[str, float]


@dataclass(frozen=True)
class FeatureOfUtterance:
    """What a feature says of one utterance.

    Args:
        feature: Its name.
        value: As the classifier is given it, before scaling.
        shap: What it adds to the output of the explained class.
    """

    feature: str
    value: float
    shap: float


@dataclass(frozen=True)
class UtteranceFeatures:
    """What the features say of one utterance.

    Args:
        key: The utterance's.
        target: The explained class.
        output: The estimator's of that class.
        expected: Its output where no feature is known.
        features: Those with the largest values, largest first.
        others: Sum of all other values.
    """

    key: str
    target: str
    output: float
    expected: float
    features: tuple[FeatureOfUtterance, ...]
    others: float


@dataclass(frozen=True)
class FeatureShapDocument:
    """Contents of ``feature_shap.json``: SHAP values of a classical classifier's features.

    Args:
        settings: Fields of ``FeatureShap``.
        split: Whose utterances the means are over; empty for what a user has given.
        target: As chosen: "predicted", "true" or a class.
        keys: Of the single utterances.
        faithfulness: Fields of ``Faithfulness``; None where nothing was checked.
        estimator: Class of the model.
        algorithm: One of ``ALGORITHMS``.
        output: What of the estimator is attributed: "decision value" or "probability".
        num: Utterances that the means are over.
        unit: What utterances that belong together have in common.
        num_units: Units that those belong to.
        error: The largest distance of expected output plus values from the output.
        relative_error: That as a share of the largest distance of an output from the expected one.
        is_complete: Whether that is small enough.
        features: All, the most important ones first.
        utterances: The single ones.
        checks: Of the utterances that the means are over.
    """

    VERSION: ClassVar[int] = 1

    settings: Mapping[str, int]
    split: str
    target: str
    keys: tuple[str, ...]
    faithfulness: Mapping[str, int] | None
    estimator: str
    algorithm: str
    output: str
    num: int
    unit: str
    num_units: int
    error: float
    relative_error: float
    is_complete: bool
    features: tuple[FeatureImportance, ...]
    utterances: tuple[UtteranceFeatures, ...]
    checks: tuple[CheckSummary, ...]


def read_feature_shap(folder: Path) -> FeatureShapDocument | None:
    """SHAP values of features in the folder of a set; None if there are none.

    Raises:
        InputError: If the file is damaged or of another version.
    """
    path = folder / DOCUMENT_FILE
    if not path.exists():
        return None
    remedy = "remove it and run `mmemo explain` again"
    return read_document(path, FeatureShapDocument, "SHAP values of features", remedy)


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
            targets = _probabilities(self.classifier.estimator, rows).argmax(axis=1)
        elif self.target == TRUE:
            targets = np.array(trues, dtype=np.int64)
        else:
            targets = np.full(len(keys), list(self.classes).index(self.target))
        return FeatureRows(keys, rows, targets.astype(np.int64))


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
) -> None:
    """Attribute features, and write ``feature_shap.json`` and two tables.

    Args:
        question: Whose features.
        settings: How they are attributed.
        faithfulness: How that is checked; None to leave it out.
        folder: Of the files; those that are there with the same settings stay.

    Raises:
        InputError: If the package shap is not installed, or a value is not finite.
    """
    if _are_there(question, settings, faithfulness, folder):
        print("feature SHAP: all is there")
        return
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


def told(document: FeatureShapDocument) -> str:
    """How values were computed, and whether they add up, in a line."""
    verdict = "they add up to" if document.is_complete else "THEY DO NOT ADD UP TO"
    return (
        f"feature SHAP: {ALGORITHMS[document.algorithm]}; {verdict} the {document.output} "
        f"(largest error {document.error:.1g}, {document.relative_error:.1g} of the largest "
        "difference)"
    )


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
                probabilities: Floats = _probabilities(head, given)[:, target]
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


def _probabilities(head: EstimatorHead, vectors: Floats) -> Floats:
    with torch.inference_mode():
        logs = head(torch.from_numpy(vectors))
    return np.asarray(logs.double().exp())


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
        some = np.flatnonzero(values)
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


def _are_there(
    question: FeatureQuestion,
    settings: FeatureShap,
    faithfulness: Faithfulness | None,
    folder: Path,
) -> bool:
    """Whether a folder has what is asked for; what cannot be read is made again."""
    try:
        there = read_feature_shap(folder)
    except InputError:
        return False
    return (
        there is not None
        and all((folder / name).is_file() for name in (TABLE_FILE, UTTERANCES_FILE))
        and dict(there.settings) == asdict(settings)
        and (there.split, there.target) == (question.split, question.target)
        and there.keys == tuple(question.keys)
        and there.faithfulness == (None if faithfulness is None else asdict(faithfulness))
    )
