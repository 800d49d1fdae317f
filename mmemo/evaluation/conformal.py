"""Sets of classes in place of one, by split conformal prediction.

Source: Angelopoulos and Bates 2021, "A gentle introduction to conformal prediction", for LAC
(Sadinle, Lei and Wasserman 2019) and APS (Romano, Sesia and Candès 2020, here without
randomisation).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.stats import betabinom

from mmemo.evaluation.abstention_metrics import ClassCoverage, ConformalSets
from mmemo.evaluation.confusion_scores import Floats
from mmemo.evaluation.intervals import RUN_CONFIDENCE, Interval
from mmemo.evaluation.own_metrics import Answers
from mmemo.evaluation.row_intervals import share_interval
from mmemo.evaluation.units import Units

DECIMALS = 12


def lac_scores(probabilities: Floats) -> Floats:
    """One less each class' probability: (N, C) to (N, C)."""
    return 1.0 - probabilities


def aps_scores(probabilities: Floats) -> Floats:
    """The probability of a class and of all more probable ones together: (N, C) to (N, C).

    Equally probable classes count with each other. Sums of the same value are equal: what their
    last digits differ by in rounding is no order.
    """
    larger = probabilities[:, None, :] >= probabilities[:, :, None]
    scores: Floats = np.where(larger, probabilities[:, None, :], 0.0).sum(axis=2)
    return scores.round(DECIMALS)


CONFORMAL_SCORES: Mapping[str, Callable[[Floats], Floats]] = {"lac": lac_scores, "aps": aps_scores}
"""How unlike its utterance a class is, by the name of the method."""


def conformal_quantile(scores: Floats, miscoverage: float) -> float | None:
    """The ⌈(n + 1)(1 − α)⌉-th smallest of n scores; None where there are fewer.

    Args:
        scores: (n,), of the annotated classes.
        miscoverage: α.
    """
    place = _quantile_place(len(scores), miscoverage)
    return float(np.sort(scores)[place - 1]) if place <= len(scores) else None


def conformal_sets(
    name: str,
    val: Answers,
    test: Answers,
    units: Units,
    classes: Sequence[str],
    miscoverage: float,
) -> ConformalSets:
    """Calibrate sets on validation, and count what they hold on test.

    Args:
        name: Of ``CONFORMAL_SCORES``.
        val: Answers on validation.
        test: Answers on test.
        units: Of test.
        classes: C names, in label order.
        miscoverage: α.
    """
    score = CONFORMAL_SCORES[name]
    own = score(val.probabilities)[np.arange(len(val.target)), val.target]
    limit = conformal_quantile(own, miscoverage)
    given = score(test.probabilities)
    # All classes, where validation decides nothing.
    sets = np.ones(given.shape, np.bool_) if limit is None else given <= limit
    held = sets[np.arange(len(test.target)), test.target]
    sizes = sets.sum(axis=1)
    count = np.bincount(test.target, minlength=len(classes))
    right = np.bincount(test.target, held, minlength=len(classes))
    return ConformalSets(
        method=name,
        wished_coverage=1 - miscoverage,
        num_val=len(own),
        score_quantile=limit,
        coverage=float(held.mean()),
        coverage_interval=share_interval(held, units),
        expected=expected_coverage(len(own), len(held), miscoverage),
        by_class={
            label: ClassCoverage(float(right[place] / count[place]), int(count[place]))
            for place, label in enumerate(classes)
            if count[place]
        },
        mean_size=float(sizes.mean()),
        share_single=float((sizes == 1).mean()),
        share_empty=float((sizes == 0).mean()),
    )


def expected_coverage(num_val: int, num_test: int, miscoverage: float) -> Interval:
    """Where 95 % of coverages lie of exchangeable utterances, whose scores are all different.

    The number of covered ones is beta-binomial (Angelopoulos and Bates 2021, section 3.2).

    Args:
        num_val: n that the quantile is of.
        num_test: Utterances that coverage is counted on.
        miscoverage: α.
    """
    place = _quantile_place(num_val, miscoverage)
    if place > num_val:
        return 1.0, 1.0
    spread = betabinom(num_test, place, num_val + 1 - place)
    tail = (1 - RUN_CONFIDENCE) / 2
    return float(spread.ppf(tail) / num_test), float(spread.ppf(1 - tail) / num_test)


def _quantile_place(num: int, miscoverage: float) -> int:
    """⌈(n + 1)(1 − α)⌉, from 1."""
    # What rounding adds to a whole number is none.
    return int(np.ceil(round((num + 1) * (1 - miscoverage), 9)))
