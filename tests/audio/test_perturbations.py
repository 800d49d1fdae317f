"""Each perturbation against what can be derived of it by hand."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyroomacoustics
import pytest
from scipy import signal

from mmemo.audio.added_noise import Babble, BackgroundNoise, mixed_at
from mmemo.audio.coding import WAYS, Codec, coded
from mmemo.audio.denoisers import Samples
from mmemo.audio.perturbations import Gain, Perturbation, Pitch, Speed, Tempo
from mmemo.audio.reverberation import Reverberation, impulse_response
from mmemo.errors import InputError
from tests.audio.test_media import encoded
from tests.conftest import tone

RATE = 16_000


def voice(seed: int = 0, duration_s: float = 1.0) -> Samples:
    """Noise in the band of a telephone, at a fifth of full scale."""
    noise = np.random.default_rng(seed).standard_normal(round(duration_s * RATE))
    band = signal.lfilter(signal.firwin(101, [300, 3000], fs=RATE, pass_zero=False), 1, noise)
    return (0.2 * band / band.std()).astype(np.float32)


def drawn(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def loudest_hz(waveform: Samples) -> float:
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    return float(spectrum.argmax() * RATE / len(waveform))


def ratio_db(waveform: Samples, mixed: Samples) -> float:
    added = mixed.astype(np.float64) - waveform
    return 10 * math.log10(np.sum(waveform.astype(np.float64) ** 2) / np.sum(added**2))


def test_gain_is_exact() -> None:
    waveform = voice()
    louder = Gain(20.0, 20.0)(waveform, RATE, drawn())
    np.testing.assert_allclose(louder, 10 * waveform, rtol=1e-6)
    softer = Gain(-6.0, -6.0)(waveform, RATE, drawn())
    np.testing.assert_allclose(softer, waveform * 10**-0.3, rtol=1e-6)
    gains = [float(Gain(-3.0, 3.0)(waveform, RATE, drawn(s))[7] / waveform[7]) for s in range(200)]
    in_db = 20 * np.log10(gains)
    assert -3 <= in_db.min() < -2.8
    assert 2.8 < in_db.max() <= 3


@pytest.mark.parametrize("speed", [0.9, 1.0, 1.1, 1.0737])
def test_speed_changes_length_and_pitch(speed: float) -> None:
    faster = Speed(speed, speed)(tone(440.0, 1.0, rate=RATE), RATE, drawn())
    assert len(faster) == round(RATE / speed)
    assert loudest_hz(faster) == pytest.approx(440 * speed, abs=1.5)


@pytest.mark.parametrize("tempo", [0.8, 1.25])
def test_tempo_changes_length_alone(tempo: float) -> None:
    faster = Tempo(tempo, tempo)(tone(440.0, 1.0, rate=RATE), RATE, drawn())
    assert len(faster) == round(RATE / tempo)
    assert loudest_hz(faster) == pytest.approx(440, abs=1.5)


@pytest.mark.parametrize("semitones", [-12.0, 2.0, 12.0])
def test_pitch_changes_pitch_alone(semitones: float) -> None:
    higher = Pitch(semitones, semitones)(tone(440.0, 1.0, rate=RATE), RATE, drawn())
    assert len(higher) == RATE
    assert loudest_hz(higher) == pytest.approx(440 * 2 ** (semitones / 12), rel=0.01)


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 20.0])
@pytest.mark.parametrize("duration_s", [0.25, 3.0])
def test_noise_of_a_folder_has_its_ratio(tmp_path: Path, snr_db: float, duration_s: float) -> None:
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "a.wav").write_bytes(encoded("wav", "pcm_s16le", duration_s, 8_000))
    noise = BackgroundNoise(tmp_path, snr_db, snr_db)
    noise.check()
    waveform = voice()
    mixed = noise(waveform, RATE, drawn())
    assert ratio_db(waveform, mixed) == pytest.approx(snr_db, abs=0.1)
    # Other draws take other stretches.
    assert (noise(waveform, RATE, drawn(1)) != mixed).any() or duration_s < 1


def test_noise_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"noise.folder: expected sound files .* found none"):
        BackgroundNoise(tmp_path).check()
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(InputError, match=r"a\.wav.*take it out of the folder"):
        BackgroundNoise(tmp_path / ".").check()


def test_babble_is_of_its_voices_at_its_ratio() -> None:
    voices = [(3 if s else 1) * tone(f, 0.7, rate=RATE) for s, f in enumerate((300.0, 500.0))]
    babble = Babble(8, 8, 10.0, 10.0)
    with pytest.raises(ValueError, match="use_sounds"):
        babble(voice(), RATE, drawn())
    babble.use_sounds(voices)
    waveform = voice()
    mixed = babble(waveform, RATE, drawn())
    assert ratio_db(waveform, mixed) == pytest.approx(10, abs=0.1)
    spectrum = np.abs(np.fft.rfft(mixed - waveform))
    found = {round(float(hz) / 10) * 10 for hz in np.argsort(spectrum)[-2:]}
    assert found <= {300, 500}


def test_silence_stays_silence() -> None:
    silence, noise = np.zeros(100, np.float32), voice()[:100]
    np.testing.assert_array_equal(mixed_at(silence, noise, 10.0), silence)
    np.testing.assert_array_equal(mixed_at(noise, silence, 10.0), noise)
    np.testing.assert_array_equal(Reverberation()(silence, RATE, drawn()), silence)


@pytest.mark.parametrize("rt60_s", [0.3, 0.5])
def test_a_room_rings_as_long_as_it_should(rt60_s: float) -> None:
    response = impulse_response(rt60_s, (5.0, 4.0, 3.0), (1.0, 1.0, 1.5), (3.0, 2.5, 1.2), RATE)
    assert np.abs(response).argmax() == 0
    measured_s = pyroomacoustics.experimental.measure_rt60(response, fs=RATE, decay_db=30)
    assert measured_s == pytest.approx(rt60_s, rel=0.25)


def test_reverberation_keeps_time_length_and_energy() -> None:
    waveform = voice()
    wet = Reverberation(0.3, 0.3)(waveform, RATE, drawn())
    assert len(wet) == len(waveform)
    assert signal.correlate(wet, waveform).argmax() == len(waveform) - 1
    assert float(np.sum(wet**2)) == pytest.approx(float(np.sum(waveform**2)), rel=1e-4)
    # The reverberation of what came before is heard in the other half.
    gated = waveform.copy()
    gated[RATE // 2 :] = 0
    tail = Reverberation(0.5, 0.5)(gated, RATE, drawn())[RATE // 2 : RATE // 2 + 800]
    assert float(np.sqrt(np.mean(tail**2))) > 0.01


@pytest.mark.parametrize("codec", sorted(WAYS))
def test_a_codec_keeps_time_and_length(codec: str) -> None:
    waveform = voice()
    after = coded(waveform, RATE, codec, 32.0)
    assert len(after) == len(waveform)
    assert signal.correlate(after, waveform).argmax() == len(waveform) - 1
    # It changes something, and most is as it was.
    assert 8 < ratio_db(waveform, after) < 60


def test_fewer_bits_are_worse() -> None:
    waveform = voice()
    quality = [ratio_db(waveform, Codec(["mp3"], k, k)(waveform, RATE, drawn())) for k in (16, 64)]
    assert quality[0] < quality[1] - 3


def all_of_them(folder: Path) -> list[Perturbation]:
    (folder / "noise.wav").write_bytes(encoded("wav", "pcm_s16le", 2.0))
    babble = Babble()
    babble.use_sounds([voice(1), voice(2)])
    kinds: list[Any] = [Gain, Speed, Tempo, Pitch, Reverberation, Codec]
    return [*(kind() for kind in kinds), BackgroundNoise(folder), babble]


def test_draws_depend_on_the_generator_alone(tmp_path: Path) -> None:
    waveform = voice()
    given = waveform.copy()
    for perturbation in all_of_them(tmp_path):
        once = perturbation(waveform, RATE, drawn(5))
        np.random.default_rng().random()
        assert once.dtype == np.float32
        assert once.ndim == 1
        np.testing.assert_array_equal(perturbation(waveform, RATE, drawn(5)), once)
        others = [perturbation(waveform, RATE, drawn(seed)) for seed in range(6, 12)]
        assert any(len(o) != len(once) or (o != once).any() for o in others), perturbation
        np.testing.assert_array_equal(waveform, given)


@pytest.mark.parametrize("num_samples", [1, 50])
def test_a_moment_of_sound_is_no_error(tmp_path: Path, num_samples: int) -> None:
    for perturbation in all_of_them(tmp_path):
        moment = perturbation(voice()[:num_samples], RATE, drawn())
        assert np.isfinite(moment).all()
        assert len(moment) >= 1


@pytest.mark.parametrize(
    ("kind", "numbers", "message"),
    [
        (Gain, (3.0, -3.0), "gain: expected min_gain_db of at most max_gain_db, got 3 and -3"),
        (Gain, (0.0, 0.0, 1.5), r"gain\.probability: expected at most 1, got 1\.5"),
        (Speed, (0.0, 1.0), r"speed\.min_speed"),
        (Tempo, (1.0, 99.0), r"tempo\.max_tempo: expected at most 10"),
        (Pitch, (-99.0, 0.0), r"pitch\.min_semitones"),
        (Reverberation, (0.0, 0.5), r"reverberation\.min_rt60_s"),
        (Codec, (["vinyl"],), "expected some of mp3, aac, opus, telephone, got vinyl"),
        (Codec, ([],), "got none"),
        (Babble, (0,), r"babble\.min_voices"),
        (Babble, (3, 2), r"babble\.max_voices"),
        (BackgroundNoise, ("x", math.nan, 1.0), r"noise\.min_snr_db"),
    ],
)
def test_numbers_out_of_range_are_refused(
    kind: type[object], numbers: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        kind(*numbers)
