"""What a classical classifier's features say, over a split and of single utterances: the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mmemo.documents import read_document
from mmemo.explanation.checks_summary import CheckSummary
from mmemo.explanation.feature_attributions import ALGORITHMS

DOCUMENT_FILE = "feature_shap.json"


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


def told(document: FeatureShapDocument) -> str:
    """How values were computed, and whether they add up, in a line."""
    verdict = "they add up to" if document.is_complete else "THEY DO NOT ADD UP TO"
    return (
        f"feature SHAP: {ALGORITHMS[document.algorithm]}; {verdict} the {document.output} "
        f"(largest error {document.error:.1g}, {document.relative_error:.1g} of the largest "
        "difference)"
    )
