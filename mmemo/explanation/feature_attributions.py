"""SHAP values of the features that a classical classifier is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from mmemo.errors import InputError
from mmemo.extras import import_package
from mmemo.models.classical import EstimatorHead
from mmemo.values import check_seed, check_whole

Floats = NDArray[np.float64]

OPTION = "feature_shap"

LINEAR, TREE, PERMUTATION = "linear", "tree", "permutation"

ALGORITHMS = {
    LINEAR: "LinearSHAP, features taken as independent, over all training rows",
    TREE: "TreeSHAP, over the training rows that went through each node",
    PERMUTATION: "sampled permutations over some training rows",
}
"""How values are computed, in words."""

DECISION, PROBABILITY = "decision value", "probability"

TOLERANCE = 1e-3
"""Share of the largest distance from the expected output by which sums of values may miss it."""

OF_ONE_FEATURE = (StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler)
"""Scalers whose every output is of one feature."""


@dataclass(frozen=True)
class FeatureAttributions:
    """SHAP values of the features of N utterances.

    Args:
        algorithm: One of ``ALGORITHMS``.
        output: What of the estimator is attributed: ``DECISION`` or ``PROBABILITY``.
        values: (N, D, C), of each feature to each class.
        expected: (C,), the output where no feature is known.
        outputs: (N, C), of the utterances.
    """

    algorithm: str
    output: str
    values: Floats
    expected: Floats
    outputs: Floats

    @property
    def error(self) -> float:
        """The largest distance of expected output plus values from the output."""
        return float(np.abs(self.expected + self.values.sum(axis=1) - self.outputs).max())

    @property
    def relative_error(self) -> float:
        """``error`` as a share of the largest distance of an output from the expected one."""
        largest = float(np.abs(self.outputs - self.expected).max())
        return self.error / largest if largest > 0 else self.error

    @property
    def is_complete(self) -> bool:
        """Whether values and expected output add up to the output."""
        return self.relative_error <= TOLERANCE


@dataclass(frozen=True)
class FeatureShap:
    """How features are attributed, and to how many utterances.

    Trees have TreeSHAP's exact values (Lundberg et al. 2020), linear models w_j (x_j - E[x_j])
    (Lundberg and Lee 2017, section 4.2), both by the package shap, of what the model itself gives:
    its decision value where it has one, else its probability. Any other model is asked with
    features put back in random orders, forwards and backwards (shap's permutation explainer),
    where values are sampled but their sum is exact.

    Args:
        num_utterances: Of the split, at random, that the mean is over.
        num_background: Training rows that stand for a feature that is not known, of models without
            an algorithm of their own.
        num_permutations: Random orders, of the same.
        seed: Of utterances, rows and orders.

    Raises:
        InputError: If a number is out of its range.
    """

    num_utterances: int = 100
    num_background: int = 20
    num_permutations: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the settings."""
        for name in ("num_utterances", "num_background", "num_permutations"):
            check_whole(f"feature_attributions.{name}", getattr(self, name), 1)
        check_seed("feature_attributions.seed", self.seed)

    def attribute(
        self,
        head: EstimatorHead,
        vectors: Floats,
        progress: Callable[[int], object] | None = None,
    ) -> FeatureAttributions:
        """Attribute an estimator's outputs to features.

        Args:
            head: Fitted.
            vectors: (N, D), as the head is given them.
            progress: Called with the number of utterances just done.

        Raises:
            MissingPackageError: If the package shap is not installed.
            InputError: If a value is not finite.
        """
        shap = import_package(OPTION, "shap", "shap")
        found = self._by_structure(shap, head, vectors)
        if found is None:
            found = self._by_permutation(shap, head, vectors, progress or _no_progress)
        elif progress is not None:
            progress(len(vectors))
        if not np.isfinite(found.values).all():
            raise InputError(
                f"{OPTION}: expected finite SHAP values of {type(head.model).__name__}, got some "
                f"that are not; leave them out with {OPTION}=false"
            )
        return found

    def _by_structure(
        self,
        shap: ModuleType,
        head: EstimatorHead,
        vectors: Floats,
    ) -> FeatureAttributions | None:
        """Exact values of linear models and trees; None of another, or of mixed features."""
        pipeline = head.fitted()
        columns = _columns(head, pipeline)
        if columns is None:
            return None
        model = pipeline.named_steps["model"]
        train, given = (_before_model(pipeline, rows) for rows in (_train_rows(head), vectors))
        masker = shap.maskers.Independent(train, max_samples=len(train))
        if _is_linear(model, given) and shap.explainers.Linear.supports_model_with_masker(
            model, masker
        ):
            algorithm, explainer = LINEAR, shap.LinearExplainer(model, masker)
        elif shap.explainers.Tree.supports_model_with_masker(model, None):
            algorithm, explainer = TREE, shap.TreeExplainer(model)
        else:
            return None
        name, output = _model_output(model)
        classes = (model.classes_, head.num_classes)
        whole = np.zeros((len(vectors), head.num_features, head.num_classes))
        whole[:, columns] = _by_class(explainer.shap_values(given), 2, *classes)
        expected = _by_class(np.squeeze(explainer.expected_value), 0, *classes)
        outputs = _by_class(output(given), 1, *classes)
        return FeatureAttributions(algorithm, name, whole, expected, outputs)

    def _by_permutation(
        self,
        shap: ModuleType,
        head: EstimatorHead,
        vectors: Floats,
        progress: Callable[[int], object],
    ) -> FeatureAttributions:
        """Sampled values of any estimator, through all steps of its pipeline."""
        pipeline = head.fitted()
        name, output = _model_output(pipeline.named_steps["model"])

        def output_of(rows: Floats) -> Floats:
            return output(_before_model(pipeline, rows))

        train = _train_rows(head)
        num = min(self.num_background, len(train))
        chosen = np.random.default_rng(self.seed).choice(len(train), num, replace=False)
        background = train[np.sort(chosen)]
        masker = shap.maskers.Independent(background, max_samples=num)
        classes = (pipeline.classes_, head.num_classes)
        expected = _by_class(output_of(background), 1, *classes).mean(axis=0)
        values = np.zeros((*vectors.shape, head.num_classes))
        for place, row in enumerate(vectors):
            # Of the others shap knows too that they change nothing.
            varying = int((~np.isclose(row, background)).any(axis=0).sum())
            if varying:
                num_asked = self.num_permutations * (2 * varying + 1)
                with _seeded(self.seed):
                    explainer = shap.PermutationExplainer(output_of, masker, seed=self.seed)
                    found = explainer(row[None], max_evals=num_asked, silent=True)
                values[place] = _by_class(found.values, 2, *classes)[0]
            progress(1)
        outputs = _by_class(output_of(vectors), 1, *classes)
        return FeatureAttributions(PERMUTATION, name, values, expected, outputs)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draws of numpy's one generator from a seed, and from where they were afterwards."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)


def _no_progress(num_done: int) -> None:
    """Tell nobody."""


def _train_rows(head: EstimatorHead) -> Floats:
    rows: Floats = head.train_vectors.cpu().double().numpy()
    return rows


def _before_model(pipeline: Pipeline, vectors: Floats) -> Floats:
    """What the model is given of vectors (N, D)."""
    for _, step in pipeline.steps[:-1]:
        vectors = step.transform(vectors)
    return np.asarray(vectors, dtype=np.float64)


def _columns(head: EstimatorHead, pipeline: Pipeline) -> NDArray[np.int64] | None:
    """Which feature each column is that the model is given; None where a step mixes features."""
    columns = np.arange(head.num_features)
    for name, step in pipeline.steps[:-1]:
        if name == "scaling":
            (_, scaler, scaled), *_ = step.transformers_
            if not isinstance(scaler, OF_ONE_FEATURE):
                return None
            columns = np.concatenate([scaled, np.setdiff1d(columns, scaled)]).astype(np.int64)
        elif hasattr(step, "selected_"):
            columns = columns[step.selected_]
        elif hasattr(step, "get_support"):
            columns = columns[step.get_support(indices=True)]
        else:
            return None
    return columns


def _is_linear(model: Any, vectors: Floats) -> bool:  # noqa: ANN401
    """Whether its decision value is linear in features.

    A linear kernel's machine of several classes is not, which votes between each two of them.
    """
    if not all(hasattr(model, name) for name in ("coef_", "intercept_", "decision_function")):
        return False
    weights = np.atleast_2d(np.asarray(model.coef_))
    decided = np.asarray(model.decision_function(vectors)).reshape(len(vectors), -1)
    if weights.shape != (decided.shape[1], vectors.shape[1]):
        return False
    return bool(np.allclose(vectors @ weights.T + model.intercept_, decided))


def _model_output(model: Any) -> tuple[str, Callable[[Floats], Floats]]:  # noqa: ANN401
    """What a model itself computes, before it is brought to probabilities, and its name."""
    if hasattr(model, "decision_function"):
        return DECISION, lambda rows: np.asarray(model.decision_function(rows), dtype=np.float64)
    if type(model).__name__ == "LGBMClassifier":
        return DECISION, lambda rows: np.asarray(model.predict(rows, raw_score=True))
    return PROBABILITY, lambda rows: np.asarray(model.predict_proba(rows), dtype=np.float64)


def _by_class(found: Any, num_axes: int, known: NDArray[np.int64], num_classes: int) -> Floats:  # noqa: ANN401
    """Numbers of the classes that a model knows as those of all C classes.

    Of two classes many models have one number, the second's, whose opposite is the first's. Of a
    class without a training row no model knows, and nothing speaks for it: 0.

    Args:
        found: K numbers for K known classes behind some axes; for two perhaps one, or no axis.
        num_axes: How many axes are in front of the classes.
        known: Indices of the classes (K,).
        num_classes: C.
    """
    given = np.asarray(found, dtype=np.float64)
    if given.ndim == num_axes:
        given = given[..., None]
    if given.shape[-1] == 1 and len(known) == 2:
        given = np.concatenate([-given, given], axis=-1)
    whole = np.zeros((*given.shape[:-1], num_classes))
    whole[..., known] = given
    return whole
