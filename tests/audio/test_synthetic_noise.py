from __future__ import annotations

import numpy as np
import pytest

from mmemo.audio.perturbations import Perturbation
from mmemo.audio.synthetic_noise import Hum, PinkNoise, WhiteNoise
from mmemo.errors import InputError
from tests.conftest import tone

RATE = 16_000


def added(noise: Perturbation, duration_s: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    """A tone, and what was added to it."""
    sound = tone(1000.0, duration_s, RATE)
    after = noise(sound, RATE, np.random.default_rng(0))
    assert after.dtype == np.float32
    return sound, after.astype(np.float64) - sound


@pytest.mark.parametrize("kind", [WhiteNoise, PinkNoise, Hum])
@pytest.mark.parametrize("snr_db", [20.0, 0.0, -5.0])
def test_energies_stand_in_the_ratio_that_was_asked_for(
    kind: type[WhiteNoise], snr_db: float
) -> None:
    sound, noise = added(kind(min_snr_db=snr_db, max_snr_db=snr_db))
    found = 10 * np.log10(np.sum(sound.astype(np.float64) ** 2) / np.sum(noise**2))
    assert found == pytest.approx(snr_db, abs=1e-3)


def octave_energies(noise: np.ndarray) -> np.ndarray:
    """Energy between 100 and 200 Hz, 200 and 400 Hz, and so on to 6400 Hz."""
    energy = np.abs(np.fft.rfft(noise)) ** 2
    frequency_hz = np.fft.rfftfreq(len(noise), 1 / RATE)
    edges = 100 * 2.0 ** np.arange(7)
    found = [
        energy[(frequency_hz >= a) & (frequency_hz < b)].sum()
        for a, b in zip(edges, edges[1:], strict=False)
    ]
    return np.array(found)


def test_pink_noise_has_as_much_in_each_octave_and_white_noise_twice_as_much_in_the_next() -> None:
    _, pink = added(PinkNoise(min_snr_db=0.0, max_snr_db=0.0), 20.0)
    _, white = added(WhiteNoise(min_snr_db=0.0, max_snr_db=0.0), 20.0)
    of_pink, of_white = octave_energies(pink), octave_energies(white)
    np.testing.assert_allclose(of_pink / of_pink.mean(), 1.0, atol=0.1)
    np.testing.assert_allclose(of_white[1:] / of_white[:-1], 2.0, atol=0.2)


def test_hum_is_the_mains_and_their_multiples_alone() -> None:
    _, hum = added(Hum(min_snr_db=0.0, max_snr_db=0.0, mains_hz=60.0))
    amplitude = np.abs(np.fft.rfft(hum)) / len(hum)
    frequency_hz = np.fft.rfftfreq(len(hum), 1 / RATE)
    harmonics = [amplitude[frequency_hz == 60.0 * n][0] for n in range(1, 11)]
    np.testing.assert_allclose(harmonics[0] / np.array(harmonics), np.arange(1, 11), rtol=1e-3)
    assert np.sum(amplitude**2) == pytest.approx(np.sum(np.square(harmonics)), rel=1e-4)


def test_a_silent_sound_stays_silent() -> None:
    silent = np.zeros(100, np.float32)
    for noise in (WhiteNoise(), PinkNoise(), Hum()):
        assert not noise(silent, RATE, np.random.default_rng(0)).any()


def test_numbers_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InputError, match=r"augmentation\.white: expected min_snr_db of at most"):
        WhiteNoise(min_snr_db=5.0, max_snr_db=0.0)
    with pytest.raises(InputError, match=r"augmentation\.hum\.mains_hz"):
        Hum(mains_hz=0.0)
