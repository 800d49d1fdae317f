"""Mean and spread of spectral frames over an utterance: hand-made features of classical models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import torch
from torch import Tensor, nn

from mmemo.audio.torchaudio_check import load_torchaudio
from mmemo.data.batch import AudioInput
from mmemo.models.mel_energies import LEAST_ENERGY, MelSpectrogram, window_and_hop
from mmemo.models.precision import FixedBuffers
from mmemo.models.protocols import Features
from mmemo.models.speech_backbones import frame_mask
from mmemo.values import check_whole


class FrameStatistics(nn.Module, ABC):
    """Mean and standard deviation over time of frames and of their slopes.

    Frames are computed of an utterance's own sound; what a batch adds behind it changes nothing.
    Nothing in it is trained. Slopes ("deltas") are regressions over five frames, as
    ``torchaudio.functional.compute_deltas`` has them, of the frames, then of those.

    Args:
        sample_rate: In Hz.
        num_mels: Mel bands.
        window_ms: Length of the analysis window.
        hop_ms: Step from frame to frame.
        num_deltas: How often slopes are taken: 0, 1 or 2.
        num_coefficients: D, of a frame.

    Raises:
        InputError: If a number is out of its range.
    """

    fixed_samples: int | None = None
    frozen = True
    packages = ("torchaudio",)
    coefficient: str
    """What one of a frame's numbers is called."""

    def __init__(
        self,
        sample_rate: int,
        num_mels: int,
        window_ms: float,
        hop_ms: float,
        num_deltas: int,
        num_coefficients: int,
    ) -> None:
        super().__init__()
        check_whole("audio_encoder.num_mels", num_mels, 1)
        check_whole("audio_encoder.num_deltas", num_deltas, 0, 2)
        self.sample_rate = sample_rate
        self.min_samples, hop_samples = window_and_hop(sample_rate, window_ms, hop_ms)
        self.num_deltas = num_deltas
        self.mel = MelSpectrogram(
            sample_rate,
            n_fft=self.min_samples,
            hop_length=hop_samples,
            n_mels=num_mels,
            center=False,
        )
        self.feature_names = tuple(
            f"{self.coefficient}{place}{slope}_{moment}"
            for slope in ("", "_delta", "_delta_delta")[: 1 + num_deltas]
            for moment in ("mean", "sd")
            for place in range(num_coefficients)
        )
        self.frame_dim = num_coefficients
        self.output_dim = 2 * (1 + num_deltas) * num_coefficients

    @abstractmethod
    def frames(self, log_mel: Tensor) -> Tensor:
        """From logarithms of mel energies (M, F) to (D, F)."""

    def preprocess(self, waveform: Tensor) -> Tensor:
        """The waveform as it is: its level tells too."""
        return waveform

    def forward(self, audio: AudioInput) -> Features:
        """Describe (B, T) by (B, D_out), with frames (B, F, D)."""
        lengths = audio.mask.sum(dim=1).clamp(min=self.min_samples).tolist()
        with torch.autocast(audio.waveform.device.type, enabled=False):
            all_frames = [
                self.frames(torch.log(self.mel(waveform[:length].float()) + LEAST_ENERGY))
                for waveform, length in zip(audio.waveform, lengths, strict=True)
            ]
            pooled = torch.stack([self._statistics(frames) for frames in all_frames])
        parts = [frames.T for frames in all_frames]
        padded = nn.utils.rnn.pad_sequence(parts, batch_first=True)
        counts = torch.tensor([len(part) for part in parts], device=padded.device)
        return Features(padded, frame_mask(counts, padded.shape[1]), pooled)

    def _statistics(self, frames: Tensor) -> Tensor:
        """(D, F) to means and standard deviations (D_out,) of frames, slopes, and theirs."""
        compute_deltas = load_torchaudio().functional.compute_deltas
        levels = [frames]
        for _ in range(self.num_deltas):
            levels.append(compute_deltas(levels[-1]))
        moments = [(level.mean(dim=1), level.std(dim=1, correction=0)) for level in levels]
        return torch.cat([part for pair in moments for part in pair])

    def pooled_layers(self, audio: AudioInput) -> Tensor:
        """The statistics as one layer: (B, 1, D_out)."""
        pooled: Tensor = self(audio).pooled
        return pooled[:, None]

    def from_pooled_layers(self, pooled: Tensor) -> Tensor:
        """(B, 1, D_out) to (B, D_out)."""
        return pooled[:, 0]

    def save_assets(self, folder: Path) -> None:
        """Nothing is needed: there are no weights."""


class LogMelStatistics(FrameStatistics):
    """Statistics of log-mel energies.

    Args:
        sample_rate: In Hz.
        num_mels: Mel bands, D.
        window_ms: Length of the analysis window.
        hop_ms: Step from frame to frame.
        num_deltas: How often slopes are taken.
    """

    coefficient = "logmel"

    def __init__(
        self,
        sample_rate: int = 16_000,
        num_mels: int = 64,
        window_ms: float = 25.0,
        hop_ms: float = 10.0,
        num_deltas: int = 1,
    ) -> None:
        super().__init__(sample_rate, num_mels, window_ms, hop_ms, num_deltas, num_mels)

    def frames(self, log_mel: Tensor) -> Tensor:
        """As they are."""
        return log_mel


class MfccStatistics(FrameStatistics):
    """Statistics of mel-frequency cepstral coefficients: a cosine transform of log-mel energies.

    Source: Davis and Mermelstein 1980, IEEE Trans. ASSP 28(4).

    Args:
        sample_rate: In Hz.
        num_coefficients: D, the first of them.
        num_mels: Mel bands.
        window_ms: Length of the analysis window.
        hop_ms: Step from frame to frame.
        num_deltas: How often slopes are taken.

    Raises:
        InputError: If there are more coefficients than bands.
    """

    coefficient = "mfcc"

    def __init__(
        self,
        sample_rate: int = 16_000,
        num_coefficients: int = 20,
        num_mels: int = 40,
        window_ms: float = 25.0,
        hop_ms: float = 10.0,
        num_deltas: int = 2,
    ) -> None:
        super().__init__(sample_rate, num_mels, window_ms, hop_ms, num_deltas, num_coefficients)
        check_whole("audio_encoder.num_coefficients", num_coefficients, 1, num_mels)
        self.cosines = _Cosines(num_coefficients, num_mels)

    def frames(self, log_mel: Tensor) -> Tensor:
        """(M, F) to (D, F)."""
        coefficients: Tensor = self.cosines(log_mel)
        return coefficients


class _Cosines(FixedBuffers):
    """The orthonormal cosine transform (DCT-II) in float32."""

    matrix: Tensor

    def __init__(self, num_coefficients: int, num_mels: int) -> None:
        super().__init__()
        matrix = load_torchaudio().functional.create_dct(num_coefficients, num_mels, "ortho")
        self.register_buffer("matrix", matrix.T.contiguous())

    def forward(self, log_mel: Tensor) -> Tensor:
        """(M, F) to (D, F)."""
        return self.matrix @ log_mel
