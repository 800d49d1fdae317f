from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from mmemo.evaluation.mean_estimates import (
    MIN_UNITS,
    estimate_difference,
    estimate_mean,
    mean_interval,
    permutation_p,
)

A = [0.3, 0.5, 0.1, 0.9, 0.4, 0.7]
B = [0.2, 0.1, 0.4, 0.0, 0.3, 0.1, 0.2]
ALONE = [f"a{place}" for place in range(6)]
OTHERS = [f"b{place}" for place in range(7)]


def test_of_utterances_alone_it_is_students_interval() -> None:
    found = mean_interval(A)
    low, high = stats.t.interval(0.95, 5, np.mean(A), stats.sem(A))
    assert (found["mean"], found["low"], found["high"]) == pytest.approx((np.mean(A), low, high))
    assert found["num_units"] == 6
    expected = stats.ttest_1samp(A, 0.2).pvalue
    assert estimate_mean(A, ALONE).p(0.2) == pytest.approx(expected)


def test_the_difference_of_utterances_alone_is_welchs() -> None:
    found = estimate_difference(A, ALONE, B, OTHERS)
    expected = stats.ttest_ind(A, B, equal_var=False)
    assert found.p() == pytest.approx(expected.pvalue)
    assert found.df == pytest.approx(expected.df)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_of_units_it_is_the_standard_error_that_is_robust_to_clusters() -> None:
    units = ["u", "u", "u", "v", "v", "w", "w", "x", "y", "z", "z", "z"]
    values = np.random.default_rng(0).normal(size=12)
    fitted = sm.OLS(values, np.ones((12, 1))).fit(
        cov_type="cluster",
        cov_kwds={"groups": np.unique(units, return_inverse=True)[1], "use_correction": False},
    )
    found = estimate_mean(list(values), units)
    assert found.standard_error == pytest.approx(float(fitted.bse[0]) * np.sqrt(6 / 5))
    # Sizes 3, 2, 2, 1, 1, 3.
    assert found.df == pytest.approx(12**2 / (9 + 4 + 4 + 1 + 1 + 9) - 1)
    assert found.num_units == 6


def test_what_a_unit_adds_to_both_means_cancels() -> None:
    own = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    units = list("uvwxy")
    found = estimate_difference(list(own + [0.1, 0.0, 0.2, 0.1, 0.1]), units, list(own), units)
    # As of paired differences.
    assert found.standard_error == pytest.approx(stats.sem([0.1, 0.0, 0.2, 0.1, 0.1]))


def test_a_permutation_is_scipys_of_welchs_statistic() -> None:
    def welch(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        return np.abs(stats.ttest_ind(x, y, equal_var=False, axis=axis).statistic)

    # All 1,716 ways.
    exact = stats.permutation_test(
        (A, B), welch, permutation_type="independent", alternative="greater", vectorized=True
    )
    assert permutation_p(A, ALONE, B, OTHERS) == pytest.approx(exact.pvalue, abs=0.01)
    # What belongs together stays together.
    doubled = permutation_p([*A, *A], [*ALONE, *ALONE], [*B, *B], [*OTHERS, *OTHERS])
    assert doubled == permutation_p(A, ALONE, B, OTHERS)
    assert permutation_p(A[:4], ALONE[:4], B, OTHERS) is None
    assert permutation_p([1.0] * 6, ALONE, [1.0] * 7, OTHERS) is None
    assert permutation_p([1.0] * 6, ALONE, [0.0] * 7, OTHERS) in (None, 1 / 5000)


@pytest.mark.parametrize("num", range(1, MIN_UNITS))
def test_few_units_have_no_interval(num: int) -> None:
    found = mean_interval(A[:num])
    assert (found["low"], found["high"]) == (None, None)
    assert mean_interval(A, ["u", "v", "w", "x", "x", "x"])["low"] is None
    assert estimate_mean(A[:num], ALONE[:num]).p() is None
    assert estimate_difference(A, ALONE, B[:num], OTHERS[:num]).interval is None


def test_nothing_that_varies_is_no_certainty() -> None:
    same = estimate_mean([1.0] * 6, ALONE)
    assert same.interval is None
    # All six on one side, by the sign test.
    assert (same.p(0.5), same.p(1.0)) == (2 / 2**6, 1.0)
    both = estimate_difference([1.0] * 6, ALONE, [0.0] * 7, OTHERS)
    assert (both.interval, both.p()) == (None, pytest.approx(2 / 1716))
