"""Audio encoders: pretrained speech models, and a small one from scratch."""

from __future__ import annotations

from pathlib import Path

import torch
import torchaudio
from torch import Tensor, nn

from mmemo.data.batch import AudioInput
from mmemo.errors import InputError
from mmemo.models.checkpoints import freeze, load_config, load_model
from mmemo.models.pooling import get_pooling
from mmemo.models.protocols import Features

NORMALISATION_EPSILON = 1e-7

# One constant shift and scale for all utterances brings log-mel energies of speech (natural
# logarithm of power) near zero mean and unit spread and keeps their level.
LOG_MEL_MEAN = -6.0
LOG_MEL_SCALE = 4.5


class PretrainedAudioEncoder(nn.Module):
    """A transformers speech model that takes raw waveforms, fine-tuned as a whole.

    Waveforms are brought to zero mean and unit variance for each utterance, over real samples.

    Args:
        checkpoint: Name on the hub, or a local folder, in transformers' layout.
        sample_rate: Rate that the checkpoint was trained on, in Hz.
        fixed_duration_s: Pad every waveform with zeros to this length and give no attention
            mask, as the paper does; None to pad to the longest of the batch, with the mask.
        pooling: "mean", "mean_std" or "first", over frames of real sound.
        layerdrop: Share of transformer layers left out in a training step.
        mask_time_prob: Share of frames that SpecAugment masks in training; 0 turns it off.
        trainable: "all", or "none" to train the rest of the classifier alone.
        pretrained: False for random weights of the same architecture.
        assets_dir: Folder of a run with the checkpoint's config; no weights are fetched then.

    Raises:
        InputError: If the checkpoint cannot be loaded, or padding to the longest would change
            its answers.
    """

    def __init__(
        self,
        checkpoint: str,
        sample_rate: int = 16_000,
        fixed_duration_s: float | None = None,
        pooling: str = "mean",
        layerdrop: float = 0.0,
        mask_time_prob: float = 0.0,
        trainable: str = "all",
        pretrained: bool = True,
        assets_dir: str | Path | None = None,
    ) -> None:
        super().__init__()
        overrides = {
            "layerdrop": layerdrop,
            "mask_time_prob": mask_time_prob,
            "apply_spec_augment": mask_time_prob > 0,
        }
        config = load_config(assets_dir or checkpoint, "audio_encoder.checkpoint", overrides)
        if not hasattr(config, "conv_kernel"):
            raise InputError(
                f"audio_encoder.checkpoint: expected a model that takes raw waveforms (WavLM, "
                f"wav2vec 2.0, HuBERT and the like), got {config.model_type} in '{checkpoint}'; "
                "name another checkpoint"
            )
        self.model = load_model(
            checkpoint, config, "audio_encoder.checkpoint", pretrained and assets_dir is None
        )
        self.frozen = freeze(self.model, trainable, "audio_encoder.trainable")
        # GroupNorm over time makes the features depend on how far a waveform is padded.
        normalises_over_time = getattr(config, "feat_extract_norm", None) == "group"
        if fixed_duration_s is None and normalises_over_time:
            raise InputError(
                f"audio_encoder: {checkpoint} normalises over time, so that padding changes its "
                "answers; expected fixed_duration_s, got none; set "
                "audio_encoder.fixed_duration_s='${data.max_duration_s}'"
            )
        self.sample_rate = sample_rate
        self.fixed_samples = round(fixed_duration_s * sample_rate) if fixed_duration_s else None
        self.min_samples = _receptive_field(config.conv_kernel, config.conv_stride)
        self.pool, factor = get_pooling(pooling)
        self.output_dim = factor * int(config.hidden_size)
        self.frame_dim = int(config.hidden_size)

    def train(self, mode: bool = True) -> PretrainedAudioEncoder:
        """Switch dropout and masking, which a frozen model never has."""
        super().train(mode)
        if self.frozen:
            self.model.eval()
        return self

    def preprocess(self, waveform: Tensor) -> Tensor:
        """Zero mean and unit variance over one utterance (T,)."""
        variance = waveform.var(correction=0)
        return (waveform - waveform.mean()) / torch.sqrt(variance + NORMALISATION_EPSILON)

    def forward(self, audio: AudioInput) -> Features:
        """Encode (B, T) into frames (B, F, D), about 50 for each second."""
        attention_mask = None if self.fixed_samples else audio.mask.long()
        frames = self.model(audio.waveform, attention_mask=attention_mask).last_hidden_state
        lengths = self.model._get_feat_extract_output_lengths(audio.mask.sum(dim=1))
        positions = torch.arange(frames.shape[1], device=frames.device)
        mask = positions < lengths.clamp(min=1)[:, None]
        return Features(frames, mask, self.pool(frames, mask))

    def save_assets(self, folder: Path) -> None:
        """Write the model's config."""
        self.model.config.save_pretrained(folder)


def _receptive_field(kernels: list[int], strides: list[int]) -> int:
    """Samples that one frame of a stack of convolutions sees."""
    samples = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        samples = (samples - 1) * stride + kernel
    return samples


class LogMelEncoder(nn.Module):
    """A small convolutional network over log-mel frames, trained from scratch.

    Every convolution sees zeros outside the real frames, whether the batch is padded or not, and
    normalisation is within a frame: padding does not change the answer. The mel energies keep
    their level, because loudness tells about emotion.

    Args:
        sample_rate: In Hz.
        num_mels: Mel bands.
        window_ms: Length of the analysis window; long enough to resolve a voice's harmonics.
        hop_ms: Step from frame to frame.
        width: Channels of the convolutions.
        num_layers: Convolutions; each halves the number of frames.
        dropout: After each convolution.
        pooling: "mean", "mean_std" or "first".
    """

    fixed_samples: int | None = None
    frozen = False

    def __init__(
        self,
        sample_rate: int = 16_000,
        num_mels: int = 64,
        window_ms: float = 50.0,
        hop_ms: float = 16.0,
        width: int = 48,
        num_layers: int = 2,
        dropout: float = 0.3,
        pooling: str = "mean_std",
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.min_samples = round(window_ms * sample_rate / 1000)
        self.hop_samples = round(hop_ms * sample_rate / 1000)
        # Frames lie inside the sound: centred ones would reflect what stands behind its end.
        self.mel = torchaudio.transforms.MelSpectrogram(
            sample_rate,
            n_fft=self.min_samples,
            hop_length=self.hop_samples,
            n_mels=num_mels,
            center=False,
        )
        self.layers = nn.ModuleList(
            _MaskedConvolution(num_mels if index == 0 else width, width, dropout)
            for index in range(num_layers)
        )
        self.pool, factor = get_pooling(pooling)
        self.output_dim = factor * width
        self.frame_dim = width

    def preprocess(self, waveform: Tensor) -> Tensor:
        """The waveform as it is."""
        return waveform

    def forward(self, audio: AudioInput) -> Features:
        """Encode (B, T) into frames (B, F, D)."""
        log_mel = torch.log(self.mel(audio.waveform) + 1e-6)
        frames = (log_mel - LOG_MEL_MEAN) / LOG_MEL_SCALE
        frames = frames.transpose(1, 2)
        lengths = (audio.mask.sum(dim=1) - self.min_samples) // self.hop_samples + 1
        positions = torch.arange(frames.shape[1], device=frames.device)
        mask = positions < lengths.clamp(min=1)[:, None]
        for layer in self.layers:
            frames, mask = layer(frames, mask)
        return Features(frames, mask, self.pool(frames, mask))

    def save_assets(self, folder: Path) -> None:
        """Nothing is needed beside the weights."""


class _MaskedConvolution(nn.Module):
    """Convolution over time with stride 2 that never sees padding."""

    def __init__(self, in_channels: int, out_channels: int, dropout: float) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(in_channels, out_channels, kernel_size=5, stride=2, padding=2)
        self.norm = nn.LayerNorm(out_channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, frames: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(B, F, D_in) and (B, F) to (B, ceil(F / 2), D_out) and its mask."""
        real = frames * mask[:, :, None]
        frames = self.convolution(real.transpose(1, 2)).transpose(1, 2)
        return self.dropout(nn.functional.gelu(self.norm(frames))), mask[:, ::2]
