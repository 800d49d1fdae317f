"""Whether probabilities mean what they say, and one temperature that mends them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from mmemo.evaluation.confusion_scores import class_numbers
from mmemo.evaluation.predictions import PROBABILITY_PREFIX, classes_of
from mmemo.evaluation.run_metrics import Calibration, ReliabilityBin
from mmemo.evaluation.seed_summary import SeedSummary

Floats = NDArray[np.float64]

NUM_BINS = 15
"""Of equal width between 0 and 1."""

SMALLEST_PROBABILITY = float(np.finfo(np.float32).tiny)
"""Stands for a probability of 0, which is one too small for the model's 32 bits."""

MAX_LOG_TEMPERATURE = 3.0
"""Temperatures between exp(-3) and exp(3) are tried: a validation split that is all right, or
no better than chance, has no best one, and gets the nearest of these two."""


def calibration_summary(runs: Sequence[tuple[pd.DataFrame, pd.DataFrame]]) -> Calibration:
    """Calibration on test, as it is and with a temperature fitted on validation.

    Source: Guo et al. 2017. The temperature minimises the negative log-likelihood of validation;
    the expected calibration error is of the top class over 15 equal bins; the Brier score (1950)
    is the mean over utterances of the squared distance to the right answer's one-hot vector,
    between 0 and 2.

    Args:
        runs: Prediction tables of validation and test, for each seed.
    """
    temperatures, before, after = [], [], []
    for val, test in runs:
        temperatures.append(fit_temperature(*_answers(val)))
        plain = _Answers.of(test)
        before.append(plain)
        after.append(replace(plain, probabilities=scaled(plain.probabilities, temperatures[-1])))

    def over_all(seeds: Sequence[_Answers]) -> tuple[ReliabilityBin, ...]:
        confidence = np.concatenate([seed.confidence for seed in seeds])
        return reliability(confidence, np.concatenate([seed.right for seed in seeds]))

    return Calibration(
        temperature=SeedSummary.of(temperatures),
        ece=SeedSummary.of(seed.ece for seed in before),
        ece_scaled=SeedSummary.of(seed.ece for seed in after),
        brier=SeedSummary.of(brier_score(seed.probabilities, seed.target) for seed in before),
        brier_scaled=SeedSummary.of(brier_score(s.probabilities, s.target) for s in after),
        num_bins=NUM_BINS,
        reliability=over_all(before),
        reliability_scaled=over_all(after),
    )


@dataclass(frozen=True)
class _Answers:
    """One seed's test rows: probabilities (N, C), targets (N,), and who is right (N,)."""

    probabilities: Floats
    target: NDArray[np.int64]
    right: NDArray[np.bool_]

    @property
    def confidence(self) -> Floats:
        """Probability of the top class (N,)."""
        top: Floats = self.probabilities.max(axis=1)
        return top

    @property
    def ece(self) -> float:
        return expected_calibration_error(self.confidence, self.right)

    @classmethod
    def of(cls, table: pd.DataFrame) -> _Answers:
        probabilities, target = _answers(table)
        return cls(probabilities, target, probabilities.argmax(axis=1) == target)


def fit_temperature(probabilities: Floats, target: NDArray[np.int64]) -> float:
    """The temperature T of softmax(log p / T) with the highest likelihood (Guo et al. 2017).

    A probability of 0 counts as the smallest that 32 bits hold at full precision: a right answer
    that was given none would make every temperature infinitely bad.

    Args:
        probabilities: (N, C).
        target: (N,), class indices.

    Returns:
        T between exp(-3) and exp(3).
    """
    logits = _logits(probabilities)
    mean_right = float(logits[np.arange(len(target)), target].mean())
    if mean_right == 0:
        # Every answer is right: the colder the likelier, until all sums are 1 in 64 bits.
        return float(np.exp(-MAX_LOG_TEMPERATURE))

    def negative_log_likelihood(log_temperature: float) -> float:
        inverse = float(np.exp(-log_temperature))
        return float(_log_sums(logits * inverse).mean()) - mean_right * inverse

    bounds = (-MAX_LOG_TEMPERATURE, MAX_LOG_TEMPERATURE)
    best = minimize_scalar(negative_log_likelihood, bounds=bounds, method="bounded")
    return float(np.exp(best.x))


def table_temperature(table: pd.DataFrame) -> float:
    """The temperature of a prediction table, as of ``fit_temperature``."""
    return fit_temperature(*_answers(table))


def is_at_bound(temperature: float) -> bool:
    """Whether a fitted temperature is an end of the range that was tried, and so no optimum."""
    return bool(abs(np.log(temperature)) > MAX_LOG_TEMPERATURE - 0.01)


def scaled(probabilities: Floats, temperature: float) -> Floats:
    """softmax(log p / T): (N, C) to (N, C)."""
    logits = _logits(probabilities) / temperature
    after: Floats = np.exp(logits - _log_sums(logits)[:, None])
    return after


def reliability(confidence: Floats, right: NDArray[np.bool_]) -> tuple[ReliabilityBin, ...]:
    """Mean confidence, accuracy and number of utterances of each bin that is not empty.

    Args:
        confidence: (N,), the top class' probability.
        right: (N,), whether it was the right class.
    """
    bins = bin_numbers(confidence)
    count = np.bincount(bins)
    confidences = np.bincount(bins, weights=confidence)
    rights = np.bincount(bins, weights=right)
    return tuple(
        ReliabilityBin(
            confidence=float(confidences[place] / count[place]),
            accuracy=float(rights[place] / count[place]),
            count=int(count[place]),
        )
        for place in np.flatnonzero(count)
    )


def bin_numbers(confidence: Floats) -> NDArray[np.int64]:
    """The bin of each confidence (N,), from 0 to ``NUM_BINS``.

    As torchmetrics: in 32 bits, a bin holds its lower edge, and exactly 1 is a bin of its own.
    """
    edges = np.linspace(0, 1, NUM_BINS + 1, dtype=np.float32)
    found: NDArray[np.int64] = np.searchsorted(edges, confidence.astype(np.float32), "right") - 1
    return found


def expected_calibration_error(confidence: Floats, right: NDArray[np.bool_]) -> float:
    """Mean gap between confidence and accuracy, weighed by the bins' utterances.

    Args:
        confidence: (N,), the top class' probability.
        right: (N,), whether it was the right class.
    """
    one_unit = np.zeros(len(right), np.int64)
    return float(calibration_errors(confidence, right, one_unit, np.ones((1, 1)))[0])


def calibration_errors(
    confidence: Floats, right: NDArray[np.bool_], unit: NDArray[np.int64], weights: Floats
) -> Floats:
    """The expected calibration error where units count as often as each of weights says: (R,).

    A bin's gap between confidence and accuracy, weighed by its utterances, is the sum of theirs:
    sums by unit and bin are enough.

    Args:
        confidence: (N,), the top class' probability.
        right: (N,), whether it was the right class.
        unit: (N,), numbers of G units.
        weights: (R, G).
    """
    num_units, num_bins = weights.shape[1], NUM_BINS + 1
    place = unit * num_bins + bin_numbers(confidence)
    gaps = np.bincount(place, weights=confidence - right, minlength=num_units * num_bins)
    sizes = np.bincount(unit, minlength=num_units).astype(np.float64)
    by_unit = gaps.reshape(num_units, num_bins)
    errors: Floats = np.abs(weights @ by_unit).sum(axis=1) / (weights @ sizes)
    return errors


def table_calibration_error(table: pd.DataFrame) -> float:
    """Expected calibration error of a prediction table: of the top class, over 15 equal bins."""
    return _Answers.of(table).ece


def brier_score(probabilities: Floats, target: NDArray[np.int64]) -> float:
    """Mean squared distance of (N, C) to the one-hot targets (N,)."""
    one_hot = np.eye(probabilities.shape[1])[target]
    return float(((probabilities - one_hot) ** 2).sum(axis=1).mean())


def _answers(table: pd.DataFrame) -> tuple[Floats, NDArray[np.int64]]:
    """Probabilities (N, C) and target indices (N,)."""
    classes = classes_of(table)
    columns = [table[PROBABILITY_PREFIX + name].to_numpy(dtype=np.float64) for name in classes]
    return np.stack(columns).T, class_numbers(table["target"], classes)


def _logits(probabilities: Floats) -> Floats:
    """Logarithms (N, C) less each row's highest: none is above 0, so that no power overflows."""
    logarithms = np.log(np.maximum(probabilities, SMALLEST_PROBABILITY))
    logits: Floats = logarithms - logarithms.max(axis=1, keepdims=True)
    return logits


def _log_sums(logits: Floats) -> Floats:
    """Log of the sum of exp over the classes: (N, C) to (N,)."""
    sums: Floats = np.log(np.exp(logits).sum(axis=1))
    return sums
