"""``metrics.json``: the numbers of one trained model, with the protocol that they are of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import Field, FiniteFloat

from mmemo.evaluation.protocol import Protocol
from mmemo.evaluation.seed_summary import SeedSummary


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
        uar: Unweighted average recall, over the classes that occur; None where an earlier mmemo
            has not told it, and so ``mcc``.
        mcc: Matthews' correlation coefficient.
        own: By name the user's own metrics; None where one is undefined.
    """

    num_utterances: int
    accuracy: FiniteFloat
    macro: Averages
    weighted: Averages
    per_class: Mapping[str, ClassScores]
    auroc_macro: FiniteFloat | None
    ece: FiniteFloat
    majority_baseline: MajorityBaseline
    uar: FiniteFloat | None = None
    mcc: FiniteFloat | None = None
    own: Mapping[str, FiniteFloat | None] = field(default_factory=dict)

    @property
    def single_scores(self) -> dict[str, float | None]:
        """By name what is one number and no average: those alone that the file tells."""
        described = {"uar": self.uar, "mcc": self.mcc}
        return {name: value for name, value in described.items() if value is not None} | dict(
            self.own
        )


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
class ReliabilityBin:
    """Utterances whose top class has about the same probability.

    Args:
        confidence: Mean of that probability.
        accuracy: Share that is right.
        count: How many there are, at least one.
    """

    confidence: FiniteFloat
    accuracy: FiniteFloat
    count: int


@dataclass(frozen=True)
class Calibration:
    """Calibration on test, as it is and with a temperature fitted on validation.

    Args:
        temperature: Fitted for each seed.
        ece: Expected calibration error of the top class, by seed, without the temperature.
        ece_scaled: Expected calibration error by seed, with the temperature.
        brier: Brier score by seed, between 0 and 2, without the temperature.
        brier_scaled: Brier score by seed, with the temperature.
        num_bins: Bins of equal width that the errors are counted in.
        reliability: Bins that are not empty, over the test rows of all seeds, without the
            temperature.
        reliability_scaled: Bins that are not empty, with the temperature.
    """

    temperature: SeedSummary
    ece: SeedSummary
    ece_scaled: SeedSummary
    brier: SeedSummary
    brier_scaled: SeedSummary
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
        by_corpus: By corpus, then by split that has rows of it, where there are several; classes
            that a corpus lacks count as 0.
    """

    VERSION: ClassVar[int] = 2
    READ_VERSIONS: ClassVar[tuple[int, ...]] = (1,)

    protocol: Protocol
    splits: Mapping[str, SplitMetrics]
    intervals: RunIntervals | None = None
    calibration: Calibration | None = None
    by_corpus: Mapping[str, Mapping[str, SplitMetrics]] = field(default_factory=dict)
