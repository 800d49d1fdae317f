from __future__ import annotations

import numpy as np
import pytest

from mmemo.explanation.chance import (
    chance_overlap,
    rank_correlation,
    top_overlap,
)
from mmemo.explanation.frames import loudness_envelope


def test_rank_correlation_by_hand() -> None:
    a = np.array([1.0, 2.0, 3.0, 4.0])
    # Squared rank differences 1, 1, 0, 0: 1 - 6 * 2 / (4 * 15).
    assert rank_correlation(a, np.array([2.0, 1.0, 3.0, 9.0])) == pytest.approx(0.8)
    assert rank_correlation(a, -a) == pytest.approx(-1.0)


def test_no_correlation_where_it_is_not_defined() -> None:
    assert rank_correlation(np.ones(5), np.arange(5.0)) is None
    assert rank_correlation(np.array([1.0, 2.0]), np.array([1.0, 2.0])) is None


def test_overlap_of_the_most_positive() -> None:
    a = np.array([9.0, 8.0, -9.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    b = np.array([0.0, 7.0, -9.0, 9.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert top_overlap(a, b) == 0.5
    assert top_overlap(a, a) == 1.0
    assert top_overlap(a[:3], b[:3], share=0.1) == 0.0
    assert [chance_overlap(num) for num in (3, 5, 10)] == [1 / 3, 1 / 5, 2 / 10]
    assert top_overlap(a[:2], a[:2]) is None, "two units are in order by chance"
    assert top_overlap(np.zeros(5), np.zeros(5)) is None


def test_loudness_is_the_root_mean_square_of_each_frame() -> None:
    waveform = np.array([3.0, -4.0, 0.0, 0.0, 2.0])
    np.testing.assert_allclose(loudness_envelope(waveform, 2), [np.sqrt(12.5), 0.0, 2.0])
    with pytest.raises(ValueError, match="got an empty one"):
        loudness_envelope(np.array([]), 2)


def test_attributions_of_other_units_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got shapes \(2,\) and \(3,\)"):
        rank_correlation(np.zeros(2), np.zeros(3))
