from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from mmemo.evaluation.confusion_scores import METRICS, Tallies, class_numbers
from mmemo.evaluation.intervals import UnitTallies
from mmemo.evaluation.significance import (
    UnitSwaps,
    holm,
    mcnemar_tests,
    randomisation_p,
    seeds_note,
    sign_test_over_seeds,
    wilcoxon_over_seeds,
)
from mmemo.evaluation.units import UNIT_COLUMNS, Units
from tests.comparison.run_folders import CLASSES, predictions

EXACT = UnitSwaps(8, 1000, 0)


def counts(preds: str, dialogues: str = "01234567") -> UnitTallies:
    table = predictions("test", "ajnajnaj", preds, dialogues)
    units = Units.of("dialogue", table, UNIT_COLUMNS["dialogue"])
    target, pred = (class_numbers(table[column], CLASSES) for column in ("target", "pred"))
    return UnitTallies.of(target, [pred], len(CLASSES), units)


def test_randomisation_is_exact_where_all_swaps_can_be_tried() -> None:
    a, b = counts("ajnajnja"), counts("jaaajnja")
    metric = METRICS["macro_f1"]

    def score(swapped: tuple[bool, ...]) -> float:
        swap = np.array(swapped)[None, :, None]

        def side(x: UnitTallies, y: UnitTallies) -> float:
            right = np.where(swap, y.right, x.right).sum(axis=1)
            predicted = np.where(swap, y.predicted, x.predicted).sum(axis=1)
            return float(metric(Tallies(right, predicted, x.annotated.sum(axis=0)))[0])

        return side(a, b) - side(b, a)

    all_of_them = np.array([score(s) for s in product([False, True], repeat=8)])
    expected = (np.abs(all_of_them) >= abs(score((False,) * 8)) - 1e-12).mean()
    # The other pairs of a table change nothing.
    assert randomisation_p([(a, b), (a, a), (b, a)], metric, EXACT) == pytest.approx(
        [expected, 1.0, expected]
    )


def test_randomisation_is_scipys() -> None:
    a, b = counts("ajnajnaj"), counts("jaajjnja")
    gain = a.right[0].sum(axis=1) - b.right[0].sum(axis=1)
    theirs = stats.permutation_test((gain,), np.mean, permutation_type="samples", n_resamples=1000)
    assert randomisation_p([(a, b)], METRICS["accuracy"], EXACT) == [pytest.approx(theirs.pvalue)]


def test_many_units_are_swapped_at_random() -> None:
    random = np.random.default_rng(0)
    target = np.zeros(30, np.int64)
    preds = [(random.random(30) < share).astype(np.int64) for share in (0.2, 0.4)]
    units = Units("utterance", np.arange(30))
    a, b = (UnitTallies.of(target, [pred], 2, units) for pred in preds)
    swaps = UnitSwaps(30, 9999, 0)
    assert not swaps.is_exact and swaps.smallest_p == 1 / 10_000
    (p,) = randomisation_p([(a, b)], METRICS["accuracy"], swaps)
    right = [pred == 0 for pred in preds]
    (found,) = mcnemar_tests([(a, b)], [(right[0], right[1])], swaps)
    only = [int((right[0] & ~right[1]).sum()), int((~right[0] & right[1]).sum())]
    exact = mcnemar([[0, only[0]], [only[1], 0]], exact=True).pvalue
    assert p == pytest.approx(exact, abs=0.015)
    assert found.p == pytest.approx(exact, abs=0.015)


@pytest.mark.parametrize("num_units", [2, 3, 5, 10])
def test_the_smallest_p_of_few_units(num_units: int) -> None:
    assert UnitSwaps(num_units, 10_000, 0).smallest_p == 2 / 2**num_units


def test_one_unit_tells_nothing_of_others() -> None:
    alone, swaps = counts("ajnajnja", "0" * 8), UnitSwaps(1, 100, 0)
    assert randomisation_p([(alone, alone)], METRICS["accuracy"], swaps) == [None]
    right = np.ones(8, bool)
    (found,) = mcnemar_tests([(alone, alone)], [(right, ~right)], swaps)
    assert (found.p, found.only_a_right, found.only_b_right) == (None, 8, 0)
    assert swaps.smallest_p is None


def test_mcnemar_over_utterances_is_its_exact_form() -> None:
    a, b = "ajnajnja", "jaaajnaj"
    right = [np.array(list(preds)) == np.array(list("ajnajnaj")) for preds in (a, b)]
    (found,) = mcnemar_tests([(counts(a), counts(b))], [(right[0], right[1])], EXACT)
    only_a, only_b = found.only_a_right, found.only_b_right
    assert (only_a, only_b) == (3, 2)
    assert found.p == pytest.approx(mcnemar([[0, only_a], [only_b, 0]], exact=True).pvalue)


def test_mcnemar_over_dialogues_swaps_them_as_a_whole() -> None:
    # In the first of two dialogues the one run is right, in the second the other.
    a, b = counts("ajnanjan", "00001111"), counts("naajjnaj", "00001111")
    swaps = UnitSwaps(2, 100, 0)
    right = np.array([True] * 4 + [False] * 4)
    (found,) = mcnemar_tests([(a, b)], [(right, ~right)], swaps)
    gain = (a.right - b.right)[0].sum(axis=1)
    sums = [abs(s * gain[0] + t * gain[1]) for s in (-1, 1) for t in (-1, 1)]
    assert found.p == np.mean(np.array(sums) >= abs(gain.sum()))
    assert found.p >= 2 / 2**2, "no p below that of two units"


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


def test_holm_by_hand_and_by_statsmodels() -> None:
    # 0.01 * 3, max(0.03, 0.03 * 2), max(0.06, 0.04 * 1).
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([]) == []
    p_values = np.random.default_rng(0).random(30) ** 3
    assert holm(list(p_values)) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_few_seeds_are_told() -> None:
    note = seeds_note(3)
    assert note is not None and "the smallest is 0.25" in note
    assert "0.0625" in (seeds_note(5) or "")
    assert seeds_note(6) is None
    assert "without a common seed" in (seeds_note(0) or "")
