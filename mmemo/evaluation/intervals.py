"""How far the scores of trained models would vary with other units: the bootstrap over units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from mmemo.evaluation.confusion_scores import METRICS, Floats, Metric, Tallies, class_numbers
from mmemo.evaluation.predictions import classes_of
from mmemo.evaluation.run_metrics import RunIntervals
from mmemo.evaluation.units import UNIT, Units, plural
from mmemo.metric_table import lowest_of

Interval = tuple[float, float]

RUN_CONFIDENCE = 0.95
RUN_RESAMPLES = 2000
RUN_SEED = 0

RESAMPLES_AT_A_TIME = 500
"""Their counts stay in the processor's cache."""


@dataclass(frozen=True)
class UnitTallies:
    """Counts of the same utterances by several runs, unit by unit.

    Utterances of one unit resemble each other: it is units that are drawn, not utterances.

    Args:
        right: (S, G, C), of S runs, G units and C classes; see ``Tallies``.
        predicted: (S, G, C).
        annotated: (G, C), the same for all runs.
    """

    right: Floats
    predicted: Floats
    annotated: Floats

    @classmethod
    def of(
        cls,
        target: NDArray[np.int64],
        preds: Sequence[NDArray[np.int64]],
        num_classes: int,
        units: Units,
    ) -> UnitTallies:
        """Count predictions.

        Args:
            target: (N,), class numbers.
            preds: (N,) each, of the runs.
            num_classes: C.
            units: Of the same rows.
        """

        def counted(classes: NDArray[np.int64], rows: NDArray[np.bool_] | None = None) -> Floats:
            places = units.number * num_classes + classes
            chosen = places if rows is None else places[rows]
            counts = np.bincount(chosen, minlength=units.num * num_classes)
            return counts.reshape(units.num, num_classes).astype(np.float64)

        return cls(
            np.stack([counted(pred, pred == target) for pred in preds]),
            np.stack([counted(pred) for pred in preds]),
            counted(target),
        )

    @property
    def num_runs(self) -> int:
        """S."""
        return len(self.right)

    @property
    def num_units(self) -> int:
        """G."""
        return len(self.annotated)

    def only(self, runs: Sequence[int]) -> UnitTallies:
        """Some of the runs, by their places."""
        places = list(runs)
        return UnitTallies(self.right[places], self.predicted[places], self.annotated)

    @property
    def totals(self) -> Tallies:
        """Over all units: (S, C)."""
        right, predicted = self.right.sum(axis=1), self.predicted.sum(axis=1)
        return Tallies(right, predicted, self.annotated.sum(axis=0)[None])

    def scores(self, metric: Metric) -> Floats:
        """The metric of each run (S,) over all units."""
        return metric(self.totals)

    def weighted(self, weights: Floats) -> Tallies:
        """Tallies (R, S, C) where units count as often as weights (R, G) say."""
        runs, units, classes = self.right.shape
        # Sums of whole numbers below 2**24 are exact in float32, which is twice as fast.
        parts = [
            part.transpose(1, 0, 2).reshape(units, -1) for part in (self.right, self.predicted)
        ]
        flat = np.concatenate([*parts, self.annotated], axis=1).astype(np.float32)
        product = (weights.astype(np.float32) @ flat).astype(np.float64)
        size = runs * classes
        return Tallies(
            product[:, :size].reshape(-1, runs, classes),
            product[:, size : 2 * size].reshape(-1, runs, classes),
            product[:, None, 2 * size :],
        )


def stacked(groups: Sequence[UnitTallies]) -> UnitTallies:
    """The runs of several groups of runs on the same units, one behind the other."""
    return UnitTallies(
        np.concatenate([group.right for group in groups]),
        np.concatenate([group.predicted for group in groups]),
        groups[0].annotated,
    )


def resampled_scores(
    runs: UnitTallies, metrics: Mapping[str, Metric], num_resamples: int, seed: int
) -> dict[str, Floats]:
    """Each run's scores in each resample of units, by metric: (R, S).

    All runs are scored on the same resamples, so that differences between them are paired (Efron
    and Tibshirani 1993; Koehn 2004 for the pairing).

    Args:
        runs: Their counts.
        metrics: By name, from tallies (..., C) to scores.
        num_resamples: R.
        seed: Seed of the resamples.
    """
    found: dict[str, list[Floats]] = {name: [] for name in metrics}
    for counts in drawn_counts(runs.num_units, num_resamples, seed):
        tallies = runs.weighted(counts)
        for name, metric in metrics.items():
            found[name].append(metric(tallies))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def drawn_counts(num_units: int, num_resamples: int, seed: int) -> Iterator[Floats]:
    """How often each unit is drawn in each resample, (r, G) of some resamples at a time.

    Args:
        num_units: G.
        num_resamples: Of all parts together.
        seed: Seed of the draws: the same one draws the same units.
    """
    random = np.random.default_rng(seed)
    for start in range(0, num_resamples, RESAMPLES_AT_A_TIME):
        size = min(RESAMPLES_AT_A_TIME, num_resamples - start)
        yield _how_often(random.integers(num_units, size=(size, num_units)), num_units)


def interval(distribution: Floats, confidence: float, units: Units) -> Interval | None:
    """The percentile interval of a resampled score (R,), expanded for the number of units.

    Percentiles of the bootstrap are those of a normal distribution whose variance is too small by
    (G - 1) / G; they are taken further out, at the quantiles of t. G is the effective number of
    units. Source: the expanded percentile interval of Hesterberg 2015, "What teachers should know
    about the bootstrap".

    Returns:
        Lower and upper bound; None where there are few units, or a resample has no score.
    """
    if units.are_few or not np.isfinite(distribution).all():
        return None
    tail = _expanded_tail((1 - confidence) / 2, units.effective_num)
    low, high = np.quantile(distribution, [tail, 1 - tail])
    return float(low), float(high)


def left_out_scores(runs: UnitTallies, metric: Metric) -> Floats:
    """Each run's scores without one unit at a time: (G, S)."""
    return metric(runs.weighted(1 - np.eye(runs.num_units)))


def jackknife_interval(
    value: float,
    left_out: Floats,
    confidence: float,
    units: Units,
    limits: Interval = (0.0, 1.0),
) -> Interval | None:
    """The interval of a score by leaving out one of few units at a time.

    Source: the jackknife variance (Efron and Tibshirani 1993, chapter 11; for clusters, MacKinnon,
    Nielsen and Webb 2023, "Fast and reliable jackknife and bootstrap methods for cluster-robust
    inference") with a quantile of t at the effective number of units less one.

    Args:
        value: The score.
        left_out: (G,), the score without each unit.
        confidence: Of the interval.
        units: G units.
        limits: The least and the most that the score can be.

    Returns:
        Lower and upper bound; None where units are too few, or enough for a bootstrap, or nothing
        varies.
    """
    if not units.has_jackknife:
        return None
    num = units.num
    variance = (num - 1) / num * float(np.square(left_out - left_out.mean()).sum())
    if variance == 0 or not np.isfinite(variance):
        return None
    quantile = float(stdtrit(units.effective_num - 1, (1 + confidence) / 2))
    half = quantile * float(np.sqrt(variance))
    return max(limits[0], value - half), min(limits[1], value + half)


def score_interval(
    value: float,
    drawn: Floats,
    confidence: float,
    units: Units,
    limits: Interval = (0.0, 1.0),
) -> Interval | None:
    """The interval of a score: by bootstrap, of few units by jackknife, of very few None.

    Args:
        value: The score.
        drawn: It in resamples (R,) of units, or without each of few units (G,).
        confidence: Of the interval.
        units: G units.
        limits: The least and the most that the score can be.
    """
    if units.has_jackknife:
        return jackknife_interval(value, drawn, confidence, units, limits)
    return interval(drawn, confidence, units)


def bootstrap_p(differences: Floats, units: Units) -> float | None:
    """Two-sided p of paired bootstrap differences (R,): where the expanded interval reaches 0.

    Source: Davison and Hinkley 1997, section 4.4, for the share of resamples beyond 0, with one
    added so that it is never 0; see ``interval`` for the expansion. None where there are few units.
    """
    if units.are_few or not np.isfinite(differences).all():
        return None
    beyond = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    share = min(0.5, (beyond + 1) / (len(differences) + 1))
    return _p_of_share(share, units.effective_num)


def smallest_bootstrap_p(num_resamples: int, units: Units) -> float | None:
    """The p of a difference that has one sign in all resamples."""
    if units.are_few:
        return None
    return _p_of_share(1 / (num_resamples + 1), units.effective_num)


def run_intervals(test: pd.DataFrame, unit: str) -> RunIntervals:
    """The intervals of this trained model's scores, by bootstrap over units; of few by jackknife.

    Args:
        test: Prediction table of test, with the column ``unit``.
        unit: What that names: "dialogue".
    """
    classes, units = classes_of(test), Units.of(unit, test, [UNIT])
    target, pred = (class_numbers(test[column], classes) for column in ("target", "pred"))
    counts = UnitTallies.of(target, [pred], len(classes), units)
    how = f"{plural(units.name)} drawn anew"
    if units.has_jackknife:
        how = f"one {units.name} left out at a time ({units.jackknife_text})"
    found = score_intervals(counts, units, METRICS)
    return RunIntervals(
        kind=f"this trained model: {how}, neither seeds nor training data",
        unit=units.name,
        num_units=units.num,
        effective_units=round(units.effective_num, 1),
        confidence=RUN_CONFIDENCE,
        test=found,
        note=None if units.has_jackknife else units.few_note,
    )


def score_intervals(
    counts: UnitTallies, units: Units, metrics: Mapping[str, Metric]
) -> dict[str, Interval | None]:
    """The interval of each score of one trained model, by bootstrap, of few units by jackknife.

    Args:
        counts: Of one run.
        units: That its rows belong to.
        metrics: By name; names that the table of metrics has not are of shares.
    """
    if units.has_jackknife:
        drawn = {name: left_out_scores(counts, metric) for name, metric in metrics.items()}
    else:
        drawn = resampled_scores(counts, metrics, RUN_RESAMPLES, RUN_SEED)
    return {
        name: score_interval(
            float(counts.scores(metric)[0]),
            drawn[name][:, 0],
            RUN_CONFIDENCE,
            units,
            (lowest_of(name), 1.0),
        )
        for name, metric in metrics.items()
    }


def _expanded_tail(tail: float, num: float) -> float:
    """The share of resamples beyond a bound that has to have ``tail`` beyond it."""
    return float(ndtr(np.sqrt(num / (num - 1)) * stdtrit(num - 1, tail)))


def _p_of_share(share: float, num: float) -> float:
    """Two-sided: the inverse of ``_expanded_tail``, twice."""
    return float(2 * stdtr(num - 1, np.sqrt((num - 1) / num) * ndtri(share)))


def _how_often(chosen: NDArray[np.int64], num_units: int) -> Floats:
    """Drawn numbers (R, G) to counts (R, G)."""
    offset = num_units * np.arange(len(chosen))[:, None]
    counts = np.bincount((chosen + offset).ravel(), minlength=num_units * len(chosen))
    return counts.reshape(len(chosen), num_units).astype(np.float64)
