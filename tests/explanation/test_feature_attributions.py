"""SHAP values of a classical classifier's features where they are known by hand."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from mmemo.errors import InputError
from mmemo.explanation.checks import ChecksDocument
from mmemo.explanation.faithfulness import Faithfulness
from mmemo.explanation.feature_attributions import FeatureAttributions, FeatureShap
from mmemo.explanation.feature_checks import FeatureRows, check_features
from mmemo.explanation.feature_question import feature_importance
from mmemo.models.classical import EstimatorHead
from mmemo.models.tuning import LabelledVectors, ValidationTuning

pytest.importorskip("shap")

SHAP = FeatureShap(num_background=60, num_permutations=2)
UNFITTED = StandardScaler()
NUM = 6


def rows(num_classes: int) -> LabelledVectors:
    """Features of other sizes; the last tells the classes, and the first does a little."""
    random = np.random.default_rng(0)
    targets = np.arange(60) % num_classes
    vectors = random.normal(size=(60, NUM)) * [1, 10, 1, 0.1, 1, 1] + 3
    vectors[:, -1] += 4 * targets
    vectors[:, 0] += targets
    whole = vectors.astype(np.float32).astype(np.float64)
    return LabelledVectors(whole, targets.astype(np.int64), np.zeros(60, dtype=np.int64))


def fitted(
    model: BaseEstimator,
    num_classes: int = 3,
    scaling: TransformerMixin | None = UNFITTED,
    scaled: Sequence[int] = range(NUM),
    feature_selection: TransformerMixin | None = None,
    known: int | None = None,
) -> EstimatorHead:
    head = EstimatorHead(NUM, num_classes, model, {}, scaling, scaled, feature_selection)
    given = rows(known or num_classes)
    head.fit(given, given, ValidationTuning("uar"), lambda probabilities, targets: 0.0)
    return head


def assert_linear(found: FeatureAttributions, head: EstimatorHead, given: LabelledVectors) -> None:
    """Values are w_j (x_j - mean_j), whatever the scale of features is."""
    model = head.fitted().named_steps["model"]
    deviation = given.vectors.std(axis=0)
    weights = model.coef_ / deviation
    expected = (given.vectors - given.vectors.mean(axis=0))[:, :, None] * weights.T
    np.testing.assert_allclose(found.values, expected, atol=1e-9)
    np.testing.assert_allclose(found.expected, model.intercept_, atol=1e-9)


def test_of_a_linear_model_they_are_weights_times_distances_from_means() -> None:
    head, given = fitted(LogisticRegression()), rows(3)
    found = SHAP.attribute(head, given.vectors)
    assert (found.algorithm, found.output) == ("linear", "decision value")
    assert_linear(found, head, given)
    assert found.is_complete


def test_of_two_classes_the_first_is_the_opposite_of_the_second() -> None:
    found = SHAP.attribute(fitted(LogisticRegression(), 2), rows(2).vectors)
    np.testing.assert_array_equal(found.values[..., 0], -found.values[..., 1])
    assert found.is_complete


def test_of_a_class_without_training_rows_nothing_is_said() -> None:
    found = SHAP.attribute(fitted(LogisticRegression(), 3, known=2), rows(2).vectors[:4])
    assert not found.values[..., 2].any()
    assert found.values[..., 1].any()


@pytest.mark.parametrize("num_classes", [2, 3])
def test_of_trees_they_add_up_to_the_probability(num_classes: int) -> None:
    forest = RandomForestClassifier(20, random_state=0)
    head, given = fitted(forest, num_classes, scaling=None), rows(num_classes)
    found = SHAP.attribute(head, given.vectors[:5])
    assert (found.algorithm, found.output) == ("tree", "probability")
    expected = head.fitted().named_steps["model"].predict_proba(given.vectors[:5])
    np.testing.assert_allclose(found.values.sum(axis=1) + found.expected, expected, atol=1e-6)
    assert found.is_complete
    assert np.abs(found.values).mean(axis=(0, 2)).argmax() == NUM - 1


@pytest.mark.slow  # The first of these compiles what shap computes with.
@pytest.mark.parametrize(
    ("model", "output"),
    [
        (KNeighborsClassifier(), "probability"),
        (SVC(), "decision value"),
        (GradientBoostingClassifier(n_estimators=3), "decision value"),
    ],
)
def test_any_other_model_is_asked(model: BaseEstimator, output: str) -> None:
    found = SHAP.attribute(fitted(model), rows(3).vectors[:2])
    assert (found.algorithm, found.output) == ("permutation", output)
    assert found.is_complete
    assert np.abs(found.values).mean(axis=(0, 2)).argmax() == NUM - 1


@pytest.mark.slow
def test_sampled_values_depend_on_no_other_utterance_and_leave_numpys_draws_alone() -> None:
    head, given = fitted(KNeighborsClassifier()), rows(3)
    few = FeatureShap(num_background=10, num_permutations=1)
    np.random.seed(5)
    expected = np.random.random()
    np.random.seed(5)
    three = few.attribute(head, given.vectors[:3])
    assert np.random.random() == expected
    np.testing.assert_array_equal(
        few.attribute(head, given.vectors[2:3]).values[0], three.values[2]
    )
    alone = FeatureShap(num_background=1, seed=3)
    (one,) = np.random.default_rng(3).choice(60, 1, replace=False)
    assert not alone.attribute(head, given.vectors[[one]]).values.any(), "nothing differs"


@pytest.mark.slow
def test_where_scaling_mixes_features_they_are_of_the_features_themselves() -> None:
    # A rotation that loses nothing leaves the model linear in the features.
    head, given = fitted(LogisticRegression(), scaling=PCA()), rows(3)
    found = SHAP.attribute(head, given.vectors[:3])
    assert found.algorithm == "permutation"
    pca = head.fitted().named_steps["scaling"].transformers_[0][1]
    weights = head.fitted().named_steps["model"].coef_ @ pca.components_
    distances = given.vectors[:3] - given.vectors.mean(axis=0)
    np.testing.assert_allclose(found.values, distances[:, :, None] * weights.T, atol=1e-8)


def test_each_value_is_of_its_own_feature() -> None:
    # Scaled columns stand before the others in what the model is given.
    scaled = fitted(LogisticRegression(), scaled=[1, NUM - 1])
    importance = np.abs(SHAP.attribute(scaled, rows(3).vectors).values).mean(axis=(0, 2))
    assert importance.argmax() == NUM - 1
    selection = SelectKBest(f_classif, k=2)
    selected = fitted(LogisticRegression(), feature_selection=selection)
    values = SHAP.attribute(selected, rows(3).vectors).values
    assert np.flatnonzero(np.abs(values).sum(axis=(0, 2))).tolist() == [0, NUM - 1]


def test_importance_is_the_mean_size_over_utterances() -> None:
    values = np.zeros((2, 3, 2))
    values[:, 1] = [[3.0, -1.0], [-1.0, 1.0]]
    values[:, 2] = [[0.0, 8.0], [0.0, 0.0]]
    first, second, last = feature_importance(["a", "b", "c"], ["x", "y"], values)
    assert (first.feature, first.mean_abs, first.by_class) == ("c", 2.0, {"x": 0.0, "y": 4.0})
    assert (second.feature, second.mean_abs, second.by_class) == ("b", 1.5, {"x": 2.0, "y": 1.0})
    assert (last.feature, last.mean_abs) == ("a", 0.0)


def checked(values: NDArray[np.float64], vectors: NDArray[np.float64]) -> list[ChecksDocument]:
    head = fitted(LogisticRegression())
    found = FeatureAttributions("linear", "decision value", values, np.zeros(3), np.zeros((2, 3)))
    targets = np.array([2, 0])
    checked_by = Faithfulness(num_orders=39, num_randomised=1)
    given = FeatureRows(["a", "b"], vectors, targets)
    return check_features(head, given, found, np.arange(2), SHAP, checked_by)


def test_features_are_taken_away_in_their_order() -> None:
    head, given = fitted(LogisticRegression()), rows(3)
    vectors = given.vectors[[2, 3]]
    values = SHAP.attribute(head, vectors).values
    right, wrong = (checked(sign * values, vectors) for sign in (1, -1))
    (curves,) = right[0].curves.values()
    assert set(right[0].curves) == {"feature_shap/features"}
    own = torch.from_numpy(vectors[:1])
    assert curves.deletion[0] == pytest.approx(float(head(own)[0, 2].exp()))
    medians = torch.from_numpy(np.median(given.vectors, axis=0))[None]
    assert curves.deletion[-1] == pytest.approx(float(head(medians)[0, 2].exp()), abs=1e-6)

    def comprehensiveness(document: ChecksDocument) -> Any:  # noqa: ANN401
        return next(row for row in document.rows if row.name == "comprehensiveness")

    for good, bad in zip(right, wrong, strict=True):
        assert comprehensiveness(good).value > comprehensiveness(bad).value
        assert comprehensiveness(good).value >= comprehensiveness(good).reference
    names = [[row.name for row in document.rows] for document in right]
    assert "correlation with a random model's" in names[0]
    assert "correlation with a random model's" not in names[1], "only so many"


def test_what_is_at_the_median_is_no_unit() -> None:
    medians = np.median(rows(3).vectors, axis=0)
    vectors = np.stack([medians, medians])
    vectors[1, :3] += 1
    first, second = checked(np.random.default_rng(0).normal(size=(2, NUM, 3)), vectors)
    assert first.rows == ()
    (curves,) = second.curves.values()
    assert len(set(curves.deletion)) <= 4, "three units have four states"


@pytest.mark.parametrize("name", ["num_utterances", "num_background", "num_permutations"])
def test_numbers_below_one_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"feature_attributions.{name}: expected at least 1"):
        FeatureShap(**{name: 0})
