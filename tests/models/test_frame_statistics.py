import numpy as np
import pytest
import torch

from mmemo.audio.torchaudio_check import load_torchaudio
from mmemo.data.batch import AudioInput
from mmemo.errors import InputError
from mmemo.models.frame_statistics import FrameStatistics, LogMelStatistics, MfccStatistics
from mmemo.models.logmel_encoder import LogMelEncoder

torchaudio = load_torchaudio()
SAMPLES = torch.randn(1, 8000, generator=torch.Generator().manual_seed(0)) * 0.1


def alone(waveform: torch.Tensor) -> AudioInput:
    return AudioInput(waveform, torch.ones_like(waveform, dtype=torch.bool))


def test_mfccs_are_torchaudios() -> None:
    encoder = MfccStatistics(num_coefficients=13, num_mels=26, num_deltas=2)
    mel = {"n_fft": 400, "hop_length": 160, "n_mels": 26, "center": False}
    mfcc = torchaudio.transforms.MFCC(16_000, 13, log_mels=True, melkwargs=mel)(SAMPLES)
    slopes = torchaudio.functional.compute_deltas(mfcc)
    levels = [mfcc, slopes, torchaudio.functional.compute_deltas(slopes)]
    by_hand = np.concatenate(
        [m for level in levels for m in (level[0].mean(1), level[0].numpy().std(1))]
    )
    found = encoder(alone(SAMPLES))
    torch.testing.assert_close(found.frames[0].T, mfcc[0], atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(found.pooled[0], by_hand, atol=1e-4)
    assert encoder.output_dim == 78 == found.pooled.shape[1]


def test_log_mel_energies_are_torchaudios() -> None:
    encoder = LogMelStatistics(num_mels=16, num_deltas=0)
    mel = torchaudio.transforms.MelSpectrogram(
        16_000, n_fft=400, hop_length=160, n_mels=16, center=False
    )
    logs = torch.log(mel(SAMPLES) + 1e-6)[0]
    found = encoder(alone(SAMPLES)).pooled[0]
    torch.testing.assert_close(found, torch.cat([logs.mean(1), logs.std(1, correction=0)]))


@pytest.mark.parametrize("encoder", [MfccStatistics(), LogMelStatistics()])
def test_padding_changes_nothing(encoder: FrameStatistics) -> None:
    padded = torch.cat([SAMPLES, torch.zeros(1, 3000)], dim=1)
    mask = torch.arange(11_000)[None] < 8000
    own = encoder(alone(SAMPLES))
    batch = AudioInput(
        torch.cat([padded, torch.ones(1, 11_000)]),
        mask.repeat(2, 1) | torch.tensor([[False], [True]]),
    )
    found = encoder(batch)
    torch.testing.assert_close(found.pooled[:1], own.pooled)
    assert found.mask.sum(dim=1).tolist() == [48, 67]
    torch.testing.assert_close(
        encoder.from_pooled_layers(encoder.pooled_layers(batch)), found.pooled
    )


def test_silence_and_the_shortest_sound_have_finite_features() -> None:
    encoder = MfccStatistics()
    found = encoder(alone(torch.zeros(1, encoder.min_samples)))
    assert found.frames.shape == (1, 1, 20)
    assert found.pooled.isfinite().all()


def test_more_coefficients_than_bands_are_refused() -> None:
    with pytest.raises(InputError, match="audio_encoder.num_coefficients: expected at most 10"):
        MfccStatistics(num_coefficients=11, num_mels=10)


@pytest.mark.parametrize("encoder", [MfccStatistics, LogMelStatistics, LogMelEncoder])
def test_windows_and_steps_of_no_sample_are_refused(encoder: type) -> None:
    for given in ({"window_ms": 0.01}, {"hop_ms": 0.01}, {"sample_rate": 10}):
        with pytest.raises(InputError, match=r"window_ms, hop_ms: expected at least two samples"):
            encoder(**given)
    with pytest.raises(InputError, match=r"audio_encoder.hop_ms: expected at least 0, got -10"):
        encoder(hop_ms=-10)
