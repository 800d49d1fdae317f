import numpy as np
import pandas as pd
import pytest

from mmemo.audio.levels import LOUDEST_SNR_DB, frame_snr_db, level_db, removed_snr_db
from mmemo.evaluation.traits import with_traits


def noisy(snr_db: float, rate: int = 8000) -> tuple[np.ndarray, np.ndarray]:
    """Half a tone and half a pause, and the same with white noise, at an SNR over all of it."""
    random = np.random.default_rng(0)
    speech = np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate)
    speech[rate:] = 0
    noise = random.normal(size=len(speech))
    noise *= np.sqrt(np.mean(speech**2) / 10 ** (snr_db / 10) / np.mean(noise**2))
    return speech.astype(np.float32), (speech + noise).astype(np.float32)


@pytest.mark.parametrize("snr_db", [0.0, 10.0, 20.0])
def test_estimates_of_the_signal_to_noise_ratio(snr_db: float) -> None:
    clean, given = noisy(snr_db)
    # The quietest tenth of frames has a little less noise than the others.
    assert frame_snr_db(given, 8000) == pytest.approx(snr_db, abs=1.5)
    # What a perfect denoiser takes away.
    before, after = np.array([level_db(given)]), np.array([level_db(clean)])
    assert removed_snr_db(before, after)[0] == pytest.approx(snr_db, abs=1.5)


def test_where_nothing_can_be_estimated() -> None:
    assert np.isnan(frame_snr_db(np.zeros(8000, np.float32), 8000))
    assert np.isnan(frame_snr_db(np.ones(100, np.float32), 8000))
    clean, _ = noisy(0)
    assert frame_snr_db(clean, 8000) == LOUDEST_SNR_DB
    given = removed_snr_db(np.array([-20.0, -20.0, np.nan]), np.array([-20.0, -19.0, np.nan]))
    assert given[:2].tolist() == [LOUDEST_SNR_DB, LOUDEST_SNR_DB]
    assert np.isnan(given[2])


def test_columns_that_a_reader_tells_beside_an_utterance_are_traits() -> None:
    rows = pd.DataFrame(
        {
            "key": ["a", "b"],
            "speaker": ["x", "y"],
            "season": [1, 2],
            "session": [None, None],
            "sex": ["f", "m"],
            "level_before_db": [-20.0, -30.0],
            "level_after_db": [-23.0103, -30.0],
            "num_samples": [5, 6],
        }
    )
    found = with_traits(rows, lambda row: np.zeros(1, np.float32), 16000)
    added = [name for name in found if name not in rows]
    assert added == ["trait_season", "trait_sex", "trait_level_db", "trait_snr_db"]
    # Half of the energy was taken away; nothing was.
    assert found["trait_snr_db"].tolist() == pytest.approx([0.0, LOUDEST_SNR_DB], abs=1e-4)
    assert list(with_traits(rows, None, 16000).columns.difference(rows.columns)) == [
        "trait_season",
        "trait_sex",
    ]
