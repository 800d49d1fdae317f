"""Tiny random checkpoints of every family of speech models, and encoders built of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from transformers import AutoConfig, AutoModel

from mmemo.data.batch import AudioInput, Collator, Example
from mmemo.models.audio_encoders import PretrainedAudioEncoder
from mmemo.runs.experiment import Experiment
from tests.conftest import TINY_SPEECH
from tests.test_configs import composed

TRANSFORMER = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
# The option of conf/audio_encoder, transformers' model type, its tiny size.
FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "wavlm": ("wavlm_base_plus", "wavlm", TINY_SPEECH | {"feat_extract_norm": "group"}),
    "wavlm_large": (
        "wavlm_large",
        "wavlm",
        TINY_SPEECH | {"feat_extract_norm": "layer", "do_stable_layer_norm": True},
    ),
    "wav2vec2": ("wav2vec2_base", "wav2vec2", TINY_SPEECH | {"feat_extract_norm": "group"}),
    "hubert": ("hubert_base", "hubert", TINY_SPEECH | {"feat_extract_norm": "group"}),
    "hubert_batch_norm": (
        "hubert_base",
        "hubert",
        TINY_SPEECH | {"feat_extract_norm": "group", "conv_pos_batch_norm": True},
    ),
    "unispeech": ("pretrained", "unispeech", TINY_SPEECH | {"feat_extract_norm": "group"}),
    "data2vec": (
        "data2vec_audio_base",
        "data2vec-audio",
        TINY_SPEECH | {"num_conv_pos_embeddings": 3, "conv_pos_kernel_size": 5},
    ),
    "unispeech_sat": (
        "unispeech_sat_base_plus",
        "unispeech-sat",
        TINY_SPEECH | {"feat_extract_norm": "group"},
    ),
    "sew": ("pretrained", "sew", TINY_SPEECH | {"feat_extract_norm": "group"}),
    "sew_d": (
        "pretrained",
        "sew-d",
        TINY_SPEECH
        | {"feat_extract_norm": "group", "max_position_embeddings": 64, "position_buckets": 8},
    ),
    "conformer": (
        "pretrained",
        "wav2vec2-conformer",
        TINY_SPEECH | {"conv_depthwise_kernel_size": 5},
    ),
    "ast": (
        "pretrained",
        "audio-spectrogram-transformer",
        TRANSFORMER | {"max_length": 128, "num_mel_bins": 32},
    ),
}
SPECTROGRAM = ("ast",)
FIXED = ("ast", "conformer")
LENGTHS = (2_001, 4_500, 16, 3_337)


def noise(num_samples: int) -> Tensor:
    return 0.1 * torch.randn(num_samples, generator=torch.Generator().manual_seed(num_samples))


def collate(encoder: PretrainedAudioEncoder, lengths: tuple[int, ...]) -> AudioInput:
    collator = Collator(min_samples=encoder.min_samples, fixed_samples=encoder.fixed_samples)
    examples = [Example("k", 0, encoder.preprocess(noise(n)), None) for n in lengths]
    audio = collator(examples).audio
    assert isinstance(audio, AudioInput)
    return audio


def write_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By family the folder of its checkpoint."""
    folders = {}
    for name, (_, model_type, size) in FAMILIES.items():
        folders[name] = tmp_path_factory.mktemp(name)
        torch.manual_seed(0)
        config = AutoConfig.for_model(model_type, **size)
        model = AutoModel.from_config(config)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                # As it is after training: what is zero does not stay zero.
                for statistics in (module.running_mean, module.weight, module.bias):
                    torch.nn.init.normal_(statistics)
        model.save_pretrained(folders[name])
    return folders


@cache
def composed_option(option: str) -> DictConfig:
    overrides = ["text_encoder=none", "corpus.root=/data", "data.max_duration_s=0.6"]
    return composed([f"audio_encoder={option}", *overrides])


def build(name: str, checkpoints: dict[str, Path], *options: str) -> PretrainedAudioEncoder:
    if name in FIXED:
        options = ("padding=fixed", "fixed_duration_s=0.6", *options)
    cfg = composed_option(FAMILIES[name][0]).copy()
    given = [f"checkpoint={checkpoints[name]}", *options]
    for override in OverridesParser.create().parse_overrides(given):
        OmegaConf.update(cfg.audio_encoder, override.key_or_group, override.value())
    encoder = Experiment(cfg).build_encoders().audio
    assert isinstance(encoder, PretrainedAudioEncoder)
    return encoder
