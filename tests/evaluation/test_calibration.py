from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax
from torchmetrics.functional.classification import multiclass_calibration_error

from mmemo.evaluation.calibration import (
    NUM_BINS,
    brier_score,
    calibration_summary,
    expected_calibration_error,
    fit_temperature,
    reliability,
)

CLASSES = ["a", "b", "c"]


def drawn(temperature: float, seed: int = 0, num: int = 4000) -> pd.DataFrame:
    """Targets drawn from a model's own probabilities, which are then sharpened."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(num, 3)) * 1.5
    honest = softmax(logits, axis=1)
    target = [random.choice(3, p=row) for row in honest]
    told = softmax(logits * temperature, axis=1)
    table = pd.DataFrame(told, columns=[f"prob_{name}" for name in CLASSES])
    table["target"] = [CLASSES[index] for index in target]
    table["pred"] = [CLASSES[index] for index in told.argmax(axis=1)]
    return table


def test_the_temperature_undoes_the_sharpening() -> None:
    summary = calibration_summary([(drawn(3.0), drawn(3.0, seed=1)), (drawn(1.0), drawn(1.0, 1))])
    assert summary["temperature"]["values"] == pytest.approx([3.0, 1.0], rel=0.08)
    sharp, honest = summary["ece"]["values"]
    assert sharp > 0.15
    assert honest < 0.03
    assert max(summary["ece_scaled"]["values"]) < 0.03
    assert summary["brier_scaled"]["values"][0] < summary["brier"]["values"][0]


def test_the_error_is_that_of_torchmetrics() -> None:
    table = drawn(2.0, num=300)
    probabilities = table[[f"prob_{name}" for name in CLASSES]].to_numpy()
    target = np.array([CLASSES.index(name) for name in table["target"]])
    bins = reliability(probabilities.max(axis=1), probabilities.argmax(axis=1) == target)
    expected = multiclass_calibration_error(
        torch.tensor(probabilities), torch.tensor(target), 3, NUM_BINS
    )
    assert expected_calibration_error(bins) == pytest.approx(float(expected), abs=1e-6)
    assert sum(row["count"] for row in bins) == 300


def test_bins_by_hand() -> None:
    confidence = np.array([0.95, 0.97, 1.0, 0.4])
    bins = reliability(confidence, np.array([True, False, True, False]))
    assert bins == [
        {"confidence": 0.4, "accuracy": 0.0, "count": 1},
        {"confidence": pytest.approx(2.92 / 3), "accuracy": pytest.approx(2 / 3), "count": 3},
    ]


def test_brier_by_hand() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2], [0.0, 0.0, 1.0]])
    # 0.25 + 0.09 + 0.04 and 0 + 1 + 1.
    assert brier_score(probabilities, np.array([0, 1])) == pytest.approx((0.38 + 2.0) / 2)


def test_a_probability_of_zero_has_a_likelihood() -> None:
    log_probabilities = np.log(np.maximum(np.array([[1.0, 0.0], [0.0, 1.0]]), 1e-12))
    assert fit_temperature(log_probabilities, np.array([0, 0])) > 5
