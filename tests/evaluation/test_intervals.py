from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from mmemo.evaluation.confusion_scores import METRICS, class_numbers
from mmemo.evaluation.intervals import (
    UnitTallies,
    bootstrap_p,
    interval,
    jackknife_interval,
    left_out_scores,
    resampled_scores,
    run_intervals,
    smallest_bootstrap_p,
    stacked,
)
from mmemo.evaluation.own_metrics import Answers, OwnMetric
from mmemo.evaluation.row_intervals import left_out_answers, resampled_answers
from mmemo.evaluation.units import UNIT, UNIT_COLUMNS, Units
from tests.comparison.run_folders import CLASSES, predictions

SEED_1 = predictions("test", "ajnajn", "ajaajn", "001122")
SEED_2 = predictions("test", "ajnajn", "jjnnjn", "001122")
DIALOGUES = Units.of("dialogue", SEED_1, UNIT_COLUMNS["dialogue"])
ACCURACY = {"accuracy": METRICS["accuracy"]}


def counted(*tables: pd.DataFrame) -> UnitTallies:
    target = class_numbers(tables[0]["target"], CLASSES)
    preds = [class_numbers(table["pred"], CLASSES) for table in tables]
    return UnitTallies.of(target, preds, len(CLASSES), DIALOGUES)


def units(num: int) -> Units:
    """So many of two rows each."""
    return Units("dialogue", np.repeat(np.arange(num), 2))


def test_each_seeds_score_in_a_resample() -> None:
    counts = counted(SEED_1, SEED_2)
    weights = np.array([[2.0, 0.0, 1.0]])
    expected: dict[str, list[float]] = {"macro": [], "weighted": []}
    for table in (SEED_1, SEED_2):
        first, last = table[table["dialogue_id"] == 0], table[table["dialogue_id"] == 2]
        drawn = pd.concat([first, first, last])
        for average, scores in expected.items():
            given = (drawn["target"], drawn["pred"])
            scores.append(f1_score(*given, labels=CLASSES, average=average, zero_division=0))
    for average, scores in expected.items():
        found = METRICS[f"{average}_f1"](counts.weighted(weights))
        assert found[0] == pytest.approx(scores)
    assert counts.scores(METRICS["accuracy"]) == pytest.approx([5 / 6, 4 / 6])


def test_the_bootstrap_has_the_exact_distribution() -> None:
    # Three dialogues are drawn in 27 ways, which are equally likely.
    counts = counted(SEED_1)
    exact = []
    for drawn in product(range(3), repeat=3):
        weights = np.bincount(drawn, minlength=3)[None].astype(float)
        exact.append(float(METRICS["accuracy"](counts.weighted(weights))[0, 0]))
    found = resampled_scores(counts, ACCURACY, 20_000, seed=0)["accuracy"][:, 0]
    assert set(np.round(found, 9)) <= set(np.round(exact, 9))
    assert found.mean() == pytest.approx(np.mean(exact), abs=0.01)
    assert found.std() == pytest.approx(np.std(exact), abs=0.01)


def test_the_bootstrap_is_scipys() -> None:
    random = np.random.default_rng(0)
    # Units of one row: the accuracy is a mean, and its bootstrap that of any mean.
    right = random.random(60) < 0.7
    pred = np.where(right, 0, 1)
    alone = Units("utterance", np.arange(60))
    counts = UnitTallies.of(np.zeros(60, np.int64), [pred], 2, alone)
    ours = resampled_scores(counts, ACCURACY, 20_000, seed=0)["accuracy"][:, 0]
    theirs = stats.bootstrap(
        (right.astype(float),), np.mean, n_resamples=20_000, random_state=1, method="percentile"
    )
    assert ours.std(ddof=1) == pytest.approx(theirs.standard_error, rel=0.03)
    bounds = np.quantile(ours, [0.025, 0.975])
    assert bounds == pytest.approx(tuple(theirs.confidence_interval), abs=0.017)


def test_runs_are_scored_on_the_same_resamples() -> None:
    both = stacked([counted(SEED_1), counted(SEED_2), counted(SEED_1)])
    together = resampled_scores(both, METRICS, 600, seed=3)
    alone = resampled_scores(counted(SEED_2), METRICS, 600, seed=3)
    fewer = resampled_scores(counted(SEED_2), METRICS, 50, seed=3)
    for name, values in together.items():
        np.testing.assert_array_equal(values[:, 0], values[:, 2])
        np.testing.assert_array_equal(values[:, 1], alone[name][:, 0])
        np.testing.assert_array_equal(alone[name][:50], fewer[name][:50])


def test_the_interval_is_of_percentiles_taken_further_out() -> None:
    distribution = np.arange(10_001.0)
    found = interval(distribution, 0.95, units(20)) or (0.0, 0.0)
    # Of 20 units: the normal share below sqrt(20 / 19) times the t quantile of 19 degrees.
    tail = stats.norm.cdf(np.sqrt(20 / 19) * stats.t.ppf(0.025, 19))
    assert tail == pytest.approx(0.01588, abs=1e-5)
    assert found == pytest.approx((10_000 * tail, 10_000 * (1 - tail)))
    many = interval(distribution, 0.95, units(100_000)) or (0.0, 0.0)
    assert many == pytest.approx((250, 9750), abs=1)
    assert interval(distribution, 0.95, units(19)) is None


def test_bootstrap_p_is_where_the_interval_reaches_zero() -> None:
    random = np.random.default_rng(0)
    differences = random.normal(0.5, 0.3, 999)
    p = bootstrap_p(differences, units(25)) or 0.0
    below = np.sort(differences)
    (low, _) = interval(differences, 1 - p, units(25)) or (0.0, 0.0)
    # Between the two values around zero.
    assert below[below <= 0].max() - 0.02 < low < below[below > 0].min() + 0.02
    huge = units(100_000)
    assert bootstrap_p(np.array([0.1] * 97 + [-0.1] * 2), huge) == pytest.approx(0.06, rel=1e-3)
    assert bootstrap_p(np.array([0.1] * 99), huge) == pytest.approx(2 / 100, rel=1e-3)
    assert bootstrap_p(np.array([0.1] * 99), huge) == smallest_bootstrap_p(99, huge)
    assert bootstrap_p(np.zeros(9), huge) == 1.0
    assert bootstrap_p(np.zeros(9), units(19)) is None
    assert smallest_bootstrap_p(99, units(19)) is None


def of_speakers(num: int, size: int = 6) -> pd.DataFrame:
    """Answers on utterances of speakers of one size, who are recognised more or less well."""
    random = np.random.default_rng(num)
    ease = np.repeat(random.uniform(0.2, 0.9, num), size)
    target = random.choice(list("ajn"), num * size)
    pred = np.where(random.uniform(size=num * size) < ease, target, random.choice(list("ajn")))
    table = predictions("test", "".join(target), "".join(pred))
    return table.assign(unit=np.repeat([f"s{n:02}" for n in range(num)], size))


def test_the_jackknife_of_a_mean_is_students_interval() -> None:
    table = of_speakers(12)
    by_speaker = (table["target"] == table["pred"]).groupby(table[UNIT]).mean()
    expected = stats.t.interval(0.95, 11, by_speaker.mean(), stats.sem(by_speaker))
    found = run_intervals(table, "speaker")
    assert found.test["accuracy"] == pytest.approx(expected)
    assert found.note is None
    assert "one speaker left out at a time (jackknife, t with 11 degrees of freedom)" in found.kind
    assert all(found.test[name] is not None for name in METRICS)


def test_too_few_or_enough_units_have_no_jackknife() -> None:
    assert set(run_intervals(of_speakers(4), "speaker").test.values()) == {None}
    left_out = np.linspace(0.4, 0.6, 20)
    assert jackknife_interval(0.5, left_out, 0.95, units(20)) is None
    assert jackknife_interval(0.5, left_out[:4], 0.95, units(4)) is None
    # A score that is the same without any of them is no certainty.
    assert jackknife_interval(0.5, np.full(8, 0.5), 0.95, units(8)) is None
    assert jackknife_interval(0.97, np.array([1, 0.9, 1, 1, 1.0]), 0.95, units(5)) == (
        pytest.approx(0.97 - stats.t.ppf(0.975, 4) * 0.08),
        1.0,
    )


def test_what_needs_each_answer_is_resampled_alike() -> None:
    table = of_speakers(7)
    speakers = Units.of("speaker", table, [UNIT])
    target, pred = (class_numbers(table[column], CLASSES) for column in ("target", "pred"))
    counts = UnitTallies.of(target, [pred], len(CLASSES), speakers)
    answers = [Answers.of(table)]
    share = OwnMetric("share", "max", lambda preds, target: (preds == target).mean(), False)
    found = resampled_answers(answers, share, speakers, 600, seed=4)
    np.testing.assert_allclose(found, resampled_scores(counts, ACCURACY, 600, 4)["accuracy"])
    np.testing.assert_allclose(
        left_out_answers(answers, share, speakers), left_out_scores(counts, METRICS["accuracy"])
    )
