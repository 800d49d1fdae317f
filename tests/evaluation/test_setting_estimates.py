from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mmemo.evaluation.setting_estimates import SettingModel
from mmemo.evaluation.units import Units

UNITS = Units("dialogue", np.repeat(np.arange(41), 3))
A, B = [0, 1, 2], [3, 4, 5]


def model(scores: list[float], own: float = 0.0, shared: float = 0.0) -> SettingModel:
    """Scores with a variance of their own over units, and one that all of them share."""
    covariance = np.full((len(scores),) * 2, shared) + own * np.eye(len(scores))
    return SettingModel(np.array(scores), covariance, UNITS)


def test_without_variation_over_units_it_is_welchs_test() -> None:
    scores = [0.60, 0.62, 0.67, 0.50, 0.58, 0.57]
    found = model(scores, shared=1e-4).difference(A, B)
    assert found is not None
    # What all runs share over units cancels in a difference.
    expected = stats.ttest_ind(scores[:3], scores[3:], equal_var=False)
    assert found.p == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval(0.95)
    assert found.interval(0.95, -1.0) == pytest.approx((low, high))


def test_seeds_that_agree_by_chance_are_no_sign_that_all_do() -> None:
    # Their own mistakes on these units have a variance of 0.0003, whatever three seeds show.
    found = model([0.6, 0.6, 0.6], own=3e-4, shared=1e-4).score(A)
    assert found is not None
    assert found.variance == pytest.approx(3e-4 / 3 + 1e-4)
    # Both are known with the degrees of freedom of 41 units.
    assert found.df == pytest.approx((2e-4) ** 2 / (2 * (1e-4) ** 2 / 40))
    half = stats.t.ppf(0.975, found.df) * np.sqrt(2e-4)
    assert found.interval(0.95, 0.0) == pytest.approx((0.6 - half, 0.6 + half))


def test_seeds_and_units_add_up() -> None:
    scores = [0.58, 0.60, 0.62]
    found = model(scores, shared=1e-4).score(A)
    assert found is not None
    between = np.var(scores, ddof=1)
    assert found.variance == pytest.approx(between / 3 + 1e-4)
    # Satterthwaite: of two degrees of freedom and of forty.
    assert found.df == pytest.approx(
        (between / 3 + 1e-4) ** 2 / ((between / 3) ** 2 / 2 + 1e-8 / 40)
    )
    many = found.with_seeds(10)
    assert many.variance == pytest.approx(between / 10 + 1e-4)
    assert many.half_width(0.95) < found.half_width(0.95)


def test_a_resample_of_units_varies_less_than_other_units() -> None:
    scores = np.array([0.6, 0.7])
    resampled = np.array([[0.6, 0.7], [0.62, 0.72], [0.58, 0.68]])
    found = SettingModel.of(scores, resampled, UNITS)
    np.testing.assert_allclose(found.covariance, np.full((2, 2), 4e-4 * 41 / 40))


def test_an_interval_ends_where_scores_end() -> None:
    found = model([0.97, 0.99, 0.995], shared=1e-3).score(A)
    assert found is not None
    low, high = found.interval(0.95, 0.0) or (0.0, 0.0)
    assert high == 1.0 and low < 0.97


def test_nothing_that_varies_is_no_certainty() -> None:
    right = model([1.0, 1.0, 1.0]).score(A)
    assert right is not None and right.interval(0.95, 0.0) is None and right.p is None
    same = model([0.6] * 6, shared=1e-4).difference(A, B)
    assert same is not None and (same.p, same.interval(0.95, -1.0)) == (1.0, (0.0, 0.0))


def test_few_seeds_or_units_have_none() -> None:
    assert model([0.6, 0.7]).score([0, 1]) is None
    assert model([0.6] * 5).difference(A, [3, 4]) is None
    few = Units("speaker", np.repeat(np.arange(19), 3))
    assert SettingModel.of(np.ones(3), np.ones((5, 3)), few).score(A) is None
