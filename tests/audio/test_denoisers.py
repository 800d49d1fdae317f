import importlib.metadata
import pickle
from pathlib import Path

import pytest
import soundfile
import torch

from mmemo.audio.denoisers import DeepFilterNet2
from mmemo.errors import InputError

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
def denoiser(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> DeepFilterNet2:
    cache = tmp_path_factory.mktemp("cache")
    return DeepFilterNet2(cache, checkpoint_dir=shared_data / "deepfilternet2")


@needs_package
def test_official_model_lifts_the_noisy_speech(denoiser: DeepFilterNet2, shared_data: Path) -> None:
    pair = shared_data / "denoise_pair"
    clean, rate = soundfile.read(pair / "clean_freesound_33711.wav", dtype="float32")
    noisy, _ = soundfile.read(pair / "noisy_snr0.wav", dtype="float32")
    clean, noisy = torch.from_numpy(clean), torch.from_numpy(noisy)
    assert rate == denoiser.sample_rate
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
def test_version_names_package_and_checkpoint(denoiser: DeepFilterNet2) -> None:
    assert denoiser.version == f"{importlib.metadata.version('deepfilternet')}-bb5eccb4"


@needs_package
def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path, shared_data: Path) -> None:
    folder = tmp_path / "model"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.ini").write_text((shared_data / "deepfilternet2/config.ini").read_text())
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
