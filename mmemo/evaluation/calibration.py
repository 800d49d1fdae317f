"""Whether probabilities mean what they say, and one temperature that mends them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from mmemo.evaluation.predictions import PROBABILITY_PREFIX, classes_of

Floats = NDArray[np.float64]

NUM_BINS = 15
SMALLEST_PROBABILITY = 1e-12
"""Probabilities of 0 are raised to it: their logarithm is asked for."""

MAX_LOG_TEMPERATURE = 5.0
"""Temperatures between exp(-5) and exp(5) are tried; a model that is always right has none."""


def calibration_summary(
    runs: Sequence[tuple[pd.DataFrame, pd.DataFrame]],
) -> dict[str, Any]:
    """Calibration on test, as it is and with a temperature fitted on validation.

    Source: Guo et al. 2017. The temperature minimises the negative log-likelihood of validation;
    the expected calibration error is of the top class over 15 equal bins; the Brier score (1950)
    is the mean over utterances of the squared distance to the right answer's one-hot vector,
    between 0 and 2.

    Args:
        runs: Prediction tables of validation and test, for each seed.

    Returns:
        ``temperature, ece, ece_scaled, brier, brier_scaled``, each with mean, sd and values by
        seed; ``num_bins``; ``reliability`` and ``reliability_scaled``, a row for each bin that is
        not empty, over the test rows of all seeds.
    """
    values: dict[str, list[float]] = {
        name: [] for name in ("temperature", "ece", "ece_scaled", "brier", "brier_scaled")
    }
    confidences: list[tuple[Floats, Floats, NDArray[np.bool_]]] = []
    for val, test in runs:
        temperature = fit_temperature(*_log_probabilities(val))
        log_probabilities, target = _log_probabilities(test)
        before = np.exp(log_probabilities)
        after = np.exp(log_softmax(log_probabilities / temperature, axis=1))
        right = before.argmax(axis=1) == target
        confidences.append((before.max(axis=1), after.max(axis=1), right))
        values["temperature"].append(temperature)
        for suffix, probabilities in (("", before), ("_scaled", after)):
            bins = reliability(probabilities.max(axis=1), right)
            values[f"ece{suffix}"].append(expected_calibration_error(bins))
            values[f"brier{suffix}"].append(brier_score(probabilities, target))
    before_all, after_all, right_all = (
        np.concatenate(part) for part in zip(*confidences, strict=True)
    )
    return {
        **{name: _summary(numbers) for name, numbers in values.items()},
        "num_bins": NUM_BINS,
        "reliability": reliability(before_all, right_all),
        "reliability_scaled": reliability(after_all, right_all),
    }


def fit_temperature(log_probabilities: Floats, target: NDArray[np.int64]) -> float:
    """The temperature T of softmax(log p / T) with the highest likelihood.

    Args:
        log_probabilities: (N, C).
        target: (N,), class indices.
    """
    rows = np.arange(len(target))

    def negative_log_likelihood(log_temperature: float) -> float:
        scaled = log_softmax(log_probabilities / np.exp(log_temperature), axis=1)
        return -float(scaled[rows, target].mean())

    bounds = (-MAX_LOG_TEMPERATURE, MAX_LOG_TEMPERATURE)
    best = minimize_scalar(negative_log_likelihood, bounds=bounds, method="bounded")
    return float(np.exp(best.x))


def reliability(confidence: Floats, right: NDArray[np.bool_]) -> list[dict[str, float]]:
    """Mean confidence, accuracy and number of utterances of each bin that is not empty.

    Args:
        confidence: (N,), the top class' probability.
        right: (N,), whether it was the right class.
    """
    # A bin holds its lower edge, and the last one 1, as in torchmetrics.
    bins = np.minimum((confidence * NUM_BINS).astype(int), NUM_BINS - 1)
    count = np.bincount(bins, minlength=NUM_BINS)
    confidences = np.bincount(bins, weights=confidence, minlength=NUM_BINS)
    rights = np.bincount(bins, weights=right, minlength=NUM_BINS)
    return [
        {
            "confidence": float(confidences[place] / count[place]),
            "accuracy": float(rights[place] / count[place]),
            "count": int(count[place]),
        }
        for place in np.flatnonzero(count)
    ]


def expected_calibration_error(bins: Sequence[dict[str, float]]) -> float:
    """Mean gap between confidence and accuracy, weighed by the bins' utterances."""
    total = sum(row["count"] for row in bins)
    return sum(row["count"] / total * abs(row["confidence"] - row["accuracy"]) for row in bins)


def brier_score(probabilities: Floats, target: NDArray[np.int64]) -> float:
    """Mean squared distance of (N, C) to the one-hot targets (N,)."""
    one_hot = np.eye(probabilities.shape[1])[target]
    return float(((probabilities - one_hot) ** 2).sum(axis=1).mean())


def _log_probabilities(table: pd.DataFrame) -> tuple[Floats, NDArray[np.int64]]:
    classes = classes_of(table)
    columns = [PROBABILITY_PREFIX + name for name in classes]
    probabilities = table[columns].to_numpy(dtype=np.float64)
    target = pd.Index(classes).get_indexer(pd.Index(table["target"]))
    return np.log(np.maximum(probabilities, SMALLEST_PROBABILITY)), target.astype(np.int64)


def _summary(values: Sequence[float]) -> dict[str, Any]:
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "sd": sd, "values": list(values)}
