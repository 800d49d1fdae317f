from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mmemo.evaluation.calibration import table_calibration_error
from mmemo.evaluation.confusion_scores import METRICS as COUNTED
from mmemo.evaluation.intervals import (
    RUN_RESAMPLES,
    RUN_SEED,
    UnitTallies,
    interval,
    resampled_scores,
)
from mmemo.evaluation.units import Units
from mmemo.stress.scores import PairedScores, only_where

CLASSES = ("a", "b", "c")


def drawn(num: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(3), num)


def scores(num: int = 120, num_units: int = 40) -> PairedScores:
    target = np.random.default_rng(0).integers(3, size=num)
    return PairedScores(target, 3, Units("dialogue", np.arange(num) % num_units))


def test_what_is_the_same_differs_by_nothing() -> None:
    found = scores().of(drawn(120, 1), drawn(120, 1))
    for one in found.values():
        assert one.difference == 0.0
        assert one.interval == (0.0, 0.0)


def test_differences_and_intervals_are_those_of_the_paired_bootstrap() -> None:
    given = scores()
    one, clean = drawn(120, 1), drawn(120, 2)
    found = given.of(one, clean)
    preds = [part.argmax(axis=1) for part in (one, clean)]
    counts = UnitTallies.of(given.target, preds, 3, given.units)
    resampled = resampled_scores(counts, COUNTED, RUN_RESAMPLES, RUN_SEED)
    for name in ("accuracy", "macro_f1", "uar"):
        values = counts.scores(COUNTED[name])
        assert found[name].value == pytest.approx(values[0])
        assert found[name].difference == pytest.approx(values[0] - values[1])
        expected = interval(resampled[name][:, 0] - resampled[name][:, 1], 0.95, given.units)
        assert found[name].interval == pytest.approx(expected)


def table_of(probabilities: np.ndarray, target: np.ndarray) -> pd.DataFrame:
    frame = pd.DataFrame(probabilities, columns=[f"prob_{name}" for name in CLASSES])
    return frame.assign(target=[CLASSES[number] for number in target])


def test_the_calibration_error_is_that_of_metrics_json() -> None:
    given, one = scores(), drawn(120, 1)
    expected = table_calibration_error(table_of(one, given.target))
    assert given.values(one)["ece"] == pytest.approx(expected)


def test_the_calibration_error_of_a_resample_is_that_of_its_rows() -> None:
    given, one = scores(), drawn(120, 1)
    row = given.weights[0]
    rows = np.repeat(np.arange(120), row[given.units.number].astype(int))
    expected = table_calibration_error(table_of(one[rows], given.target[rows]))
    assert given._scores(one)["ece"][1] == pytest.approx(expected)


def test_what_a_gain_is_more_than_another_is_paired_too() -> None:
    given = scores()
    four = [drawn(120, seed) for seed in (1, 2, 3, 4)]
    found = given.beyond((four[0], four[1]), (four[2], four[3]))
    preds = [part.argmax(axis=1) for part in four]
    counts = UnitTallies.of(given.target, preds, 3, given.units)
    values = counts.scores(COUNTED["uar"])
    assert found["uar"].value == pytest.approx(values[0] - values[1])
    more = values[0] - values[1] - values[2] + values[3]
    assert found["uar"].difference == pytest.approx(more)
    drawn_scores = resampled_scores(counts, COUNTED, RUN_RESAMPLES, RUN_SEED)["uar"]
    expected = interval(drawn_scores @ np.array([1, -1, -1, 1]), 0.95, given.units)
    assert found["uar"].interval == pytest.approx(expected)


def test_few_units_are_left_out_one_at_a_time() -> None:
    given = scores(num_units=10)
    found = given.of(drawn(120, 1), drawn(120, 2))["accuracy"]
    left_out = []
    for unit in range(10):
        rows = given.units.number != unit
        right = [
            (part.argmax(axis=1) == given.target)[rows].mean()
            for part in (drawn(120, 1), drawn(120, 2))
        ]
        left_out.append(right[0] - right[1])
    deviation = np.sqrt(0.9 * np.square(np.array(left_out) - np.mean(left_out)).sum())
    assert found.interval is not None
    low, high = found.interval
    # t with 9 degrees of freedom.
    assert (high - low) / 2 == pytest.approx(2.2622 * deviation, rel=1e-4)


def test_very_few_units_have_no_interval() -> None:
    assert scores(num_units=3).of(drawn(120, 1), drawn(120, 2))["uar"].interval is None


def test_some_of_the_utterances_are_scored_by_themselves() -> None:
    given, one = scores(), drawn(120, 1)
    rows = np.arange(120) < 60
    fewer, (part,) = only_where(given, rows, [one])
    right = (one.argmax(axis=1) == given.target)[:60]
    assert fewer.values(part)["accuracy"] == pytest.approx(right.mean())
