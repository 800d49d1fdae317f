"""Intervals of scores that need each row: what cannot be counted by class and unit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mmemo.evaluation.confusion_scores import Floats
from mmemo.evaluation.intervals import RUN_CONFIDENCE, RUN_SEED, Interval, score_interval
from mmemo.evaluation.own_metrics import Answers, OwnMetric
from mmemo.evaluation.units import Units

Bools = NDArray[np.bool_]

NUM_RESAMPLES = 1000


def drawn_rows(units: Units, num_resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """The rows of each resample of units, the same units as ``drawn_counts`` draws.

    Args:
        units: Of the rows.
        num_resamples: How many.
        seed: Seed of the draws.
    """
    random = np.random.default_rng(seed)
    order = np.argsort(units.number, kind="stable")
    places = np.split(order, np.cumsum(units.sizes)[:-1])
    for _ in range(num_resamples):
        yield np.concatenate([places[unit] for unit in random.integers(units.num, size=units.num)])


def left_out_rows(units: Units) -> Iterator[NDArray[np.int64]]:
    """All rows but those of one unit at a time."""
    for unit in range(units.num):
        yield np.flatnonzero(units.number != unit)


def resampled_answers(
    runs: Sequence[Answers], metric: OwnMetric, units: Units, num_resamples: int, seed: int
) -> Floats:
    """Each run's scores in the same resamples as ``resampled_scores`` draws: (R, S).

    Args:
        runs: Their answers on the same utterances.
        metric: Needs each answer.
        units: Of the utterances.
        num_resamples: R.
        seed: Seed of the resamples.
    """
    return _scored(runs, metric, drawn_rows(units, num_resamples, seed))


def left_out_answers(runs: Sequence[Answers], metric: OwnMetric, units: Units) -> Floats:
    """Each run's scores without one unit at a time: (G, S)."""
    return _scored(runs, metric, left_out_rows(units))


def _scored(
    runs: Sequence[Answers], metric: OwnMetric, chosen: Iterable[NDArray[np.int64]]
) -> Floats:
    return np.array([[metric.score(run.only(rows)) for run in runs] for rows in chosen])


def unit_intervals(
    scores: Callable[[NDArray[np.int64]], Floats], units: Units
) -> list[Interval | None]:
    """The intervals of any scores of rows: by bootstrap over units, of few by jackknife.

    Args:
        scores: (K,), of rows by their places, each as often as it is named; not a number where
            one is undefined.
        units: Of the rows.

    Returns:
        K of them; None where units are few, nothing varies, or some draw has no score.
    """
    whole = scores(np.arange(len(units.number)))
    if units.are_few and not units.has_jackknife:
        return [None] * len(whole)
    rows = (
        left_out_rows(units) if units.has_jackknife else drawn_rows(units, NUM_RESAMPLES, RUN_SEED)
    )
    drawn = np.array([scores(chosen) for chosen in rows])
    pairs = zip(whole, drawn.T, strict=True)
    found = [score_interval(float(value), part, RUN_CONFIDENCE, units) for value, part in pairs]
    return [one if one is not None and one[0] < one[1] else None for one in found]


def share_interval(holds: Bools, units: Units) -> Interval | None:
    """The interval of a share of rows (N,), as ``unit_intervals`` gives it."""
    return unit_intervals(lambda rows: holds[rows].mean(keepdims=True), units)[0]
