from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    matthews_corrcoef,
    precision_score,
    recall_score,
)

from mmemo.errors import InputError
from mmemo.evaluation.confusion_scores import (
    METRICS,
    Tallies,
    check_metric,
    confusion_counts,
    f1_by_class,
    metric_of,
)
from mmemo.metric_table import COMPARED, find_metric

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
        "uar": balanced_accuracy_score(target, pred),
        "mcc": matthews_corrcoef(target, pred),
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


def test_recall_precision_and_f1_of_a_class(table: pd.DataFrame) -> None:
    tallies = Tallies.of(confusion_counts(table, CLASSES))
    options = {"labels": CLASSES, "zero_division": 0, "average": None}
    for name, score in (("recall", recall_score), ("precision", precision_score), ("f1", f1_score)):
        expected = score(table["target"], table["pred"], **options)
        found = [float(metric_of(f"{name}_{one}", CLASSES)(tallies)) for one in CLASSES]
        assert found == pytest.approx(list(expected))


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_a_class_that_does_not_occur_is_not_in_the_uar(table: pd.DataFrame) -> None:
    # Some are taken for d, which there is not.
    wrong = table.assign(pred=table["pred"].where(table.index % 5 > 0, "d"))
    found = float(METRICS["uar"](Tallies.of(confusion_counts(wrong, CLASSES))))
    assert found == pytest.approx(balanced_accuracy_score(wrong["target"], wrong["pred"]))


def test_answers_of_one_class_have_no_correlation(table: pd.DataFrame) -> None:
    always = Tallies.of(confusion_counts(table.assign(pred="a"), CLASSES))
    assert float(METRICS["mcc"](always)) == 0.0
    assert float(METRICS["uar"](always)) == pytest.approx(1 / 3)


def test_one_table_names_what_is_compared() -> None:
    assert [entry.name for entry in COMPARED] == list(METRICS)
    for entry in COMPARED:
        for alias in entry.aliases:
            assert metric_of(alias, CLASSES) is METRICS[entry.name]
    assert metric_of("wa", CLASSES) is METRICS["accuracy"]
    assert metric_of("balanced_accuracy", CLASSES) is METRICS["uar"]
    found = find_metric("recall_a", CLASSES)
    assert found is not None
    assert found.words == "recall of a"


def test_an_unknown_metric_is_told_with_those_there_are() -> None:
    with pytest.raises(InputError, match="expected one of accuracy, wa, .* uar, .*got 'uarr'"):
        check_metric("uarr")
    with pytest.raises(InputError, match="recall_CLASS.*, kappa, got 'loss'"):
        check_metric("loss", ["kappa"])
    check_metric("kappa", ["kappa"])
    check_metric("recall_fear")
    with pytest.raises(InputError, match="recall_d, .*got 'recall_fear'"):
        metric_of("recall_fear", CLASSES)
