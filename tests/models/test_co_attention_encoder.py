"""Sound at three levels: each by hand or by a library, and padding that changes nothing."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mmemo.data.batch import AudioInput, Collator, Example
from mmemo.errors import InputError
from mmemo.models.audio_encoders import PretrainedAudioEncoder
from mmemo.models.co_attention_encoder import CoAttention, CoAttentionEncoder, MaskedRecurrence
from mmemo.models.logmel_encoder import LogMelEncoder
from tests.models.test_fusion import set_weights

SMALL: dict[str, Any] = {"level_dim": 8, "num_mels": 20, "num_mfcc": 13, "recurrent_dim": 6}


def encoder(speech: Any = None, **options: Any) -> CoAttentionEncoder:  # noqa: ANN401
    torch.manual_seed(0)
    return CoAttentionEncoder(speech or partial(LogMelEncoder, width=8), **{**SMALL, **options})


def noise(num_samples: int, seed: int) -> Tensor:
    return 0.1 * torch.randn(num_samples, generator=torch.Generator().manual_seed(seed))


def collate(model: CoAttentionEncoder, *waveforms: Tensor) -> AudioInput:
    prepared = [Example("k", 0, model.preprocess(wave), None) for wave in waveforms]
    audio = Collator(model.min_samples, model.fixed_samples)(prepared).audio
    assert isinstance(audio, AudioInput)
    return audio


@pytest.mark.parametrize("is_pretrained", [False, True])
def test_the_answer_does_not_depend_on_the_batch(is_pretrained: bool, tiny_wavlm: Path) -> None:
    speech = partial(PretrainedAudioEncoder, str(tiny_wavlm)) if is_pretrained else None
    model = encoder(speech).eval()
    waves = noise(3_000, 1), noise(9_123, 2), noise(700, 3)
    together = model(collate(model, *waves))
    assert together.pooled.shape == (3, 24)
    for index, waveform in enumerate(waves):
        alone = model(collate(model, waveform))
        torch.testing.assert_close(together.pooled[index], alone.pooled[0], atol=1e-5, rtol=0)
        real = int(together.mask[index].sum())
        torch.testing.assert_close(
            together.frames[index, :real], alone.frames[0], atol=1e-5, rtol=0
        )


def test_every_parameter_of_three_levels_is_trained_and_sound_has_a_gradient() -> None:
    model = encoder(dropout=0.0)
    audio = collate(model, *(noise(4_000 + 900 * i, i) for i in range(8)))
    audio.waveform.requires_grad_()
    model(audio).pooled.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    assert audio.waveform.grad is not None
    assert audio.waveform.grad.isfinite().all()
    assert not audio.waveform.grad[~audio.mask].any()


def test_the_shortest_sound_and_silence_have_an_answer() -> None:
    model = encoder()
    features = model(collate(model, noise(3, 0), torch.zeros(5_000)))
    assert features.pooled.isfinite().all()
    features.pooled.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_one_vector_says_which_frames_count() -> None:
    attention = CoAttention(query_dim=1, frame_dim=2, dim=4)
    set_weights(attention.query, [[2.0], [0.0], [0.0], [0.0]], [0.0, 1.0, 0.0, 0.0])
    with torch.no_grad():
        attention.key.weight.copy_(torch.tensor([[1.0, 0], [0, 1], [0, 0], [0, 0]]))
    frames = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [50.0, 50.0]]])
    found = attention(torch.tensor([[3.0]]), frames, torch.tensor([[True, True, False]]))
    # The query is (6, 1), the keys are the frames: scores 6 and 1, over the root of D = 4.
    torch.testing.assert_close(found[0], torch.softmax(torch.tensor([3.0, 0.5]), dim=0))


@pytest.mark.slow
def test_mfcc_are_librosas() -> None:
    librosa = pytest.importorskip("librosa")
    model = encoder()
    waveform = noise(8_000, 4)
    log_mel, found, mask = model.spectrum(collate(model, waveform))
    energies = librosa.feature.melspectrogram(
        y=waveform.numpy(), sr=16_000, n_fft=640, hop_length=160, n_mels=20, center=False,
        htk=True, norm=None,
    )  # fmt: skip
    expected = torch.log(torch.from_numpy(energies) + 1e-6)
    standard = (expected - expected.mean()) / expected.std(correction=0)
    torch.testing.assert_close(log_mel[0].T, standard, atol=1e-3, rtol=1e-3)
    cepstrum = torch.from_numpy(librosa.feature.mfcc(S=expected.numpy(), n_mfcc=13))
    by_frame = cepstrum - cepstrum.mean(dim=1, keepdim=True)
    by_frame /= by_frame.square().mean(dim=1, keepdim=True).sqrt()
    torch.testing.assert_close(found[0].T, by_frame, atol=1e-3, rtol=1e-3)
    assert mask.all()


def test_recurrence_ends_where_the_sound_does() -> None:
    torch.manual_seed(0)
    recurrence = MaskedRecurrence(3, hidden_dim=4, num_layers=2)
    frames = torch.randn(2, 5, 3)
    mask = torch.arange(5) < torch.tensor([[2], [5]])
    found = recurrence(frames, mask)
    for index, length in enumerate((2, 5)):
        hidden, _ = recurrence.lstm(frames[index : index + 1, :length])
        torch.testing.assert_close(found[index], hidden[0].mean(dim=0))


def test_another_encoder_of_sound_is_saved_with_it(tiny_wavlm: Path, tmp_path: Path) -> None:
    model = encoder(partial(PretrainedAudioEncoder, str(tiny_wavlm)))
    assert model.model is model.speech.model, "it has a learning rate of its own"
    model.save_assets(tmp_path)
    again = encoder(partial(PretrainedAudioEncoder, "gone/elsewhere"), assets_dir=tmp_path)
    again.load_state_dict(model.state_dict())


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match="audio_encoder.num_mfcc: expected at most 20, got 21"):
        encoder(num_mfcc=21)
    with pytest.raises(InputError, match="audio_encoder.level_dim: expected at least 1, got 0"):
        encoder(level_dim=0)
    with pytest.raises(InputError, match=r"audio_encoder.window_ms, hop_ms: .* got 40.0 and 0 ms"):
        encoder(hop_ms=0)
