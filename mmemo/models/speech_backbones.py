"""Pretrained speech models, whatever they take, behind one face: sound in, layers of frames out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mmemo.data.batch import AudioInput
from mmemo.errors import InputError
from mmemo.models.checkpoints import Checkpoint

OPTION = "audio_encoder"

WAVEFORM_MODELS = (
    *("wavlm", "wav2vec2", "hubert", "data2vec-audio", "unispeech", "unispeech-sat"),
    *("sew", "sew-d", "wav2vec2-conformer"),
)
"""transformers' names of the architectures over raw waveforms that are known here."""

Padding = Literal["longest", "fixed"]


class SpeechBackbone(nn.Module, ABC):
    """A pretrained speech model.

    ``model`` is transformers' module, ``config`` what is saved to build it again.
    ``min_samples``, ``fixed_samples`` and ``sample_rate`` are as in ``AudioFrontend``;
    ``frame_dim`` is D.
    """

    model: Any
    config: Any
    sample_rate: int
    min_samples: int
    fixed_samples: int | None
    frame_dim: int

    def preprocess(self, waveform: Tensor) -> Tensor:
        """Prepare one utterance (T,); as it is, unless a model wants otherwise."""
        return waveform

    def call_projections(self) -> None:
        """Compute attention by calling its linear layers, around which updates can be put.

        Nothing has to be done for a model that does so by itself.
        """

    @abstractmethod
    def forward(self, audio: AudioInput, all_layers: bool) -> tuple[list[Tensor], Tensor]:
        """Frames (B, F, D) of the last layer, or of the transformer's input and each layer.

        Returns:
            The layers, bottom first, and the mask (B, F), True where a frame is real.
        """


def layers_of(output: Any, all_layers: bool) -> list[Tensor]:  # noqa: ANN401
    """Hidden states of a transformers output; the last one behind the model's last norm."""
    last: Tensor = output.last_hidden_state
    if not all_layers:
        return [last]
    *inner, top = output.hidden_states
    return [*inner, last if last.shape == top.shape else top]


def frame_mask(lengths: Tensor, num_frames: int) -> Tensor:
    """(B, F), True for the first ``lengths`` frames of each row, at least one."""
    positions = torch.arange(num_frames, device=lengths.device)
    return positions < lengths.clamp(min=1)[:, None]


def check_fixed(
    padding: Padding, model_type: str, reason: str = "which hears one length whatever a clip's"
) -> None:
    """Refuse real lengths for a model that cannot answer alike whatever it is padded to.

    Raises:
        InputError: If they are asked for.
    """
    if padding != "fixed":
        raise InputError(
            f"{OPTION}.padding: expected fixed for {model_type}, {reason}, got {padding}; set "
            f"{OPTION}.padding=fixed"
        )


def build_backbone(
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
    from mmemo.models.ast_backbone import AstBackbone
    from mmemo.models.waveform_backbone import WaveformBackbone
    from mmemo.models.whisper_backbone import WhisperBackbone

    if padding not in ("longest", "fixed"):
        raise InputError(f"{OPTION}.padding: expected longest or fixed, got '{padding}'")
    config = checkpoint.config({})
    kind = config.model_type
    length = (sample_rate, padding, fixed_duration_s)
    if kind == "whisper":
        dropped = {"encoder_layerdrop": layerdrop}
        return WhisperBackbone(checkpoint, *length, attention, dropped, mask_time_prob)
    if kind == "audio-spectrogram-transformer":
        if layerdrop > 0:
            raise InputError(
                f"{OPTION}.layerdrop: expected 0 for AST, which has none, got {layerdrop}"
            )
        return AstBackbone(checkpoint, *length, attention, {}, mask_time_prob)
    if kind in WAVEFORM_MODELS:
        regularisers = {
            "layerdrop": layerdrop,
            "mask_time_prob": mask_time_prob,
            "apply_spec_augment": mask_time_prob > 0,
        }
        return WaveformBackbone(checkpoint, *length, attention, regularisers)
    raise InputError(
        f"{OPTION}.checkpoint: expected a model of sound (WavLM, wav2vec 2.0, HuBERT, Data2Vec, "
        f"UniSpeech-SAT, SEW, Whisper, AST), got {config.model_type} in '{checkpoint.name}'; name "
        "another checkpoint"
    )
