from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mmemo.explanation.perturbation_curves import BETTER_SIDE, perturbation_curves

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
    assert curves.measures["deletion area"] == pytest.approx(area)
    assert curves.measures["insertion area"] == pytest.approx(1.0 - area)


def test_erasures_are_averaged_over_a_tenth_a_fifth_and_a_half() -> None:
    curves = perturbation_curves(WEIGHTS, linear, num_random=1, seed=0)
    assert curves.measures["comprehensiveness"] == pytest.approx((0.4 + 0.6 + 0.8) / 3)
    # What a tenth, a fifth and a half alone leave to 0.9: 0.5, 0.7, 0.9.
    assert curves.measures["sufficiency"] == pytest.approx((0.4 + 0.2 + 0.0) / 3)


def test_the_wrong_way_round_is_worse_than_random_and_the_right_way_better() -> None:
    right = perturbation_curves(WEIGHTS, linear, num_random=20, seed=3)
    wrong = perturbation_curves(-WEIGHTS, linear, num_random=20, seed=3)
    for name, side in BETTER_SIDE.items():
        by_chance = np.mean(right.random[name])
        assert side * right.measures[name] > side * by_chance > side * wrong.measures[name], name
        assert len(right.random[name]) == 20
    # Of a linear model a random order takes away in proportion.
    assert np.mean(right.random["deletion area"]) == pytest.approx(0.5, abs=0.08)
    assert right.random_deletion[0] == right.deletion[0] == pytest.approx(0.9)


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


def smooth(seed: int, width: int) -> NDArray[np.float64]:
    noise = np.random.default_rng(seed).normal(size=100 + 2 * width)
    return np.convolve(noise, np.ones(width) / width, mode="same")[width:-width]


@pytest.mark.parametrize("has_few_peaks", [False, True])
def test_a_smooth_attribution_is_not_right_because_it_is_smooth(has_few_peaks: bool) -> None:
    better = {True: 0, False: 0}
    for seed in range(40):
        weights = np.abs(smooth(1000 + seed, 15))

        def intact(masks: NDArray[np.bool_], weights: NDArray[np.float64] = weights) -> Any:  # noqa: ANN401
            """Frames count, some more than others, with their neighbours alone."""
            padded = np.pad(masks, ((0, 0), (2, 2)), constant_values=True)
            windows = np.lib.stride_tricks.sliding_window_view(padded, 5, axis=1)
            return windows.all(axis=2) @ weights / weights.sum()

        attribution = smooth(seed, 9)
        if has_few_peaks:
            attribution = np.exp(9 * attribution)
        for is_sound in better:
            curves = perturbation_curves(attribution, intact, 10, seed, is_sound)
            by_chance = np.mean(curves.random["insertion area"])
            better[is_sound] += curves.measures["insertion area"] > by_chance
    assert better[False] == 40, "scattered frames are no fair comparison"
    assert 12 <= better[True] <= 28
