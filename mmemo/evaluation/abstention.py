"""Knowing when not to answer: risk and coverage, and a threshold that validation chooses.

Sources: Geifman and El-Yaniv 2017, "Selective classification for deep neural networks", for risk
and coverage; Geifman, Uziel and El-Yaniv 2019, "Bias-reduced uncertainty estimation for deep
neural classifiers", for the area under the curve.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmemo.corpora.utterance import joint_name
from mmemo.evaluation.abstention_metrics import (
    AbstentionMetrics,
    ChosenThreshold,
    RiskPoint,
    SelectiveMetrics,
)
from mmemo.evaluation.calibration import fit_temperature, scaled
from mmemo.evaluation.conformal import CONFORMAL_SCORES, conformal_sets
from mmemo.evaluation.confusion_scores import Floats
from mmemo.evaluation.intervals import RUN_CONFIDENCE, RUN_SEED, Interval, interval
from mmemo.evaluation.own_metrics import Answers
from mmemo.evaluation.predictions import CORPUS, classes_of
from mmemo.evaluation.row_intervals import NUM_RESAMPLES, Bools, drawn_rows, unit_intervals
from mmemo.evaluation.units import UNIT, Units, plural
from mmemo.values import check_real

CURVE_POINTS = 100
COVERAGES = (0.5, 0.7, 0.8, 0.9, 1.0)
ROUNDING = 1e-12
"""By so much a mean of errors may be off."""
FEW_ERRORS = 10
"""Of fewer errors among what validation answers, a chosen threshold rests on chance."""

CHOSEN_ON_VAL = (
    "The checkpoint and the temperature were chosen on the same validation split, which flatters "
    "it: expect more errors, and a lower coverage, than promised. (Of a classical classifier it is "
    "the settings, unless inner folds chose them.)"
)


@dataclass(frozen=True)
class Ranked:
    """Answers of one model by confidence, highest first; equally sure ones stand together.

    Args:
        confidence: (N,), falling.
        wrong: (N,), between 0 and 1: of equally sure answers their mean, as no order is theirs.
        last: (N,), whether the next one is less sure.
    """

    confidence: Floats
    wrong: Floats
    last: Bools

    @classmethod
    def of(cls, confidence: Floats, wrong: Bools) -> Ranked:
        """In any order; at least one."""
        order = np.argsort(-confidence, kind="stable")
        sorted_confidence = confidence[order]
        last = np.append(sorted_confidence[1:] != sorted_confidence[:-1], True)
        block = np.append(0, np.cumsum(last)[:-1])
        means = np.bincount(block, wrong[order]) / np.bincount(block)
        return cls(sorted_confidence, means[block], last)

    @property
    def risks(self) -> Floats:
        """Share that is wrong among the surest 1, 2, … N (N,)."""
        share: Floats = np.cumsum(self.wrong) / np.arange(1, len(self.wrong) + 1)
        return share

    @property
    def area(self) -> float:
        """Area under the risk-coverage curve: the mean risk over all coverages."""
        return float(self.risks.mean())

    def point(self, num: int) -> RiskPoint:
        """The curve where so many are answered, at least one."""
        return RiskPoint(
            num / len(self.wrong), float(self.risks[num - 1]), float(self.confidence[num - 1])
        )

    def at_coverage(self, share: float) -> RiskPoint:
        """The curve where about this share is answered."""
        return self.point(max(1, round(share * len(self.wrong))))

    def at_least(self, threshold: float) -> RiskPoint | None:
        """What a threshold gives; None where nothing reaches it."""
        num = int((self.confidence >= threshold).sum())
        return replace(self.point(num), threshold=threshold) if num else None

    def threshold(self, wished_error: float) -> float | None:
        """The least confidence whose answers are wrong so seldom; None without any."""
        fits = np.flatnonzero(self.last & (self.risks <= wished_error + ROUNDING))
        return float(self.confidence[fits[-1]]) if len(fits) else None


def table_area(table: pd.DataFrame, temperature: float) -> float:
    """Area under the risk-coverage curve of a prediction table, by scaled probabilities."""
    answers = Answers.of(table)
    confidence = scaled(answers.probabilities, temperature).max(axis=1)
    return Ranked.of(confidence, answers.preds != answers.target).area


def oracle_area(wrong: Bools) -> float:
    """Area of a model with as many errors that is surer of each right answer than of these."""
    return float((np.cumsum(np.sort(wrong)) / np.arange(1, len(wrong) + 1)).mean())


@dataclass(frozen=True)
class Abstention:
    """What a run is worth if it may abstain, and how large sets are that hold the right class.

    Args:
        wished_error: Share of wrong answers that is allowed; the threshold is chosen on
            validation.
        miscoverage: Share of sets that may lack the annotated class.

    Raises:
        InputError: If one is no share above 0 and below 1.
    """

    wished_error: float = 0.1
    miscoverage: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        check_real("abstention.wished_error", self.wished_error, 0, above=True, below=1)
        check_real("abstention.miscoverage", self.miscoverage, 0, above=True, below=1)

    def metrics(
        self, val: pd.DataFrame, test: pd.DataFrame, unit: str, val_unit: str | None = None
    ) -> AbstentionMetrics:
        """What validation chooses, and what that gives on test.

        Args:
            val: Prediction table of validation, of the same classes.
            test: Prediction table of test.
            unit: What their column ``unit`` names; validation of another corpus may lack it.
            val_unit: What that of validation names; None for the same.
        """
        own, given = Answers.of(val), Answers.of(test)
        temperature = fit_temperature(own.probabilities, own.target)
        own, given = (
            replace(part, probabilities=scaled(part.probabilities, temperature))
            for part in (own, given)
        )
        units = Units.of(unit, test, [UNIT])
        val_units = Units.of(val_unit or unit, val, [UNIT]) if UNIT in val else None
        classes = classes_of(test)
        sets = {
            name: conformal_sets(name, own, given, units, classes, self.miscoverage)
            for name in CONFORMAL_SCORES
        }
        selective = self._selective(own, given, units, val_units)
        return AbstentionMetrics(selective, sets, (*_notes(val, test), CHOSEN_ON_VAL))

    def _selective(
        self, val: Answers, test: Answers, units: Units, val_units: Units | None
    ) -> SelectiveMetrics:
        confidence, wrong = _confidence(test), test.preds != test.target
        ranked = Ranked.of(confidence, wrong)
        num = len(wrong)
        points = np.unique(np.ceil(np.linspace(0, num, CURVE_POINTS + 1)[1:]).astype(int))

        threshold = self._threshold(val, ranked, val_units)
        asked = threshold.threshold

        def risks(rows: NDArray[np.int64]) -> Floats:
            drawn = Ranked.of(confidence[rows], wrong[rows])
            given = None if asked is None else drawn.at_least(asked)
            at_coverage = [drawn.at_coverage(share).risk for share in COVERAGES]
            return np.array([drawn.area, np.nan if given is None else given.risk, *at_coverage])

        of_area, of_threshold, *of_coverages = unit_intervals(risks, units)
        if threshold.test is not None:
            threshold = replace(threshold, test=replace(threshold.test, risk_interval=of_threshold))
        return SelectiveMetrics(
            aurc=ranked.area,
            aurc_interval=of_area,
            aurc_oracle=oracle_area(wrong),
            aurc_random=float(wrong.mean()),
            curve=tuple(ranked.point(int(point)) for point in points),
            at_coverage=tuple(
                replace(ranked.at_coverage(share), risk_interval=bounds)
                for share, bounds in zip(COVERAGES, of_coverages, strict=True)
            ),
            threshold=threshold,
        )

    def _threshold(self, val: Answers, test: Ranked, val_units: Units | None) -> ChosenThreshold:
        confidence, wrong = _confidence(val), val.preds != val.target
        ranked = Ranked.of(confidence, wrong)
        chosen = ranked.threshold(self.wished_error)
        notes = []
        on_val = on_test = None
        if chosen is None:
            notes.append(
                f"Validation has no threshold from which on at most {100 * self.wished_error:g} % "
                "of its answers are wrong."
            )
        else:
            on_val, on_test = ranked.at_least(chosen), test.at_least(chosen)
            answered = confidence >= chosen
            errors = int(wrong[answered].sum())
            if errors < FEW_ERRORS:
                notes.append(
                    f"The threshold is uncertain: it rests on {errors} wrong answers of "
                    f"{int(answered.sum())} that validation gives there."
                )
        drawn, risks = _other_thresholds(confidence, wrong, val_units, self.wished_error, test)
        if val_units is None or val_units.are_few:
            which = "units" if val_units is None else val_units.text
            notes.append(
                f"How far the threshold would vary with other validation is not known of {which}."
            )
        elif chosen is not None and drawn is None:
            notes.append("With other validation units there may be no such threshold at all.")
        return ChosenThreshold(
            wished_error=self.wished_error,
            threshold=chosen,
            val=on_val,
            test=on_test,
            threshold_interval=drawn,
            test_risk_interval=risks,
            notes=tuple(notes),
        )


def _other_thresholds(
    confidence: Floats, wrong: Bools, units: Units | None, wished_error: float, test: Ranked
) -> tuple[Interval | None, Interval | None]:
    """Where the threshold, and the error on test, would lie with other units of validation."""
    if units is None or units.are_few:
        return None, None
    found = [
        Ranked.of(confidence[rows], wrong[rows]).threshold(wished_error)
        for rows in drawn_rows(units, NUM_RESAMPLES, RUN_SEED)
    ]
    if any(threshold is None for threshold in found):
        return None, None
    thresholds = np.array(found, dtype=np.float64)
    given = [test.at_least(float(threshold)) for threshold in thresholds]
    risks = np.array([np.nan if point is None else point.risk for point in given])
    return (
        interval(thresholds, RUN_CONFIDENCE, units),
        interval(risks, RUN_CONFIDENCE, units),
    )


def _confidence(answers: Answers) -> Floats:
    """Probability of what is answered (N,)."""
    top: Floats = answers.probabilities.max(axis=1)
    return top


def _notes(val: pd.DataFrame, test: pd.DataFrame) -> list[str]:
    """Whether utterances of validation stand for those of test, and for whom else."""
    names = [part["speaker"].fillna("").astype(str) for part in (val, test)]
    speakers = [set(part) - {""} for part in names]
    own = set(speakers[0])
    if CORPUS in test:
        # A run on several corpora has put their names in front.
        pairs = zip(test[CORPUS].astype(str), names[1], strict=True)
        own |= {name for corpus, name in pairs if joint_name(corpus, name) in speakers[0]}
    shared = len(own & speakers[1])
    if shared:
        return [
            f"{shared} of the {len(speakers[1])} speakers of test speak in validation too. What "
            "sets and threshold promise is for such speakers: those of nobody heard before are "
            "not exchangeable with them, and are covered less."
        ]
    if any((part == "").any() for part in names):
        return [
            "Who speaks is not known of all utterances: whether validation and test are "
            "exchangeable, which sets and threshold rest on, cannot be told."
        ]
    return [
        f"Validation and test share no speaker. Sets and threshold rest on "
        f"{len(speakers[0])} {plural('speaker') if len(speakers[0]) > 1 else 'speaker'} of "
        "validation, whose utterances resemble each other: what is promised holds on average over "
        "speakers, not for each."
    ]
