import json

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import metrics as sk
from torchmetrics.functional.classification import multiclass_calibration_error

from mmemo.documents import content_of
from mmemo.evaluation.calibration import calibration_summary
from mmemo.evaluation.metrics import compute_metrics, metrics_table
from mmemo.evaluation.own_metrics import OwnMetric

CLASSES = ["joy", "anger", "neutral", "sadness"]


def make_table(seed: int, target_classes: list[str], size: int = 83) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(len(CLASSES)) * 0.7, size=size)
    table = pd.DataFrame(probabilities, columns=[f"prob_{name}" for name in CLASSES])
    table["target"] = rng.choice(target_classes, size=size)
    table["pred"] = np.array(CLASSES)[probabilities.argmax(axis=1)]
    return table


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("present", [CLASSES, CLASSES[:3]], ids=["all", "one class absent"])
def test_agrees_with_scikit_learn(seed: int, present: list[str]) -> None:
    table = make_table(seed, present)
    found = content_of(compute_metrics(table, majority_class="anger"))
    target, pred = table["target"], table["pred"]
    assert found["num_utterances"] == 83
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(target, pred), abs=1e-6)
    for average in ("macro", "weighted", None):
        precision, recall, f1, support = sk.precision_recall_fscore_support(
            target, pred, labels=CLASSES, average=average, zero_division=0
        )
        if average is None:
            for index, name in enumerate(CLASSES):
                values = found["per_class"][name]
                assert values["precision"] == pytest.approx(precision[index], abs=1e-6)
                assert values["recall"] == pytest.approx(recall[index], abs=1e-6)
                assert values["f1"] == pytest.approx(f1[index], abs=1e-6)
                assert values["support"] == support[index]
        else:
            assert found[average]["precision"] == pytest.approx(precision, abs=1e-6)
            assert found[average]["recall"] == pytest.approx(recall, abs=1e-6)
            assert found[average]["f1"] == pytest.approx(f1, abs=1e-6)
    areas = []
    for name in CLASSES:
        area = found["per_class"][name]["auroc"]
        if name not in present:
            assert area is None
            continue
        areas.append(sk.roc_auc_score(target == name, table[f"prob_{name}"]))
        assert area == pytest.approx(areas[-1], abs=1e-6)
    assert found["auroc_macro"] == pytest.approx(np.mean(areas), abs=1e-6)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("present", [CLASSES, CLASSES[:3]], ids=["all", "one class absent"])
def test_uar_and_mcc_are_those_of_scikit_learn(present: list[str]) -> None:
    table = make_table(5, present)
    found = compute_metrics(table, "joy")
    target, pred = table["target"], table["pred"]
    assert found.uar == pytest.approx(sk.balanced_accuracy_score(target, pred), abs=1e-9)
    assert found.mcc == pytest.approx(sk.matthews_corrcoef(target, pred), abs=1e-9)
    if present == CLASSES:
        assert found.uar == pytest.approx(found.macro.recall, abs=1e-6)


def test_the_calibration_error_is_that_of_torchmetrics_and_of_comparisons() -> None:
    table = make_table(6, CLASSES, size=400)
    probabilities = torch.tensor(table[[f"prob_{name}" for name in CLASSES]].to_numpy())
    target = torch.tensor([CLASSES.index(name) for name in table["target"]])
    theirs = multiclass_calibration_error(probabilities, target, len(CLASSES), 15)
    found = compute_metrics(table, "joy").ece
    assert found == pytest.approx(float(theirs), abs=1e-6)
    assert found == calibration_summary([(table, table)]).ece.mean


def test_metrics_of_ones_own_stand_beside_the_others() -> None:
    table = make_table(2, CLASSES)
    share = OwnMetric("share", "max", lambda preds, target: (preds == target).mean(), False)
    nothing = OwnMetric("nothing", "min", lambda preds: np.nan, False)
    metrics = compute_metrics(table, "joy", [share, nothing])
    assert metrics.own == {"share": pytest.approx(metrics.accuracy), "nothing": None}
    rows = metrics_table({"test": metrics}, "official").set_index("row")
    assert rows.loc["share", "score"] == pytest.approx(rows.loc["accuracy", "score"])
    assert rows.loc["uar", "score"] == metrics.uar
    assert np.isnan(rows.loc["nothing", "score"])


def test_calibration_error_by_hand() -> None:
    # Two bins of 15: at 0.95 (2 of 4 correct) and at 0.65 (1 of 1 correct).
    confidences, correct = [0.95] * 4 + [0.65], [1, 1, 0, 0, 1]
    table = pd.DataFrame({"prob_a": confidences, "prob_b": [1 - c for c in confidences]})
    table["pred"] = "a"
    table["target"] = ["a" if hit else "b" for hit in correct]
    expected = 4 / 5 * abs(0.5 - 0.95) + 1 / 5 * abs(1.0 - 0.65)
    assert compute_metrics(table, "a").ece == pytest.approx(expected, abs=1e-6)


def test_majority_baseline_is_the_training_splits_class() -> None:
    table = make_table(0, CLASSES)
    baseline = content_of(compute_metrics(table, majority_class="neutral"))["majority_baseline"]
    always = ["neutral"] * len(table)
    assert baseline["class"] == "neutral"
    assert baseline["accuracy"] == pytest.approx((table["target"] == "neutral").mean(), abs=1e-6)
    for average in ("macro", "weighted"):
        expected = sk.f1_score(
            table["target"], always, labels=CLASSES, average=average, zero_division=0
        )
        assert baseline[f"{average}_f1"] == pytest.approx(expected, abs=1e-6)


def test_metrics_are_plain_json_and_become_a_table() -> None:
    table = make_table(1, CLASSES[:3])
    metrics = compute_metrics(table, "joy")
    found = json.loads(json.dumps(content_of(metrics), allow_nan=False))
    rows = metrics_table({"val": metrics, "test": metrics}, "copied (LEAKY)")
    assert set(rows["split_protocol"]) == {"copied (LEAKY)"}
    test = rows[rows["split"] == "test"].set_index("row")
    assert list(test.index[:4]) == CLASSES
    assert test.loc["accuracy", "f1"] == found["accuracy"]
    assert test.loc["macro", "auroc"] == found["auroc_macro"]
    assert test.loc["always joy: accuracy", "f1"] == found["majority_baseline"]["accuracy"]
    assert test.loc["anger", "support"] == found["per_class"]["anger"]["support"]
