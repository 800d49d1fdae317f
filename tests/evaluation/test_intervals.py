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


def test_a_dialogue_is_named_with_its_split() -> None:
    table = pd.DataFrame(
        {"corpus_split": ["val", "test", "val", "test"], "dialogue_id": [1, 1, 2, 1]}
    )
    number, count = dialogue_numbers(table)
    assert number.tolist() == [1, 0, 2, 0]
    assert count == 3


def test_the_mean_over_seeds_of_a_resample() -> None:
    counts = DialogueCounts.of([SEED_1, SEED_2], CLASSES)
    weights = np.array([[2.0, 0.0, 1.0]])
    expected = []
    for table in (SEED_1, SEED_2):
        first, last = table[table["dialogue_id"] == 0], table[table["dialogue_id"] == 2]
        drawn = pd.concat([first, first, last])
        expected.append(f1_score(drawn["target"], drawn["pred"], labels=CLASSES, average="macro"))
    found = counts.weighted_scores(METRICS["macro_f1"], weights)
    assert found == pytest.approx([np.mean(expected)])


def test_the_bootstrap_has_the_exact_distribution() -> None:
    # Three dialogues are drawn in 27 ways, which are equally likely.
    counts = DialogueCounts.of([SEED_1], CLASSES)
    exact = []
    for drawn in product(range(3), repeat=3):
        weights = np.bincount(drawn, minlength=3)[None].astype(float)
        exact.append(float(counts.weighted_scores(METRICS["accuracy"], weights)[0]))
    found = resampled_scores([counts], METRICS["accuracy"], 20_000, seed=0)[0]
    assert set(np.round(found, 9)) <= set(np.round(exact, 9))
    assert found.mean() == pytest.approx(np.mean(exact), abs=0.01)
    assert found.std() == pytest.approx(np.std(exact), abs=0.01)


def test_groups_are_scored_on_the_same_resamples() -> None:
    counts = DialogueCounts.of([SEED_1], CLASSES)
    other = DialogueCounts.of([SEED_2], CLASSES)
    metric = METRICS["weighted_f1"]
    together = resampled_scores([counts, other, counts], metric, 50, seed=3)
    np.testing.assert_array_equal(together[0], together[2])
    np.testing.assert_array_equal(together[1], resampled_scores([other], metric, 50, seed=3)[0])


def test_the_interval_is_of_percentiles() -> None:
    low, high = interval(np.arange(101.0), 0.9) or (0.0, 0.0)
    assert (low, high) == pytest.approx((5.0, 95.0))
    assert interval(np.array([1.0, np.nan]), 0.9) is None
