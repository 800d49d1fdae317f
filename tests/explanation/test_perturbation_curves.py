from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mmemo.explanation.perturbation_curves import perturbation_curves

WEIGHTS = np.array([0.0, 0.4, 0.1, 0.0, 0.05, 0.0, 0.2, 0.0, 0.0, 0.05])


def linear(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    return 0.1 + masks @ WEIGHTS


def test_a_linear_models_curves_follow_its_weights() -> None:
    curves = perturbation_curves(WEIGHTS, linear, num_random=2, seed=0)
    left = [0.9, 0.5, 0.3, 0.2, 0.15, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]
    np.testing.assert_allclose(curves.deletion, left)
    np.testing.assert_allclose(curves.insertion, [1.0 - value for value in left])
    # Trapezoids of width 0.1.
    area = 0.1 * (sum(left) - (left[0] + left[-1]) / 2)
    assert curves.deletion_area == pytest.approx(area)
    assert curves.insertion_area == pytest.approx(1.0 - area)


def test_erasures_are_averaged_over_a_tenth_a_fifth_and_a_half() -> None:
    curves = perturbation_curves(WEIGHTS, linear, num_random=1, seed=0)
    assert curves.comprehensiveness() == pytest.approx((0.4 + 0.6 + 0.8) / 3)
    # What a tenth, a fifth and a half alone leave to 0.9: 0.5, 0.7, 0.9.
    assert curves.sufficiency() == pytest.approx((0.4 + 0.2 + 0.0) / 3)


def test_the_wrong_way_round_is_worse_than_random_and_the_right_way_better() -> None:
    right = perturbation_curves(WEIGHTS, linear, num_random=20, seed=3)
    wrong = perturbation_curves(-WEIGHTS, linear, num_random=20, seed=3)
    assert right.deletion_area < right.random_deletion_area < wrong.deletion_area
    assert right.insertion_area > right.random_insertion_area > wrong.insertion_area
    assert right.comprehensiveness() > right.comprehensiveness(random=True)
    # Of a linear model a random order takes away in proportion.
    assert right.random_deletion_area == pytest.approx(0.5, abs=0.08)


def test_the_model_is_asked_once_and_for_each_mask_once() -> None:
    asked = []

    def counted(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        asked.append(len(np.unique(masks, axis=0)) == len(masks))
        return linear(masks)

    perturbation_curves(WEIGHTS, counted, num_random=3, seed=0)
    assert asked == [True]


def test_nothing_to_perturb_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one unit and one random order, got 0 and 3"):
        perturbation_curves(np.array([]), linear, num_random=3, seed=0)


def test_a_smooth_attribution_is_not_right_because_it_is_smooth() -> None:
    def intact(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Frames count with their neighbours alone, and none of them for more than another."""
        padded = np.pad(masks, ((0, 0), (2, 2)), constant_values=True)
        return np.lib.stride_tricks.sliding_window_view(padded, 5, axis=1).all(axis=2).mean(axis=1)

    better = {True: 0, False: 0}
    for seed in range(40):
        noise = np.random.default_rng(seed).normal(size=100)
        smooth = np.convolve(noise, np.ones(9) / 9, mode="same")
        for is_sound in better:
            curves = perturbation_curves(smooth, intact, 10, seed, is_sound)
            better[is_sound] += curves.insertion_area > curves.random_insertion_area
    assert better[False] == 40, "scattered frames are no fair comparison"
    assert 8 <= better[True] <= 32
