"""What ``metrics.json`` tells of abstention: whether a run knows when not to answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import FiniteFloat

from mmemo.evaluation.group_metrics import Bounds


@dataclass(frozen=True)
class RiskPoint:
    """What is wrong among the answers that the model is surest of.

    Args:
        coverage: Share of the utterances that is answered.
        risk: Share of these answers that is wrong.
        threshold: The least confidence that is answered.
        risk_interval: Over test units, at this coverage or threshold; None of few, where nothing
            varies, and where it is not asked for.
    """

    coverage: FiniteFloat
    risk: FiniteFloat
    threshold: FiniteFloat
    risk_interval: Bounds | None = None


@dataclass(frozen=True)
class ChosenThreshold:
    """The confidence from which on to answer, for a wished error.

    Args:
        wished_error: Share of wrong answers that is allowed.
        threshold: Least confidence that is answered, chosen on validation; None where validation
            has none with so few errors.
        val: What it gives on validation.
        test: What it gives on test; None where nothing of it is answered.
        threshold_interval: Where it would lie with other units of validation; None of few.
        test_risk_interval: The error on test with these thresholds; None of few, or where some
            answer nothing.
        notes: What has to be known to use it.
    """

    wished_error: FiniteFloat
    threshold: FiniteFloat | None
    val: RiskPoint | None
    test: RiskPoint | None
    threshold_interval: Bounds | None
    test_risk_interval: Bounds | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SelectiveMetrics:
    """What a run is worth on test if it may abstain where it is not sure.

    Args:
        aurc: Area under the risk-coverage curve; lower is better.
        aurc_interval: Over units; None of few.
        aurc_oracle: Of a model with as many errors that knows which they are.
        aurc_random: Of one that does not know at all: its share of errors.
        curve: At most a hundred points of it.
        at_coverage: Points of the curve at round coverages.
        threshold: For a wished error.
    """

    aurc: FiniteFloat
    aurc_interval: Bounds | None
    aurc_oracle: FiniteFloat
    aurc_random: FiniteFloat
    curve: tuple[RiskPoint, ...]
    at_coverage: tuple[RiskPoint, ...]
    threshold: ChosenThreshold


@dataclass(frozen=True)
class ClassCoverage:
    """How often sets hold the annotated class, of one class' utterances."""

    coverage: FiniteFloat
    num_utterances: int


@dataclass(frozen=True)
class ConformalSets:
    """Sets of classes that hold the annotated one as often as was wished.

    Args:
        method: ``lac`` or ``aps``.
        wished_coverage: Share of the sets that should hold it.
        num_val: Utterances of validation that it was calibrated on.
        score_quantile: Greatest score of a class in a set; None where validation is so small that
            sets hold all classes.
        coverage: Share of test whose sets hold the annotated class.
        coverage_interval: Over units; None of few.
        expected: 95 % of tests of this size have their coverage in here, if utterances of
            validation and test were exchangeable.
        by_class: Coverage of each class that occurs.
        mean_size: Classes in a set.
        share_single: Sets of one class.
        share_empty: Sets of none.
    """

    method: str
    wished_coverage: FiniteFloat
    num_val: int
    score_quantile: FiniteFloat | None
    coverage: FiniteFloat
    coverage_interval: Bounds | None
    expected: Bounds
    by_class: Mapping[str, ClassCoverage]
    mean_size: FiniteFloat
    share_single: FiniteFloat
    share_empty: FiniteFloat


@dataclass(frozen=True)
class AbstentionMetrics:
    """Whether a run knows when not to answer; all of calibrated probabilities.

    Args:
        selective: Answering or not by confidence.
        conformal: By method.
        notes: What calibrating on this validation split means.
    """

    selective: SelectiveMetrics
    conformal: Mapping[str, ConformalSets]
    notes: tuple[str, ...] = ()
