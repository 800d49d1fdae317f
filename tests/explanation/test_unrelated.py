from __future__ import annotations

import numpy as np
import pytest

from mmemo.explanation.chance import Chance, unrelated

UNITS = np.array([0.0, 1.0, 2.0, 5.0, 3.0])


def test_words_are_shuffled() -> None:
    found = unrelated(UNITS, 200, np.random.default_rng(0), is_sound=False)
    assert found.shape == (200, 5)
    np.testing.assert_array_equal(np.sort(found, axis=1), np.sort(UNITS)[None].repeat(200, 0))
    # Each unit comes to each place about as often.
    counts = [(found[:, 0] == value).sum() for value in UNITS]
    assert min(counts) > 20


def test_sound_is_moved_around_and_turned() -> None:
    found = unrelated(UNITS, 200, np.random.default_rng(0), is_sound=True)
    ways = {tuple(np.roll(way, n)) for way in (UNITS, UNITS[::-1]) for n in range(5)}
    assert {tuple(row) for row in found} == ways
    assert unrelated(np.array([1.0]), 3, np.random.default_rng(0), True).tolist() == [[1.0]] * 3


def test_chance_counts_the_number_itself() -> None:
    above = Chance.of(5.0, np.arange(39) / 10)
    assert (above.p, above.side, above.is_beyond) == (pytest.approx(0.05), 1, True)
    below = Chance.of(-5.0, np.arange(39) / 10)
    assert (below.side, below.is_beyond) == (-1, True)
    assert not Chance.of(5.0, np.arange(38) / 10).is_beyond
    # 11 of 20, itself among them, are as low.
    assert Chance.of(0.9, np.arange(19) / 10).p == pytest.approx(1.0)
    assert Chance.of(1.5, np.arange(19) / 10).p == pytest.approx(2 * 5 / 20)
    assert Chance.of(0.3, np.full(9, 0.1 + 0.2)).p == 1.0, "rounding is no difference"
