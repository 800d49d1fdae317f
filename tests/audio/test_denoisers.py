import importlib.metadata
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch

from mmemo.audio.deepfilternet_checkpoint import CHECKPOINT_FILE
from mmemo.audio.deepfilternet_package import import_enhance
from mmemo.audio.denoisers import DeepFilterNet2
from mmemo.audio.media import decode
from mmemo.corpora.demo_script import write_script
from mmemo.corpora.demo_sound import speak
from mmemo.errors import InputError
from tests.conftest import SHARED_DATA

needs_package = pytest.mark.skipif(
    not any(d.name.lower() == "deepfilternet" for d in importlib.metadata.distributions()),
    reason="deepfilternet exists only below Python 3.12",
)


def si_sdr_db(estimate: torch.Tensor, reference: torch.Tensor) -> float:
    """Scale-invariant signal-to-distortion ratio (Le Roux et al. 2019, eq. 2 and 3)."""
    estimate, reference = estimate - estimate.mean(), reference - reference.mean()
    target = (estimate @ reference) / (reference @ reference) * reference
    return float(10 * torch.log10(target.square().sum() / (estimate - target).square().sum()))


@pytest.fixture(scope="module")
def checkpoint_dir() -> Path:
    """The official model: of the project's shared data, or one that a run has fetched."""
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmemo"
    cache = Path(os.environ.get("MMEMO_CACHE") or user_cache)
    for folder in (SHARED_DATA / "deepfilternet2", cache / "denoisers" / "DeepFilterNet2"):
        if (folder / CHECKPOINT_FILE).is_file():
            return folder
    pytest.skip("needs DeepFilterNet2's checkpoint, which the demo fetches")


@pytest.fixture(scope="module")
def denoiser(checkpoint_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> DeepFilterNet2:
    return DeepFilterNet2(tmp_path_factory.mktemp("cache"), checkpoint_dir=checkpoint_dir)


@needs_package
def test_noise_is_taken_from_speech_and_the_speech_left(denoiser: DeepFilterNet2) -> None:
    (speech,) = (torch.from_numpy(waveform) for waveform in speak(write_script(30, 0)[:1]))
    noise = torch.randn(speech.shape, generator=torch.Generator().manual_seed(0))
    noisy = speech + noise * speech.std() / noise.std()
    assert si_sdr_db(noisy, speech) == pytest.approx(0, abs=0.5)
    assert si_sdr_db(denoiser(noisy), speech) > 6
    assert si_sdr_db(denoiser(speech), speech) > 10


@needs_package
def test_faster_form_gives_the_packages_own_answer(denoiser: DeepFilterNet2) -> None:
    noisy = 0.1 * torch.randn(48_000, generator=torch.Generator().manual_seed(1))
    enhance = import_enhance()
    model, state, _ = enhance.init_df(str(denoiser.checkpoint_dir), log_level="none", log_file=None)
    expected = enhance.enhance(model, state, noisy[None])[0]
    torch.testing.assert_close(denoiser(noisy), expected, atol=1e-6, rtol=0)


@needs_package
def test_official_model_lifts_the_noisy_speech(denoiser: DeepFilterNet2, shared_data: Path) -> None:
    pair = shared_data / "denoise_pair"
    clean, noisy = (decode(pair / n) for n in ("clean_freesound_33711.wav", "noisy_snr0.wav"))
    assert clean.sample_rate == noisy.sample_rate == denoiser.sample_rate
    clean, noisy = clean.waveform, noisy.waveform
    enhanced = denoiser(noisy)
    assert enhanced.shape == noisy.shape
    assert si_sdr_db(noisy, clean) == pytest.approx(6.05, abs=0.05)
    assert si_sdr_db(enhanced, clean) == pytest.approx(19.4, abs=0.2)


@needs_package
def test_result_depends_on_nothing_but_the_waveform(
    denoiser: DeepFilterNet2, monkeypatch: pytest.MonkeyPatch
) -> None:
    waveform = torch.randn(48_000, generator=torch.Generator().manual_seed(0)) * 0.1
    first = denoiser(waveform)
    denoiser(torch.rand(30_000))
    torch.testing.assert_close(denoiser(waveform), first, rtol=0, atol=0)
    # The package would take these from the environment as its model's settings.
    monkeypatch.setenv("DF_ORDER", "3")
    monkeypatch.setenv("DEVICE", "cuda")
    other_process = pickle.loads(pickle.dumps(denoiser))
    torch.testing.assert_close(other_process(waveform), first, rtol=0, atol=0)


@needs_package
def test_version_follows_weights_and_settings(checkpoint_dir: Path, tmp_path: Path) -> None:
    def version(name: str, changed: str | None = None) -> str:
        folder = tmp_path / name
        shutil.copytree(checkpoint_dir, folder, copy_function=shutil.copyfile)
        folder.chmod(0o755)
        if changed is not None:
            path = folder / changed
            path.write_bytes(path.read_bytes() + b"\n")
        return DeepFilterNet2(tmp_path, checkpoint_dir=folder).version

    versions = [version("a"), version("b", "config.ini"), version("c", str(CHECKPOINT_FILE))]
    assert len(set(versions)) == 3
    assert version("d") == versions[0]
    assert versions[0].startswith(importlib.metadata.version("deepfilternet"))


@needs_package
def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path, checkpoint_dir: Path) -> None:
    folder = tmp_path / "model"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.ini").write_text((checkpoint_dir / "config.ini").read_text())
    (folder / "checkpoints" / "model_96.ckpt.best").write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match=f"{folder}, it does not load"):
        DeepFilterNet2(tmp_path, checkpoint_dir=folder).check()


def test_without_the_package_it_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(InputError, match=r"only below Python 3\.12.*denoiser=off"):
        DeepFilterNet2(tmp_path).check()
