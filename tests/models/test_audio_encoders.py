import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mmemo.data.batch import AudioInput, Collator, Example
from mmemo.errors import InputError
from mmemo.models.audio_encoders import PretrainedAudioEncoder
from mmemo.models.logmel_encoder import LogMelEncoder

FIXED: dict[str, Any] = {"padding": "fixed", "fixed_duration_s": 0.5}


def collate(*waveforms: Tensor, **options: int) -> AudioInput:
    audio = Collator(**options)([Example("k", 0, w, None) for w in waveforms]).audio
    assert audio is not None
    return audio


def noise(num_samples: int, seed: int) -> Tensor:
    return 0.1 * torch.randn(num_samples, generator=torch.Generator().manual_seed(seed))


def test_logmel_answer_does_not_depend_on_the_batch() -> None:
    torch.manual_seed(0)
    encoder = LogMelEncoder().eval()
    short, long = noise(9_000, 1), noise(23_456, 2)
    together = encoder(collate(short, long, min_samples=encoder.min_samples))
    for index, waveform in enumerate((short, long)):
        alone = encoder(collate(waveform, min_samples=encoder.min_samples))
        torch.testing.assert_close(together.pooled[index], alone.pooled[0], atol=1e-5, rtol=0)
        real = int(together.mask[index].sum())
        assert real == alone.frames.shape[1]
        torch.testing.assert_close(
            together.frames[index, :real], alone.frames[0], atol=1e-5, rtol=0
        )


def test_logmel_takes_the_shortest_sound_and_gives_gradients() -> None:
    encoder = LogMelEncoder(width=8)
    features = encoder(collate(noise(3, 0), min_samples=encoder.min_samples))
    assert features.pooled.shape == (1, encoder.output_dim)
    assert int(features.mask.sum()) == 1
    features.pooled.sum().backward()
    assert encoder.trains_every_weight
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_logmel_hears_loudness() -> None:
    torch.manual_seed(0)
    encoder = LogMelEncoder().eval()
    waveform = noise(16_000, 0)
    quiet = encoder(collate(encoder.preprocess(waveform))).pooled
    loud = encoder(collate(encoder.preprocess(10 * waveform))).pooled
    # Exactly 0 if the waveform or the log-mel frames were normalised by their own level.
    assert ((loud - quiet).norm() / quiet.norm()).item() > 0.01


def test_wavlm_loads_its_weights_and_pads_to_one_length(tiny_wavlm: Path) -> None:
    from transformers import WavLMModel

    encoder = PretrainedAudioEncoder(str(tiny_wavlm), **FIXED)
    assert all(module.training for module in encoder.modules()), "its dropout is on"
    encoder.eval()
    assert (encoder.fixed_samples, encoder.output_dim) == (8_000, 24)
    waveform = encoder.preprocess(noise(5_000, 0))
    assert float(waveform.mean()) == pytest.approx(0, abs=1e-6)
    assert float(waveform.var(correction=0)) == pytest.approx(1, abs=1e-4)
    features = encoder(collate(waveform, fixed_samples=encoder.fixed_samples))
    reference = WavLMModel.from_pretrained(tiny_wavlm).eval()
    padded = torch.nn.functional.pad(waveform, (0, 3_000))[None]
    frames = reference(padded).last_hidden_state
    torch.testing.assert_close(features.frames, frames)
    # Frames of the 5000 real samples: (5000 - 10) // 5 + 1 = 999, (999 - 3) // 2 + 1 = 499.
    assert int(features.mask.sum()) == 499
    torch.testing.assert_close(features.pooled, frames[:, :499].mean(dim=1))


def test_fixed_padding_wants_a_length(tiny_wavlm: Path) -> None:
    with pytest.raises(InputError, match=r"fixed_duration_s: expected seconds for padding=fixed"):
        PretrainedAudioEncoder(str(tiny_wavlm), padding="fixed")
    with pytest.raises(InputError, match=r"padding: expected longest or fixed, got 'short'"):
        PretrainedAudioEncoder(str(tiny_wavlm), padding="short")  # type: ignore[arg-type]


def test_layer_norm_model_does_not_depend_on_the_batch(tiny_wav2vec2_layer_norm: Path) -> None:
    encoder = PretrainedAudioEncoder(str(tiny_wav2vec2_layer_norm)).eval()
    short, long = noise(4_000, 1), noise(9_000, 2)
    together = encoder(collate(short, long)).pooled
    for index, waveform in enumerate((short, long)):
        alone = encoder(collate(waveform)).pooled[0]
        torch.testing.assert_close(together[index], alone, atol=1e-5, rtol=0)


def test_silent_regularisers_are_what_the_config_says(tiny_wavlm: Path) -> None:
    plain = PretrainedAudioEncoder(str(tiny_wavlm), **FIXED)
    assert (
        plain.backbone.model.config.layerdrop,
        plain.backbone.model.config.apply_spec_augment,
    ) == (0.0, False)
    noisy = PretrainedAudioEncoder(str(tiny_wavlm), **FIXED, layerdrop=0.1, mask_time_prob=0.05)
    assert (noisy.backbone.model.config.layerdrop, noisy.backbone.model.config.mask_time_prob) == (
        0.1,
        0.05,
    )
    assert noisy.backbone.model.config.apply_spec_augment


def test_random_weights_on_request(tiny_wavlm: Path) -> None:
    loaded = PretrainedAudioEncoder(str(tiny_wavlm), **FIXED)
    fresh = PretrainedAudioEncoder(str(tiny_wavlm), **FIXED, pretrained=False)
    name = "encoder.layers.0.attention.q_proj.weight"
    assert not torch.equal(
        loaded.backbone.model.state_dict()[name], fresh.backbone.model.state_dict()[name]
    )


def test_saved_assets_build_it_again_without_its_checkpoint(
    tiny_wavlm: Path, tmp_path: Path
) -> None:
    encoder = PretrainedAudioEncoder(str(tiny_wavlm), **FIXED).eval()
    encoder.save_assets(tmp_path / "assets")
    assert not list((tmp_path / "assets").glob("*.safetensors"))
    again = PretrainedAudioEncoder(
        "no/such-checkpoint", **FIXED, assets_dir=tmp_path / "assets"
    ).eval()
    again.load_state_dict(encoder.state_dict())
    audio = collate(noise(5_000, 0), fixed_samples=8_000)
    torch.testing.assert_close(again(audio).pooled, encoder(audio).pooled, rtol=0, atol=0)


@pytest.mark.parametrize("content", [None, "{}", '{"model_type": "wavlm"}', "not json"])
def test_what_is_no_checkpoint_is_named_with_the_ways_out(
    tmp_path: Path, content: str | None
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    if content is not None:
        (folder / "config.json").write_text(content)
    with pytest.raises(InputError, match=r"audio_encoder\.checkpoint: .*local folder") as caught:
        PretrainedAudioEncoder(str(folder), **FIXED)
    assert str(folder) in str(caught.value)


def test_weights_of_another_model_are_refused(tiny_wavlm: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    folder = tmp_path / "model"
    shutil.copytree(tiny_wavlm, folder)
    save_file({"unrelated": torch.zeros(1)}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"expected the weights of wavlm in .* are missing"):
        PretrainedAudioEncoder(str(folder), **FIXED)
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"could not load"):
        PretrainedAudioEncoder(str(folder), **FIXED)


def test_weights_that_are_not_safetensors_load_on_request(tiny_wavlm: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    # microsoft/wavlm-base-plus is published so.
    (tmp_path / "config.json").write_text((tiny_wavlm / "config.json").read_text())
    weights = load_file(tiny_wavlm / "model.safetensors")
    torch.save(weights, tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="weights as safetensors"):
        PretrainedAudioEncoder(str(tmp_path), **FIXED)
    encoder = PretrainedAudioEncoder(str(tmp_path), safetensors_only=False, **FIXED)
    name = "encoder.layers.0.attention.q_proj.weight"
    torch.testing.assert_close(
        encoder.backbone.model.state_dict()[name], weights[name], rtol=0, atol=0
    )


def test_a_text_model_is_no_audio_encoder(tiny_roberta: Path) -> None:
    with pytest.raises(InputError, match="expected a model of sound .*, got roberta"):
        PretrainedAudioEncoder(str(tiny_roberta), **FIXED)


def test_a_name_that_is_not_in_the_cache_is_an_error() -> None:
    with pytest.raises(InputError, match="'nobody/nothing'"):
        PretrainedAudioEncoder("nobody/nothing", **FIXED)


def test_unknown_pooling_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"one of mean, mean_std, first, got 'median'"):
        LogMelEncoder(pooling="median")
