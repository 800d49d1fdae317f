from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from mmemo.evaluation.confusion_scores import METRICS
from mmemo.evaluation.intervals import (
    DialogueCounts,
    dialogue_numbers,
    interval,
    resampled_scores,
)
from mmemo.evaluation.significance import (
    bootstrap_p,
    holm,
    mcnemar_test,
    randomisation_p,
    seeds_note,
    sign_test_over_seeds,
    wilcoxon_over_seeds,
)
from tests.evaluation.run_folders import CLASSES, predictions


def counts(preds: str) -> DialogueCounts:
    table = predictions("test", "ajnajnaj", preds, "01234567")
    return DialogueCounts.of([table], CLASSES, dialogue_numbers(table))


def test_randomisation_is_exact_where_all_swaps_can_be_tried() -> None:
    a, b = counts("ajnajnja"), counts("jaaajnja")
    metric = METRICS["macro_f1"]

    def score(swapped: tuple[bool, ...]) -> float:
        swap = np.array(swapped)[None, :, None, None]
        first = np.where(swap, b.counts, a.counts).sum(axis=1)
        second = np.where(swap, a.counts, b.counts).sum(axis=1)
        return float((metric(first) - metric(second))[0])

    all_of_them = np.array([score(s) for s in product([False, True], repeat=8)])
    observed = score((False,) * 8)
    # Twice the smaller tail, as scipy has it.
    tails = (all_of_them >= observed - 1e-12).mean(), (all_of_them <= observed + 1e-12).mean()
    expected = pytest.approx(min(1.0, 2 * min(tails)))
    # The other pairs of a table change nothing.
    assert randomisation_p([(a, b), (a, a), (b, a)], metric, 1000, seed=0) == [
        expected,
        1.0,
        expected,
    ]


def test_one_dialogue_tells_nothing_of_others() -> None:
    table = predictions("test", "ajn", "ajj", "000")
    alone = DialogueCounts.of([table], CLASSES, dialogue_numbers(table))
    assert randomisation_p([(alone, alone)], METRICS["accuracy"], 100, seed=0) == [None]
    scores = resampled_scores([alone], METRICS, 100, seed=0)["accuracy"][0]
    assert interval(scores, 0.95) is None
    assert bootstrap_p(scores) is None


def test_bootstrap_p_is_twice_the_smaller_share_beyond_zero() -> None:
    assert bootstrap_p(np.array([0.1] * 97 + [-0.1] * 2)) == pytest.approx(2 * 3 / 100)
    assert bootstrap_p(np.array([0.1] * 99)) == pytest.approx(2 / 100)
    assert bootstrap_p(np.zeros(9)) == 1.0


def test_mcnemar_by_the_binomial_and_by_chi_square() -> None:
    a = np.array([True] * 9 + [False] * 2 + [True] * 5)
    b = np.array([False] * 9 + [True] * 2 + [True] * 5)
    few = mcnemar_test(a, b)
    assert (few.only_a_right, few.only_b_right) == (9, 2)
    assert few.p == pytest.approx(stats.binomtest(2, 11).pvalue)
    many = mcnemar_test(np.repeat(a, 5), np.repeat(b, 5))
    assert many.p == pytest.approx(stats.chi2.sf((45 - 10 - 1) ** 2 / 55, 1))
    assert mcnemar_test(a, a).p == 1.0


def test_tests_over_seeds_with_the_smallest_p_that_they_can_reach() -> None:
    a, b = [0.7, 0.72, 0.71], [0.6, 0.65, 0.63]
    # All three differences have one sign: 2 of 2**3 ways.
    for test in (wilcoxon_over_seeds, sign_test_over_seeds):
        assert (test(a, b).p, test(a, b).smallest_p, test(a, b).num_pairs) == (0.25, 0.25, 3)
    six = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert wilcoxon_over_seeds(six, [0.0] * 6).smallest_p == pytest.approx(2 / 2**6)
    mixed = [0.1, 0.2, -0.05]
    assert wilcoxon_over_seeds(mixed, [0.0] * 3).p == pytest.approx(stats.wilcoxon(mixed).pvalue)
    assert sign_test_over_seeds(mixed, [0.0] * 3).p == pytest.approx(1.0)


def test_seeds_that_do_not_differ_have_no_p() -> None:
    assert wilcoxon_over_seeds([0.5, 0.5], [0.5, 0.5]).p is None
    assert sign_test_over_seeds([0.5], [0.5]).p is None
    assert wilcoxon_over_seeds([], []).smallest_p is None


def test_holm_by_hand() -> None:
    # 0.01 * 3, max(0.03, 0.03 * 2), max(0.06, 0.04 * 1).
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([]) == []


def test_few_seeds_are_told() -> None:
    note = seeds_note(3)
    assert note is not None and "the smallest is 0.25" in note
    assert "0.0625" in (seeds_note(5) or "")
    assert seeds_note(6) is None
    assert "without a common seed" in (seeds_note(0) or "")
