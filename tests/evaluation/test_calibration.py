import math
from dataclasses import astuple

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import brier_score_loss, log_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from mmemo.evaluation.calibration import (
    NUM_BINS,
    brier_score,
    calibration_summary,
    expected_calibration_error,
    fit_temperature,
    is_at_bound,
    reliability,
    scaled,
)


def table(probabilities: list[tuple[float, float]], targets: str) -> pd.DataFrame:
    joy, anger = zip(*probabilities, strict=True)
    names = {"j": "joy", "a": "anger"}
    return pd.DataFrame(
        {"target": [names[t] for t in targets], "prob_joy": joy, "prob_anger": anger}
    )


@pytest.fixture
def answers() -> tuple[np.ndarray, np.ndarray]:
    """Float32 softmax of five classes, as a model gives it; some probabilities are exactly 1."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(400, 5, generator=generator)
    logits[:40] *= 100
    # Confidences of 1/5 are 3/15, an edge.
    logits[40:60] = 0
    target = torch.randint(0, 5, (400,), generator=generator)
    target[:200] = logits[:200].argmax(dim=1)
    return torch.softmax(logits, dim=1).double().numpy(), target.numpy()


def test_the_error_is_that_of_torchmetrics(answers: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, target = answers
    confidence = probabilities.max(axis=1)
    assert (confidence == 1).sum() > 10
    bins = reliability(confidence, probabilities.argmax(axis=1) == target)
    expected = multiclass_calibration_error(
        torch.tensor(probabilities), torch.tensor(target), 5, NUM_BINS
    )
    found = expected_calibration_error(confidence, probabilities.argmax(axis=1) == target)
    assert found == pytest.approx(float(expected), abs=1e-6)
    assert sum(row.count for row in bins) == 400


def test_a_bin_holds_its_lower_edge_and_certainty_is_one_of_its_own() -> None:
    confidence = np.array([0.6, 0.65, 0.95, 1.0, 1.0])
    right = np.array([True, False, True, True, False])
    assert [astuple(one) for one in reliability(confidence, right)] == [
        (pytest.approx(0.625), 0.5, 2),
        (pytest.approx(0.95), 1.0, 1),
        (pytest.approx(1.0), 0.5, 2),
    ]


def test_the_brier_score_is_the_sum_over_classes_of_sklearns(
    answers: tuple[np.ndarray, np.ndarray],
) -> None:
    probabilities, target = answers
    by_class = [brier_score_loss(target == c, probabilities[:, c]) for c in range(5)]
    assert brier_score(probabilities, target) == pytest.approx(sum(by_class))
    # 0.1² + 0.1² and 0.7² + 0.7²
    pair = np.array([[0.9, 0.1], [0.7, 0.3]])
    assert brier_score(pair, np.array([0, 1])) == pytest.approx((0.02 + 0.98) / 2)


def test_the_temperature_makes_confidence_the_share_that_is_right() -> None:
    # 0.9 : 0.1 is 9 : 1; three of four are right, 3 : 1, and 9 ** (1 / 2) = 3.
    probabilities = np.tile([0.9, 0.1], (4, 1))
    temperature = fit_temperature(probabilities, np.array([0, 0, 0, 1]))
    assert temperature == pytest.approx(2, abs=1e-4)
    assert scaled(probabilities, 2) == pytest.approx(np.tile([0.75, 0.25], (4, 1)))


def test_no_other_temperature_is_likelier(answers: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, target = answers
    rows = slice(60, None)
    temperature = fit_temperature(probabilities[rows], target[rows])

    def loss(factor: float) -> float:
        after = scaled(probabilities[rows], factor * temperature)
        return float(log_loss(target[rows], after, labels=range(5)))

    assert min(loss(0.98), loss(1.02)) > loss(1.0)
    assert not is_at_bound(temperature)


@pytest.mark.parametrize(
    ("targets", "expected"), [([0, 0, 0, 0], math.exp(-3)), ([1, 1, 1, 0], math.exp(3))]
)
def test_validation_without_an_optimum_gives_an_end_of_the_range(
    targets: list[int], expected: float
) -> None:
    temperature = fit_temperature(np.tile([0.9, 0.1], (4, 1)), np.array(targets))
    assert temperature == pytest.approx(expected, rel=1e-3)
    assert is_at_bound(temperature)


def test_a_right_answer_of_probability_zero_is_borne() -> None:
    probabilities = np.array([[1.0, 0.0], [0.9, 0.1], [0.9, 0.1]])
    temperature = fit_temperature(probabilities, np.array([1, 0, 1]))
    assert is_at_bound(temperature)
    assert temperature > 1
    assert np.isfinite(scaled(probabilities, temperature)).all()


def test_two_seeds_by_hand() -> None:
    val = table([(0.9, 0.1)] * 4, "jjja")
    sure = table([(0.9, 0.1), (0.9, 0.1)], "ja")
    unsure = table([(0.6, 0.4), (0.4, 0.6)], "ja")
    summary = calibration_summary([(val, sure), (val, unsure)])
    assert summary.num_bins == NUM_BINS
    assert summary.temperature.values == pytest.approx([2, 2], abs=1e-4)
    # Confidence 0.9 and half right; 0.6 and all right.
    assert summary.ece.values == pytest.approx([0.4, 0.4])
    assert summary.ece.sd == pytest.approx(0, abs=1e-9)
    # (0.02 + 1.62) / 2 and 0.32; with the temperature (0.125 + 1.125) / 2.
    assert summary.brier.values == pytest.approx([0.82, 0.32])
    assert summary.brier.mean == pytest.approx(0.57)
    assert summary.brier.sd == pytest.approx(0.5 / math.sqrt(2))
    assert summary.brier_scaled.values[0] == pytest.approx(0.625, abs=1e-4)
    assert summary.ece_scaled.values[0] == pytest.approx(0.25, abs=1e-4)
    assert [astuple(one) for one in summary.reliability] == [
        (pytest.approx(0.6), 1.0, 2),
        (pytest.approx(0.9), 0.5, 2),
    ]
    assert [one.count for one in summary.reliability_scaled] == [2, 2]
    assert calibration_summary([(val, sure)]).ece.sd is None
