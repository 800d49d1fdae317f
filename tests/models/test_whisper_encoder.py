from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import WhisperFeatureExtractor, WhisperModel

from mmemo.data.batch import AudioInput, Collator, Example
from mmemo.errors import InputError
from mmemo.models.audio_encoders import PretrainedAudioEncoder

SECOND = 16_000


def noise(num_samples: int, seed: int) -> Tensor:
    return 0.1 * torch.randn(num_samples, generator=torch.Generator().manual_seed(seed))


def collate(encoder: PretrainedAudioEncoder, *waveforms: Tensor) -> AudioInput:
    collator = Collator(fixed_samples=encoder.fixed_samples)
    audio = collator([Example("k", 0, w, None) for w in waveforms]).audio
    assert isinstance(audio, AudioInput)
    return audio


def test_spectrogram_is_that_of_transformers(tiny_whisper: Path) -> None:
    encoder = PretrainedAudioEncoder(str(tiny_whisper), padding="fixed", fixed_duration_s=2.0)
    audio = collate(encoder, noise(20_000, 1), noise(7_777, 2))
    extractor = WhisperFeatureExtractor(feature_size=80)
    expected = extractor(
        list(audio.waveform.numpy()),
        sampling_rate=SECOND,
        max_length=2 * SECOND,
        return_tensors="pt",
    ).input_features
    torch.testing.assert_close(
        encoder.backbone.log_mel(audio.waveform), expected, atol=1e-4, rtol=0
    )


def test_answer_is_the_models_own_and_does_not_depend_on_the_batch(tiny_whisper: Path) -> None:
    encoder = PretrainedAudioEncoder(
        str(tiny_whisper), padding="fixed", fixed_duration_s=2.0
    ).eval()
    assert next(encoder.parameters()).dtype == torch.float32
    short, long = noise(9_000, 1), noise(31_000, 2)
    audio = collate(encoder, short, long)
    together = encoder(audio)
    model = WhisperModel.from_pretrained(tiny_whisper, dtype=torch.float32).encoder.eval()
    expected = model(encoder.backbone.log_mel(audio.waveform)).last_hidden_state
    torch.testing.assert_close(together.frames, expected, atol=1e-5, rtol=0)
    # 320 samples to a frame, a begun one counts: 9,000 samples are 28.1 frames.
    assert together.mask.sum(dim=1).tolist() == [29, 97]
    torch.testing.assert_close(together.pooled[0], expected[0, :29].mean(dim=0))
    alone = encoder(collate(encoder, short))
    torch.testing.assert_close(together.pooled[0], alone.pooled[0], atol=1e-5, rtol=0)


def test_fewer_seconds_are_the_first_positions(tiny_whisper: Path) -> None:
    encoder = PretrainedAudioEncoder(
        str(tiny_whisper), padding="fixed", fixed_duration_s=0.5, pooling="mean_std"
    )
    assert encoder.fixed_samples == SECOND // 2
    features = encoder(collate(encoder, noise(8_000, 0)))
    assert (features.frames.shape, features.pooled.shape) == ((1, 25, 16), (1, 32))
    features.pooled.sum().backward()
    assert encoder.backbone.model.conv1.weight.grad is not None
    with pytest.raises(InputError, match=r"duration_s: expected at most the model's 2 s"):
        PretrainedAudioEncoder(str(tiny_whisper), padding="fixed", fixed_duration_s=30.0)


def test_frozen_trains_nothing_and_never_drops_out(tiny_whisper: Path) -> None:
    encoder = PretrainedAudioEncoder(
        str(tiny_whisper), padding="fixed", fixed_duration_s=2.0, trainable="none"
    ).train()
    assert encoder.frozen
    assert not any(p.requires_grad for p in encoder.parameters())
    assert not any(m.training for m in encoder.backbone.model.modules())
    with pytest.raises(
        InputError, match=r"audio_encoder\.trainable: expected all, none, .* got 'h"
    ):
        PretrainedAudioEncoder(
            str(tiny_whisper), padding="fixed", fixed_duration_s=2.0, trainable="head"
        )


def test_real_lengths_are_refused(tiny_whisper: Path) -> None:
    with pytest.raises(InputError, match=r"padding: expected fixed for Whisper"):
        PretrainedAudioEncoder(str(tiny_whisper))


def test_rebuilt_from_assets_without_the_checkpoint(tiny_whisper: Path, tmp_path: Path) -> None:
    encoder = PretrainedAudioEncoder(
        str(tiny_whisper), padding="fixed", fixed_duration_s=1.0
    ).eval()
    encoder.save_assets(tmp_path)
    again = PretrainedAudioEncoder(
        "gone", padding="fixed", fixed_duration_s=1.0, assets_dir=tmp_path
    ).eval()
    again.load_state_dict(encoder.state_dict())
    audio = collate(encoder, noise(9_000, 3))
    torch.testing.assert_close(again(audio).pooled, encoder(audio).pooled)
