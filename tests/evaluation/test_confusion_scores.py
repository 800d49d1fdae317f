from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from mmemo.evaluation.confusion_scores import METRICS, Tallies, confusion_counts, f1_by_class

CLASSES = ["a", "b", "c", "d"]


@pytest.fixture
def table() -> pd.DataFrame:
    random = np.random.default_rng(0)
    # The class d never occurs and is never predicted.
    return pd.DataFrame(
        {"target": random.choice(CLASSES[:3], 50), "pred": random.choice(CLASSES[:3], 50)}
    )


def test_scores_are_those_of_scikit_learn(table: pd.DataFrame) -> None:
    confusion = confusion_counts(table, CLASSES)
    target, pred = table["target"], table["pred"]
    np.testing.assert_array_equal(confusion, confusion_matrix(target, pred, labels=CLASSES))
    options = {"labels": CLASSES, "zero_division": 0}
    expected = {
        "accuracy": accuracy_score(target, pred),
        "macro_f1": f1_score(target, pred, average="macro", **options),
        "weighted_f1": f1_score(target, pred, average="weighted", **options),
    }
    tallies = Tallies.of(confusion)
    assert {name: float(score(tallies)) for name, score in METRICS.items()} == pytest.approx(
        expected
    )
    np.testing.assert_allclose(
        f1_by_class(tallies), f1_score(target, pred, average=None, **options)
    )


def test_nothing_at_all_scores_nothing() -> None:
    empty = Tallies.of(np.zeros((2, 4, 4)))
    for score in METRICS.values():
        np.testing.assert_array_equal(score(empty), [0.0, 0.0])
