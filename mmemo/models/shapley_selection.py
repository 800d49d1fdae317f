"""Choosing features by their Shapley values."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone

from mmemo.extras import import_package
from mmemo.values import check_whole

Vectors = NDArray[np.float64]


class ShapleyRanking(Protocol):
    """Says how much each feature counts."""

    def importance(self, vectors: Vectors, targets: NDArray[np.int64]) -> Vectors:
        """Mean absolute Shapley value of each feature (D,), over rows and classes."""
        ...


class TreeShapley:
    """Exact Shapley values of an ensemble of trees, by TreeSHAP.

    Source: Lundberg et al. 2020, "From local explanations to global understanding with explainable
    AI for trees", Nature Machine Intelligence 2, by the package shap.

    Args:
        model: An ensemble of trees of scikit-learn's or LightGBM's, not fitted.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401
        self.model = model

    def importance(self, vectors: Vectors, targets: NDArray[np.int64]) -> Vectors:
        """Fit the trees and explain their answers on the same rows: (D,)."""
        fitted = clone(self.model).fit(vectors, targets)
        return _mean_absolute(_shap().TreeExplainer(fitted).shap_values(vectors))


class LinearShapley:
    """Shapley values of a linear model whose features are taken as independent, by LinearSHAP.

    Source: Lundberg and Lee 2017, "A Unified Approach to Interpreting Model Predictions", NeurIPS,
    section 4.2, by the package shap: w_j (x_j - E[x_j]).

    Args:
        model: A linear classifier of scikit-learn's, not fitted.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401
        self.model = model

    def importance(self, vectors: Vectors, targets: NDArray[np.int64]) -> Vectors:
        """Fit the model and explain its answers on the same rows: (D,)."""
        fitted = clone(self.model).fit(vectors, targets)
        # All rows are the background: their mean is what a feature is compared with.
        background = _shap().maskers.Independent(vectors, max_samples=len(vectors))
        explainer = _shap().LinearExplainer(fitted, background)
        return _mean_absolute(explainer.shap_values(vectors))


class ShapleySelection(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Keeps the features with the largest mean absolute Shapley values, of rows it is fitted on.

    Source: Nfissi, Bouachir, Bouguila and Mishra 2023, "Iterative Feature Boosting for Explainable
    Speech Emotion Recognition" (ICMLA): features of speech are ranked by SHAP values of a model
    over them, and the classifier is trained on the best. How many is a number here; to have it
    chosen as other hyperparameters are, put it into the grid as ``selection__num_features``.

    Args:
        ranking: Says how much each feature counts.
        num_features: How many are kept; all, where there are not more.
    """

    def __init__(self, ranking: ShapleyRanking, num_features: int) -> None:
        self.ranking = ranking
        self.num_features = num_features

    def fit(self, vectors: Vectors, targets: NDArray[np.int64]) -> ShapleySelection:
        """Rank the features (D,) of vectors (N, D).

        Raises:
            InputError: If the number is not one of features, or the package shap is not installed.
        """
        check_whole("classifier.feature_selection.num_features", self.num_features, 1)
        self.importance_ = self.ranking.importance(vectors, targets)
        # Stable: of equal ones the first.
        best = np.argsort(-self.importance_, kind="stable")[: self.num_features]
        self.selected_ = np.sort(best)
        return self

    def transform(self, vectors: Vectors) -> Vectors:
        """(N, D) to (N, num_features), in the order in which they stand."""
        return vectors[:, self.selected_]


def _mean_absolute(values: Any) -> Vectors:  # noqa: ANN401
    """Shap gives (N, D) for two classes of some models, else (N, D, C)."""
    found = np.abs(np.asarray(values, dtype=np.float64)).mean(axis=0)
    importance: Vectors = found.mean(axis=1) if found.ndim == 2 else found
    return importance


def _shap() -> Any:  # noqa: ANN401
    return import_package("classifier/feature_selection", "shap", "shap")
