"""``metrics.json``: the numbers of one trained model, with the protocol that they are of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field, FiniteFloat

from mmemo.evaluation.protocol import Protocol


@dataclass(frozen=True)
class Averages:
    """Precision, recall and F1 over all classes."""

    precision: FiniteFloat
    recall: FiniteFloat
    f1: FiniteFloat


@dataclass(frozen=True)
class ClassScores:
    """Scores of one class.

    Args:
        precision: 0 where the class is never predicted.
        recall: 0 where it never occurs.
        f1: 0 where it is never right.
        support: How many utterances are of it.
        auroc: Area under its ROC curve against all others; None where it does not occur, or alone.
    """

    precision: FiniteFloat
    recall: FiniteFloat
    f1: FiniteFloat
    support: int
    auroc: FiniteFloat | None


@dataclass(frozen=True)
class MajorityBaseline:
    """What it is worth to answer always with the training split's most frequent class."""

    majority_class: Annotated[str, Field(alias="class")]
    accuracy: FiniteFloat
    macro_f1: FiniteFloat
    weighted_f1: FiniteFloat


@dataclass(frozen=True)
class SplitMetrics:
    """Metrics of one split.

    Args:
        num_utterances: How many they are of.
        accuracy: Share of right answers.
        macro: Means over the classes.
        weighted: Means over the classes, by their support.
        per_class: Scores of each class, in label order.
        auroc_macro: Mean area under the ROC curves that are defined; None without any.
        ece: Expected calibration error.
        majority_baseline: The plainest answer's scores.
    """

    num_utterances: int
    accuracy: FiniteFloat
    macro: Averages
    weighted: Averages
    per_class: Mapping[str, ClassScores]
    auroc_macro: FiniteFloat | None
    ece: FiniteFloat
    majority_baseline: MajorityBaseline


@dataclass(frozen=True)
class RunIntervals:
    """How far the test scores of one trained model would vary with other test units.

    Args:
        kind: What is drawn anew, in words.
        unit: Name of what is drawn: "dialogue".
        num_units: How many there are.
        effective_units: As many of one size vary as much.
        confidence: Of the intervals.
        test: By metric lower and upper bound; None where there are few units.
        note: Why there is no interval; None where there is one.
    """

    kind: str
    unit: str
    num_units: int
    effective_units: FiniteFloat
    confidence: FiniteFloat
    test: Mapping[str, tuple[FiniteFloat, FiniteFloat] | None]
    note: str | None


@dataclass(frozen=True)
class SeedValues:
    """A number of each seed: mean, standard deviation (None of one seed), and the values."""

    mean: FiniteFloat
    sd: FiniteFloat | None
    values: tuple[FiniteFloat, ...]


@dataclass(frozen=True)
class ReliabilityBin:
    """Utterances of which the model is about as sure: mean confidence, accuracy, how many."""

    confidence: FiniteFloat
    accuracy: FiniteFloat
    count: int


@dataclass(frozen=True)
class Calibration:
    """Calibration on test, as it is and with a temperature fitted on validation.

    Args:
        temperature: That divides the logarithms of the probabilities.
        ece: Expected calibration error as it is.
        ece_scaled: With the temperature.
        brier: Brier score as it is, between 0 and 2.
        brier_scaled: With the temperature.
        num_bins: Of the calibration errors.
        reliability: The bins that are not empty, as it is.
        reliability_scaled: With the temperature.
    """

    temperature: SeedValues
    ece: SeedValues
    ece_scaled: SeedValues
    brier: SeedValues
    brier_scaled: SeedValues
    num_bins: int
    reliability: tuple[ReliabilityBin, ...]
    reliability_scaled: tuple[ReliabilityBin, ...]


@dataclass(frozen=True)
class RunMetrics:
    """Contents of ``metrics.json``.

    Args:
        protocol: What the numbers are of.
        splits: By evaluated split.
        intervals: Of the test scores.
        calibration: On test.
    """

    VERSION: ClassVar[int] = 1

    protocol: Protocol
    splits: Mapping[str, SplitMetrics]
    intervals: RunIntervals | None = None
    calibration: Calibration | None = None
