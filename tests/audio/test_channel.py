from __future__ import annotations

import numpy as np
import pytest

from mmemo.audio.channel import Clipping, CutSilence, PaddedSilence, Telephone
from mmemo.errors import InputError
from tests.conftest import tone

RATE = 16_000
RNG = np.random.default_rng(0)


def amplitude_at(sound: np.ndarray, frequency_hz: float) -> float:
    time_s = np.arange(len(sound)) / RATE
    return float(2 * abs(np.mean(sound * np.exp(-2j * np.pi * frequency_hz * time_s))))


def test_a_telephone_passes_speech_and_neither_bass_nor_treble() -> None:
    telephone = Telephone()
    heard = {
        hz: amplitude_at(telephone(tone(hz, 1.0, RATE), RATE, RNG), hz)
        for hz in (60.0, 1000.0, 5000.0)
    }
    assert heard[1000.0] == pytest.approx(0.3, rel=0.05)
    assert heard[60.0] < 0.003
    assert heard[5000.0] < 0.003


def test_a_sound_of_some_samples_passes_a_telephone() -> None:
    assert len(Telephone()(np.full(5, 0.1, np.float32), RATE, RNG)) == 5


def test_clipping_cuts_at_a_share_of_the_peak() -> None:
    sound = np.array([0.1, -0.8, 0.4, 0.0], np.float32)
    after = Clipping(min_level=0.25, max_level=0.25)(sound, RATE, RNG)
    np.testing.assert_allclose(after, [0.1, -0.2, 0.2, 0.0], atol=1e-7)


def test_silence_is_put_at_both_ends() -> None:
    sound = np.ones(10, np.float32)
    after = PaddedSilence(min_pad_s=0.001, max_pad_s=0.001)(sound, RATE, RNG)
    np.testing.assert_array_equal(after, np.pad(sound, (16, 16)))


def test_silence_is_cut_in_frames_of_20_ms() -> None:
    frame = 320
    loud, soft, inside = (np.full(frame, level, np.float32) for level in (0.5, 0.001, 0.002))
    sound = np.concatenate([soft, soft, loud, inside, loud, soft])
    # 0.001 is 54 dB below 0.5.
    cut = CutSilence(min_below_db=50.0, max_below_db=50.0)(sound, RATE, RNG)
    np.testing.assert_array_equal(cut, np.concatenate([loud, inside, loud]))
    kept = CutSilence(min_below_db=60.0, max_below_db=60.0)(sound, RATE, RNG)
    np.testing.assert_array_equal(kept, sound)


def test_nothing_is_cut_of_what_is_silent_throughout() -> None:
    silent = np.zeros(1000, np.float32)
    assert len(CutSilence()(silent, RATE, RNG)) == 1000


def test_numbers_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InputError, match=r"augmentation\.clipping\.max_level: expected at most 1"):
        Clipping(min_level=0.5, max_level=2.0)
