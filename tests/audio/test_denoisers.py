import importlib.metadata
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from mmemo.audio.deepfilternet import (
    DeepFilterNet,
    band_features,
    bin_features,
    deep_filter,
    istft,
    stft,
    vorbis_window,
)
from mmemo.audio.denoisers import Samples
from mmemo.audio.levels import level_db
from mmemo.audio.media import decode, resample
from mmemo.commands.launch import config_dir
from mmemo.corpora.demo_script import write_script
from mmemo.corpora.demo_sound import speak
from mmemo.errors import InputError
from tests.conftest import SHARED_DATA

NAMES = ("deepfilternet2", "deepfilternet3")
REFERENCE = Path(__file__).with_name("deepfilternet2_reference.flac")
"""Left a second of the demo's speech in noise, right what the package deepfilternet 0.5.6 makes of
it with the official checkpoint, both as 16-bit samples (written by `write_reference`)."""

has_package = any(d.name.lower() == "deepfilternet" for d in importlib.metadata.distributions())
needs_package = pytest.mark.skipif(
    not has_package or not SHARED_DATA.is_dir(),
    reason="needs the extra deepfilternet (Python below 3.12) and the official checkpoint",
)


def si_sdr_db(estimate: Samples, reference: Samples) -> float:
    """Scale-invariant signal-to-distortion ratio (Le Roux et al. 2019, eq. 2 and 3)."""
    estimate = estimate.astype(float) - estimate.mean()
    reference = reference.astype(float) - reference.mean()
    target = (estimate @ reference) / (reference @ reference) * reference
    return float(10 * np.log10(np.square(target).sum() / np.square(estimate - target).sum()))


def configured(name: str, **changes: object) -> DeepFilterNet:
    cfg = OmegaConf.load(config_dir() / "denoiser" / f"{name}.yaml")
    return instantiate(cfg, **changes)


@pytest.fixture(scope="module", params=NAMES)
def denoiser(request: pytest.FixtureRequest) -> DeepFilterNet:
    return configured(request.param)


@pytest.fixture(scope="module")
def speech() -> Samples:
    """A sentence of the demo (T,) at 48 kHz, at about -35 dB of full scale."""
    return speak(write_script(30, 0)[:1])[0]


def noisy(speech: Samples) -> Samples:
    noise = np.random.default_rng(0).standard_normal(len(speech), np.float32)
    return speech + noise * (speech.std() / noise.std())


def write_reference(checkpoint_dir: Path) -> None:
    """Make the reference anew: needs the package."""
    import soundfile

    from mmemo.audio.deepfilternet_export import load_reference

    sound = 4 * noisy(speak(write_script(30, 0)[:1])[0])[20_000:68_123]
    sound = (sound * 32767).round() / np.float32(32767)
    enhance, model, state = load_reference(checkpoint_dir)
    enhanced = enhance.enhance(model, state, torch.from_numpy(sound)[None])[0].numpy()
    both = (np.stack([sound, enhanced], axis=1) * 32767).round().astype(np.int16)
    soundfile.write(REFERENCE, both, 48_000, subtype="PCM_16")


def test_window_halves_add_to_one() -> None:
    window = vorbis_window().astype(float)
    np.testing.assert_allclose(window[:480] ** 2 + window[480:] ** 2, 1, atol=1e-6)
    # Vorbis I: sin(pi / 2 sin^2(pi / 4)) at a quarter.
    expected = np.sin(np.pi / 2 * np.sin(np.pi * 240.5 / 960) ** 2)
    assert window[240] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("num_samples", [1, 479, 480, 481, 5000])
def test_synthesis_undoes_analysis(num_samples: int) -> None:
    waveform = np.random.default_rng(0).standard_normal(num_samples).astype(np.float32)
    spectrum = stft(waveform)
    assert spectrum.shape == (num_samples // 480 + 2, 481)
    np.testing.assert_allclose(istft(spectrum, num_samples), waveform, atol=2e-6)


def test_spectrum_is_that_of_the_windowed_frame() -> None:
    waveform = np.random.default_rng(1).standard_normal(2400).astype(np.float32)
    expected = np.fft.rfft(waveform[480:1440] * vorbis_window()) / 960
    np.testing.assert_allclose(stft(waveform)[2], expected, atol=1e-7)


def test_features_are_levels_against_their_running_mean() -> None:
    spectrum = np.zeros((2, 481), np.complex64)
    spectrum[:, :2] = 1e-2  # The first band: a mean power of 1e-4, which is -40 dB.
    bands, bins = band_features(spectrum), bin_features(spectrum)
    mean = 0.99 * -60 + 0.01 * -40
    assert bands[0, 0] == pytest.approx((-40 - mean) / 40, abs=1e-5)
    assert bands[1, 0] == pytest.approx((-40 - (0.99 * mean + 0.01 * -40)) / 40, abs=1e-5)
    assert bands[0, 31] == pytest.approx((-100 - (0.99 * -90 + 0.01 * -100)) / 40, abs=1e-5)
    magnitude = 0.99 * 1e-3 + 0.01 * 1e-2
    assert bins[0, 0].tolist() == pytest.approx([1e-2 / magnitude**0.5, 0], abs=1e-6)


def test_filter_takes_the_frames_around_each() -> None:
    spectrum = np.arange(1, 7, dtype=np.complex64)[:, None]
    filters = np.zeros((6, 1, 5), np.complex64)
    filters[:, 0, 0], filters[:, 0, 4] = 1, 10j  # Two frames before, two behind.
    expected = [0 + 30j, 0 + 40j, 1 + 50j, 2 + 60j, 3, 4]
    np.testing.assert_array_equal(deep_filter(spectrum, filters)[:, 0], expected)


def test_packages_own_answer_is_given() -> None:
    both = decode_channels(REFERENCE)
    found = configured("deepfilternet2")(both[0])
    # Half a step of 16 bits is the reference's own rounding.
    np.testing.assert_allclose(found, both[1], atol=2e-5)
    assert np.abs(both[0] - both[1]).max() > 0.05, "there was something to take away"


def decode_channels(path: Path) -> Samples:
    import soundfile

    samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
    assert rate == 48_000
    return samples.T.astype(np.float32) / np.float32(32767)


@needs_package
@pytest.mark.parametrize("num_samples", [1, 480, 481, 48_000, 200_000])
def test_package_and_graph_agree(num_samples: int, speech: Samples) -> None:
    from mmemo.audio.deepfilternet_export import load_reference

    enhance, model, state = load_reference(SHARED_DATA / "deepfilternet2")
    real = decode(SHARED_DATA / "denoise_pair" / "noisy_snr0.wav").waveform
    for waveform in (noisy(speech), real):
        sound = waveform[:num_samples]
        expected = enhance.enhance(model, state, torch.from_numpy(sound)[None])[0].numpy()
        np.testing.assert_allclose(configured(NAMES[0])(sound), expected, atol=1e-5)


@needs_package
def test_graph_is_the_exported_checkpoint(tmp_path: Path, speech: Samples) -> None:
    pytest.importorskip("onnx")
    from mmemo.audio.deepfilternet_export import export

    export(SHARED_DATA / "deepfilternet2", tmp_path / "again.onnx")
    again = configured(NAMES[0], model_file=str(tmp_path / "again.onnx"), package=None, sha256=None)
    sound = noisy(speech)
    np.testing.assert_allclose(again(sound), configured(NAMES[0])(sound), atol=1e-6)


@pytest.mark.parametrize(("name", "expected_db"), [(NAMES[0], 19.42), (NAMES[1], 20.02)])
def test_official_models_lift_the_noisy_speech(
    name: str, expected_db: float, shared_data: Path
) -> None:
    pair = shared_data / "denoise_pair"
    clean, noise = (
        decode(pair / n).waveform for n in ("clean_freesound_33711.wav", "noisy_snr0.wav")
    )
    assert si_sdr_db(noise, clean) == pytest.approx(6.05, abs=0.05)
    assert si_sdr_db(configured(name)(noise), clean) == pytest.approx(expected_db, abs=0.05)


def test_noise_is_taken_from_speech_and_the_speech_left(
    denoiser: DeepFilterNet, speech: Samples
) -> None:
    assert si_sdr_db(noisy(speech), speech) == pytest.approx(0, abs=0.5)
    assert si_sdr_db(denoiser(noisy(speech)), speech) > 6
    assert si_sdr_db(denoiser(speech), speech) > 10


@pytest.mark.parametrize("num_samples", [0, 1, 959, 30_001])
def test_length_is_kept(denoiser: DeepFilterNet, num_samples: int) -> None:
    enhanced = denoiser(np.random.default_rng(0).uniform(-1, 1, num_samples).astype(np.float32))
    assert enhanced.shape == (num_samples,)
    assert enhanced.dtype == np.float32
    assert np.isfinite(enhanced).all()


def test_result_depends_on_nothing_but_the_waveform(
    denoiser: DeepFilterNet, speech: Samples
) -> None:
    first = denoiser(speech)
    denoiser(np.ones(30_000, np.float32))
    assert np.array_equal(denoiser(speech), first)
    other_process = pickle.loads(pickle.dumps(denoiser))
    assert np.array_equal(other_process(speech), first)


# What was seen of three failures that others report of DeepFilterNet.


@pytest.mark.parametrize("peak", [1.0, 4.0, 16.0])
def test_loud_float_input_is_not_amplified(
    denoiser: DeepFilterNet, speech: Samples, peak: float
) -> None:
    """Issue 260: full-scale sound of more than 1.0 keeps its level within 1.5 dB."""
    loud = speech * peak / np.abs(speech).max()
    change_db = level_db(denoiser(loud)) - level_db(loud)
    assert -1.5 < change_db < 0


@pytest.mark.parametrize(
    ("name", "least_db", "most_db"), [("deepfilternet2", -1, 0), ("deepfilternet3", -40, -20)]
)
def test_a_quiet_voice_is_silenced_by_the_third_version_alone(
    name: str, least_db: float, most_db: float, speech: Samples
) -> None:
    """Issue 464: speech at -50 dB of full scale."""
    quiet = speech * 10 ** ((-50 - level_db(speech)) / 20)
    change_db = level_db(configured(name)(quiet)) - level_db(quiet)
    assert least_db < change_db < most_db


def test_telephone_speech_is_kept(denoiser: DeepFilterNet, speech: Samples) -> None:
    """Issue 417: 8 kHz, 8-bit mu-law."""
    narrow = resample(speech / np.abs(speech).max(), 48_000, 8_000)
    companded = np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256)
    coded = np.round(companded * 127.5) / 127.5
    decoded = np.sign(coded) * np.expm1(np.abs(coded) * np.log(256)) / 255
    telephone = resample(decoded.astype(np.float32), 8_000, 48_000)
    change_db = level_db(denoiser(telephone)) - level_db(telephone)
    assert -3 < change_db < 0


def test_version_follows_the_file_and_its_use(tmp_path: Path) -> None:
    one, two = tmp_path / "a.onnx", tmp_path / "b.onnx"
    one.write_bytes(b"a")
    two.write_bytes(b"b")

    def version(path: Path, filters_masked: bool = True) -> str:
        return DeepFilterNet("own", str(path), None, None, filters_masked).version

    assert len({version(one), version(two), version(one, filters_masked=False)}) == 3
    assert configured(NAMES[0]).version == "1-55a1a668"


def test_a_graph_of_ones_own_is_taken(tmp_path: Path, speech: Samples) -> None:
    packaged = configured(NAMES[0])
    content = packaged._read()
    (tmp_path / "own.onnx").write_bytes(content)
    own = DeepFilterNet("own", str(tmp_path / "own.onnx"), None, None, True)
    own.check()
    assert np.array_equal(own(speech), packaged(speech))


def test_a_damaged_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(b"not a graph")
    with pytest.raises(InputError, match=rf"with sha256 55a1a668.*{path} has .*damaged"):
        configured(NAMES[0], model_file=str(path), package=None).check()
    with pytest.raises(InputError, match=rf"{path}, they do not load"):
        configured(NAMES[0], model_file=str(path), package=None, sha256=None).check()
    archive = tmp_path / "cut.tar.gz"
    archive.write_bytes(b"not an archive")
    with pytest.raises(InputError, match=rf"{archive}, they do not load"):
        configured(NAMES[1], model_file=str(archive), package=None, sha256=None).check()


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.onnx, could not read it.*denoiser=off"):
        configured(NAMES[0], model_file=str(tmp_path / "nothing.onnx"), package=None).check()
    with pytest.raises(InputError, match=r"in the package no_such_package.*install mmemo again"):
        configured(NAMES[0], package="no_such_package").check()
