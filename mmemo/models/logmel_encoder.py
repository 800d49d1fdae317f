"""A small audio encoder over log-mel frames, trained from scratch."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from mmemo.data.batch import AudioInput
from mmemo.models.mel_energies import LEAST_ENERGY, MelSpectrogram, window_and_hop
from mmemo.models.pooling import get_pooling
from mmemo.models.protocols import Features
from mmemo.models.speech_backbones import frame_mask

# One constant shift and scale for all utterances brings log-mel energies of speech (natural
# logarithm of power) near zero mean and unit spread and keeps their level.
LOG_MEL_MEAN = -6.0
LOG_MEL_SCALE = 4.5


class LogMelEncoder(nn.Module):
    """A small convolutional network over log-mel frames, trained from scratch.

    Every convolution sees zeros outside the real frames, whether the batch is padded or not, and
    normalisation is within a frame: padding does not change the answer. The mel energies keep
    their level, because loudness tells about emotion. ``maps`` is given the last one's activations
    (B, D, F), for what looks inside.

    Args:
        sample_rate: In Hz.
        num_mels: Mel bands.
        window_ms: Length of the analysis window; long enough to resolve a voice's harmonics.
        hop_ms: Step from frame to frame.
        width: Channels of the convolutions.
        num_layers: Convolutions; each halves the number of frames.
        dropout: After each convolution.
        pooling: "mean", "mean_std" or "first".

    Raises:
        InputError: If window or step is shorter than samples are.
    """

    fixed_samples: int | None = None
    frozen = False
    trains_every_weight = True

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
        self.min_samples, self.hop_samples = window_and_hop(sample_rate, window_ms, hop_ms)
        # Frames lie inside the sound: centred ones would reflect what stands behind its end.
        self.mel = MelSpectrogram(
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
        self.maps = nn.Identity()
        self.pool, factor = get_pooling(pooling)
        self.output_dim = factor * width
        self.frame_dim = width

    def preprocess(self, waveform: Tensor) -> Tensor:
        """The waveform as it is."""
        return waveform

    def forward(self, audio: AudioInput) -> Features:
        """Encode (B, T) into frames (B, F, D)."""
        with torch.autocast(audio.waveform.device.type, enabled=False):
            log_mel = torch.log(self.mel(audio.waveform.float()) + LEAST_ENERGY)
        frames = (log_mel - LOG_MEL_MEAN) / LOG_MEL_SCALE
        frames = frames.transpose(1, 2).to(next(self.layers.parameters()).dtype)
        lengths = (audio.mask.sum(dim=1) - self.min_samples) // self.hop_samples + 1
        mask = frame_mask(lengths, frames.shape[1])
        for layer in self.layers:
            frames, mask = layer(frames, mask)
        frames = self.maps(frames.transpose(1, 2)).transpose(1, 2)
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
