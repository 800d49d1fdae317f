from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from mmemo.evaluation.confusion_scores import METRICS
from mmemo.evaluation.intervals import (
    DialogueCounts,
    dialogue_numbers,
    interval,
    resampled_scores,
)
from tests.evaluation.run_folders import CLASSES, predictions

SEED_1 = predictions("test", "ajnajn", "ajaajn", "001122")
SEED_2 = predictions("test", "ajnajn", "jjnnjn", "001122")
DIALOGUES = dialogue_numbers(SEED_1)
ACCURACY = {"accuracy": METRICS["accuracy"]}


def test_a_dialogue_is_named_with_its_split() -> None:
    table = pd.DataFrame(
        {"corpus_split": ["val", "test", "val", "test"], "dialogue_id": [1, 1, 2, 1]}
    )
    number, count = dialogue_numbers(table)
    assert number.tolist() == [1, 0, 2, 0]
    assert count == 3


def test_each_seeds_score_in_a_resample() -> None:
    counts = DialogueCounts.of([SEED_1, SEED_2], CLASSES, DIALOGUES)
    weights = np.array([[2.0, 0.0, 1.0]])
    expected = []
    for table in (SEED_1, SEED_2):
        first, last = table[table["dialogue_id"] == 0], table[table["dialogue_id"] == 2]
        drawn = pd.concat([first, first, last])
        expected.append(f1_score(drawn["target"], drawn["pred"], labels=CLASSES, average="macro"))
    found = METRICS["macro_f1"](counts.weighted(weights))
    assert found[0] == pytest.approx(expected)


def test_the_bootstrap_has_the_exact_distribution() -> None:
    # Three dialogues are drawn in 27 ways, which are equally likely.
    counts = DialogueCounts.of([SEED_1], CLASSES, DIALOGUES)
    exact = []
    for drawn in product(range(3), repeat=3):
        weights = np.bincount(drawn, minlength=3)[None].astype(float)
        exact.append(float(METRICS["accuracy"](counts.weighted(weights))[0, 0]))
    found = resampled_scores([counts], ACCURACY, 20_000, seed=0)["accuracy"][0]
    assert set(np.round(found, 9)) <= set(np.round(exact, 9))
    assert found.mean() == pytest.approx(np.mean(exact), abs=0.01)
    assert found.std() == pytest.approx(np.std(exact), abs=0.01)


def test_groups_are_scored_on_the_same_resamples() -> None:
    counts = DialogueCounts.of([SEED_1], CLASSES, DIALOGUES)
    other = DialogueCounts.of([SEED_2], CLASSES, DIALOGUES)
    together = resampled_scores([counts, other, counts], METRICS, 50, seed=3)
    alone = resampled_scores([other], METRICS, 50, seed=3)
    for name, values in together.items():
        np.testing.assert_array_equal(values[0], values[2])
        np.testing.assert_array_equal(values[1], alone[name][0])


def test_the_interval_is_of_percentiles() -> None:
    low, high = interval(np.arange(101.0), 0.9) or (0.0, 0.0)
    assert (low, high) == pytest.approx((5.0, 95.0))
    assert interval(np.array([1.0, np.nan]), 0.9) is None
