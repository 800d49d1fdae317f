"""The adapter that makes an audio encoder of any pretrained speech model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmemo.data.batch import AudioInput
from mmemo.errors import InputError
from mmemo.models.attentions import Attentions, pooling_shares, recorded_attentions
from mmemo.models.checkpoints import Checkpoint
from mmemo.models.layer_weights import Layers, LayerWeights, check_layers
from mmemo.models.pooling import get_pooling
from mmemo.models.protocols import Features
from mmemo.models.speech_backbones import OPTION, Padding, SpeechBackbone
from mmemo.models.trainable import set_trainable, transformer_layers

WAVEFORM_MODELS = (
    *("wavlm", "wav2vec2", "hubert", "data2vec-audio", "unispeech", "unispeech-sat"),
    *("sew", "sew-d", "wav2vec2-conformer"),
)
"""transformers' names of the architectures over raw waveforms that are known here."""


UNLIKE_FRAMES = ("audio-spectrogram-transformer", "sew", "sew-d")
"""Architectures whose layers attend to something else than the frames that they give."""


class PretrainedAudioEncoder(nn.Module):
    """A transformers speech model: over raw waveforms (WavLM and its kin), Whisper's encoder, AST.

    Args:
        checkpoint: Name on the hub, or a local folder, in transformers' layout.
        architecture: transformers' ``model_type`` and size, which is built where ``pretrained`` is
            False and the checkpoint is no local folder.
        pretrained: False for random weights of the same architecture.
        config_overrides: Settings of the model's config that replace the checkpoint's.
        revision: Commit, tag or branch on the hub; None for its main branch.
        safetensors_only: Refuse weights in the older format.
        sample_rate: Rate that the checkpoint was trained on, in Hz.
        padding: "longest": to the longest of the batch, with no influence on the answer;
            "fixed": with zeros to ``fixed_duration_s`` and without attention mask, as the paper
            does (and Whisper and AST always).
        fixed_duration_s: Length of fixed padding; None for the model's own, where it has one.
        pooling: "mean", "mean_std" or "first", over frames of real sound.
        layers: "last", or "weighted": a learned weighting of the transformer's input and all
            layers, each of which is pooled first.
        trainable: See ``set_trainable``.
        lora_rank: Rank of the updates with ``trainable="lora"``.
        layerdrop: Share of transformer layers left out in a training step.
        mask_time_prob: Share of frames that SpecAugment masks in training; 0 turns it off.
        gradient_checkpointing: Compute activations again in the backward pass: less memory,
            about a third more time.
        attention: "sdpa": torch's fused attention where the model allows it; "eager": as it
            stands in transformers (WavLM's not with ``trainable="lora"``, which it passes by).
        assets_dir: Folder of a run with the checkpoint's config; no weights are fetched then.

    Raises:
        InputError: If the checkpoint cannot be loaded or an option does not fit it.
    """

    def __init__(
        self,
        checkpoint: str,
        architecture: Mapping[str, Any] | None = None,
        pretrained: bool = True,
        config_overrides: Mapping[str, Any] | None = None,
        revision: str | None = None,
        safetensors_only: bool = True,
        sample_rate: int = 16_000,
        padding: Padding = "longest",
        fixed_duration_s: float | None = None,
        pooling: str = "mean",
        layers: Layers = "last",
        trainable: str = "all",
        lora_rank: int = 8,
        layerdrop: float = 0.0,
        mask_time_prob: float = 0.0,
        gradient_checkpointing: bool = False,
        attention: str = "sdpa",
        assets_dir: str | Path | None = None,
    ) -> None:
        super().__init__()
        check_layers(layers, layerdrop, trainable == "none", OPTION)
        source = Checkpoint(
            checkpoint,
            OPTION,
            architecture,
            pretrained,
            config_overrides or {},
            revision,
            safetensors_only,
            assets_dir,
        )
        self.backbone = _build_backbone(
            source, sample_rate, padding, fixed_duration_s, attention, layerdrop, mask_time_prob
        )
        model = self.backbone.model
        if gradient_checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        if trainable == "lora":
            self.backbone.call_projections()
        self.frozen = set_trainable(model, trainable, OPTION, lora_rank)
        self.trains_every_weight = self.frozen or layerdrop == 0
        self.all_layers = layers == "weighted"
        num_layers = (
            len(transformer_layers(model, f"{OPTION}.layers")) + 1 if self.all_layers else 1
        )
        if self.all_layers and hasattr(model, "encoder") and hasattr(model.encoder, "upsample"):
            # SEW's layers are heard before it.
            model.encoder.upsample.requires_grad_(False)
        self.layer_weights = LayerWeights(num_layers)
        self.pool, factor = get_pooling(pooling)
        self.frame_dim = self.backbone.frame_dim
        self.output_dim = factor * self.frame_dim
        self.sample_rate = sample_rate
        self.min_samples = self.backbone.min_samples
        self.fixed_samples = self.backbone.fixed_samples

    @property
    def model(self) -> nn.Module:
        """Transformers' model, without what the encoder adds around it."""
        model: nn.Module = self.backbone.model
        return model

    def train(self, mode: bool = True) -> PretrainedAudioEncoder:
        """Switch dropout and masking, which a frozen model never has."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def preprocess(self, waveform: Tensor) -> Tensor:
        """Prepare one utterance (T,) as the model was trained."""
        return self.backbone.preprocess(waveform)

    def forward(self, audio: AudioInput) -> Features:
        """Encode (B, T) into frames (B, F, D)."""
        layers, mask = self.backbone(audio, self.all_layers)
        pooled = self.layer_weights([self.pool(layer, mask) for layer in layers])
        return Features(self.layer_weights(layers), mask, pooled)

    def attentions(self, audio: AudioInput) -> Attentions:
        """How each layer attends from frame to frame of (B, T); see ``Attentions``.

        Layers are left out where their frames are not those of ``forward``: SEW's, which halves
        them, and AST's, whose patches are of time and frequency.
        """
        with recorded_attentions(self.model) as found:
            _, mask = self.backbone(audio, self.all_layers)
        num_frames = mask.shape[1]
        is_same = all(layer.shape[-1] >= num_frames for layer in found)
        layers = [layer[..., :num_frames, :num_frames] for layer in found]
        is_told = is_same and self.backbone.config.model_type not in UNLIKE_FRAMES
        return Attentions(tuple(layers) if is_told else (), pooling_shares(self.pool, mask), mask)

    def pooled_layers(self, audio: AudioInput) -> Tensor:
        """What a frozen model makes of a batch, before the weighting: (B, N, D_out)."""
        layers, mask = self.backbone(audio, self.all_layers)
        return torch.stack([self.pool(layer, mask) for layer in layers], dim=1)

    def from_pooled_layers(self, pooled: Tensor) -> Tensor:
        """(B, N, D_out) to (B, D_out)."""
        weighted: Tensor = self.layer_weights(pooled.unbind(dim=1))
        return weighted

    def save_assets(self, folder: Path) -> None:
        """Write the model's config."""
        self.backbone.config.save_pretrained(folder)


def _build_backbone(
    checkpoint: Checkpoint,
    sample_rate: int,
    padding: Padding,
    fixed_duration_s: float | None,
    attention: str,
    layerdrop: float,
    mask_time_prob: float,
) -> SpeechBackbone:
    """The backbone that a checkpoint needs, by its architecture.

    Args:
        checkpoint: What is loaded.
        sample_rate: Rate of the sound, in Hz.
        padding: "longest" or "fixed".
        fixed_duration_s: Length of fixed padding; None for the model's own.
        attention: "sdpa" or "eager".
        layerdrop: Share of transformer layers left out in a training step.
        mask_time_prob: Share of frames that SpecAugment masks in training; 0 turns it off.

    Raises:
        InputError: If the checkpoint is no speech model that is known, or cannot be loaded.
    """
    if padding not in ("longest", "fixed"):
        raise InputError(f"{OPTION}.padding: expected longest or fixed, got '{padding}'")
    config = checkpoint.config({})
    kind = config.model_type
    length = (sample_rate, padding, fixed_duration_s)
    # Only what is needed is imported.
    if kind == "whisper":
        from mmemo.models.spectrogram_backbones import WhisperBackbone

        dropped = {"encoder_layerdrop": layerdrop}
        return WhisperBackbone(checkpoint, *length, attention, dropped, mask_time_prob)
    if kind == "audio-spectrogram-transformer":
        if layerdrop > 0:
            raise InputError(
                f"{OPTION}.layerdrop: expected 0 for AST, which has none, got {layerdrop}"
            )
        from mmemo.models.spectrogram_backbones import AstBackbone

        return AstBackbone(checkpoint, *length, attention, {}, mask_time_prob)
    if kind in WAVEFORM_MODELS:
        regularisers = {
            "layerdrop": layerdrop,
            "mask_time_prob": mask_time_prob,
            "apply_spec_augment": mask_time_prob > 0,
        }
        from mmemo.models.waveform_backbone import WaveformBackbone

        return WaveformBackbone(checkpoint, *length, attention, regularisers)
    raise InputError(
        f"{OPTION}.checkpoint: expected a model of sound (WavLM, wav2vec 2.0, HuBERT, Data2Vec, "
        f"UniSpeech-SAT, SEW, Whisper, AST), got {config.model_type} in '{checkpoint.name}'; name "
        "another checkpoint"
    )
