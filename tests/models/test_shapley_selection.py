import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from mmemo.models.classical import EstimatorHead
from mmemo.models.shapley_selection import LinearShapley, ShapleySelection, TreeShapley
from mmemo.models.tuning import LabelledVectors, ValidationTuning

DRAWN = np.random.default_rng(0)
VECTORS = DRAWN.normal(size=(80, 6))
TARGETS = (VECTORS[:, 4] > 0).astype(np.int64) + (VECTORS[:, 1] > 0.5).astype(np.int64)
FOREST = RandomForestClassifier(20, max_depth=3, random_state=0)


@pytest.mark.slow
def test_linear_values_are_weights_times_distances_from_the_mean() -> None:
    model = LogisticRegression()
    weights = clone(model).fit(VECTORS, TARGETS).coef_
    distances = np.abs(VECTORS - VECTORS.mean(axis=0)).mean(axis=0)
    by_hand = (np.abs(weights) * distances).mean(axis=0)
    np.testing.assert_allclose(LinearShapley(model).importance(VECTORS, TARGETS), by_hand)


def test_values_of_trees_put_first_what_decides() -> None:
    selection = ShapleySelection(TreeShapley(FOREST), 2).fit(VECTORS, TARGETS)
    assert selection.selected_.tolist() == [1, 4]
    assert selection.importance_.shape == (6,)
    np.testing.assert_array_equal(selection.transform(VECTORS), VECTORS[:, [1, 4]])


def test_two_classes_of_trees_have_one_importance_each() -> None:
    found = TreeShapley(FOREST).importance(VECTORS, (VECTORS[:, 3] > 0).astype(np.int64))
    assert found.shape == (6,)
    assert int(found.argmax()) == 3


def test_it_is_fitted_on_training_rows_alone() -> None:
    train = LabelledVectors(VECTORS[:50], TARGETS[:50], np.arange(50))
    # On validation another feature decides.
    val = LabelledVectors(VECTORS[50:], (VECTORS[50:, 0] > 0).astype(np.int64), np.arange(30))
    selection = ShapleySelection(TreeShapley(FOREST), 2)
    head = EstimatorHead(6, 3, LogisticRegression(), {}, feature_selection=selection)
    head.fit(train, val, ValidationTuning("uar"), lambda p, t: float((p.argmax(1) == t).mean()))
    by_hand = ShapleySelection(TreeShapley(FOREST), 2).fit(VECTORS[:50], TARGETS[:50])
    chosen = head.fitted().named_steps["selection"]
    np.testing.assert_array_equal(chosen.selected_, by_hand.selected_)
    np.testing.assert_allclose(chosen.importance_, by_hand.importance_)


def test_how_many_is_tuned_as_the_rest() -> None:
    rows = LabelledVectors(VECTORS, TARGETS, np.arange(80))
    grid = {"selection__num_features": [1, 2]}
    selection = ShapleySelection(TreeShapley(FOREST), 2)
    head = EstimatorHead(6, 3, LogisticRegression(), grid, feature_selection=selection)
    tried = head.fit(
        rows, rows, ValidationTuning("uar"), lambda p, t: float((p.argmax(1) == t).mean())
    )
    assert tried[0].mean < tried[1].mean
    assert len(head.fitted().named_steps["selection"].selected_) == 2
