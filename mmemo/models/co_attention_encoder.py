"""Sound at three levels, spectrogram, MFCC and a speech model, joined by co-attention."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from mmemo.audio.torchaudio_check import load_torchaudio
from mmemo.data.batch import AudioInput
from mmemo.models import pooling
from mmemo.models.frame_attention import masked_softmax
from mmemo.models.mel_energies import LEAST_ENERGY, window_and_hop
from mmemo.models.precision import FixedBuffers
from mmemo.models.protocols import AudioEncoder, Features
from mmemo.models.speech_backbones import frame_mask
from mmemo.models.trainable import trains_every_weight
from mmemo.values import check_whole


class CoAttentionEncoder(nn.Module):
    """A spectrogram's convolutions and MFCC's recurrence say which speech frames count.

    Source: Zou et al. 2022 (ICASSP), "Speech Emotion Recognition with Co-Attention Based
    Multi-Level Acoustic Information", section 2, and the authors' repository where the text is
    silent. x_s comes from a convolutional network over the spectrogram, x_m from a bidirectional
    LSTM over MFCC, x_w (F, D) from wav2vec 2.0; x_s and x_m together give the frames' weights w,
    and [x_s, x_m, w x_w] is the answer, each part brought to one size by a linear layer and ReLU.

    Other than there: clips have any length, so that w_f = softmax over real frames of
    (q · k_f) / √D, where q is a linear map of [x_s, x_m] and k_f one of the frame (there a linear
    layer has an output for each of 149 frames); the convolutional network is small and begins at
    random, not AlexNet of ImageNet; what is one number for each frame's place there (flattening)
    is the mean over real frames. Sound is heard as the speech model wants it: of one that takes
    standardised waveforms, all levels lack the loudness.

    Frames are the speech model's own, for fusions that ask for them.

    Args:
        speech: Builds the encoder of the highest level; its own pooling is not used.
        level_dim: Features of each of the three parts.
        num_mels: Mel bands of the spectrogram.
        num_mfcc: Cepstral coefficients.
        recurrent_dim: Hidden features of the LSTM in each direction.
        num_recurrent_layers: Its layers.
        window_ms: Length of the analysis window of spectrogram and MFCC.
        hop_ms: Step from frame to frame of both.
        dropout: Before the linear layer of each part.
        assets_dir: Folder of a run with what ``speech`` saved.

    Raises:
        InputError: If a number is out of range.
    """

    frozen = False
    pools_with_weights = True

    def __init__(
        self,
        speech: Callable[..., AudioEncoder],
        level_dim: int = 128,
        num_mels: int = 64,
        num_mfcc: int = 40,
        recurrent_dim: int = 128,
        num_recurrent_layers: int = 2,
        window_ms: float = 40.0,
        hop_ms: float = 10.0,
        dropout: float = 0.1,
        assets_dir: str | Path | None = None,
    ) -> None:
        super().__init__()
        for name, size in {"level_dim": level_dim, "recurrent_dim": recurrent_dim}.items():
            check_whole(f"audio_encoder.{name}", size, 1)
        check_whole("audio_encoder.num_recurrent_layers", num_recurrent_layers, 1)
        check_whole("audio_encoder.num_mfcc", num_mfcc, 1, num_mels)
        self.speech: Any = speech(**({} if assets_dir is None else {"assets_dir": assets_dir}))
        self.sample_rate: int = self.speech.sample_rate
        self.fixed_samples: int | None = self.speech.fixed_samples
        self.spectrum = _LogMelAndCepstrum(self.sample_rate, num_mels, num_mfcc, window_ms, hop_ms)
        self.min_samples = max(self.speech.min_samples, self.spectrum.window_samples)
        self.convolutions = SpectrogramConvolutions(num_mels, level_dim)
        self.recurrence = MaskedRecurrence(num_mfcc, recurrent_dim, num_recurrent_layers)
        self.spectrogram_level = _level(self.convolutions.output_dim, level_dim, dropout)
        self.cepstral_level = _level(2 * recurrent_dim, level_dim, dropout)
        self.speech_level = _level(self.speech.frame_dim, level_dim, dropout)
        self.co_attention = CoAttention(2 * level_dim, self.speech.frame_dim, level_dim)
        self.frame_dim: int = self.speech.frame_dim
        self.output_dim = 3 * level_dim

    @property
    def trains_every_weight(self) -> bool:
        """Whether each step reaches every trained parameter: the speech model says so."""
        return trains_every_weight(self.speech)

    @property
    def model(self) -> nn.Module:
        """What has a learning rate of its own: the speech model."""
        model: nn.Module = getattr(self.speech, "model", self.speech)
        return model

    def preprocess(self, waveform: Tensor) -> Tensor:
        """Prepare one utterance (T,) as the speech model wants it."""
        prepared: Tensor = self.speech.preprocess(waveform)
        return prepared

    def forward(self, audio: AudioInput) -> Features:
        """Encode (B, T) into the speech model's frames (B, F, D) and all levels (B, D_out)."""
        heard: Features = self.speech(audio)
        log_mel, cepstrum, mask = self.spectrum(audio)
        dtype = next(self.recurrence.parameters()).dtype
        spectrogram = self.spectrogram_level(self.convolutions(log_mel.to(dtype), mask))
        cepstral = self.cepstral_level(self.recurrence(cepstrum.to(dtype), mask))
        lower = torch.cat([spectrogram, cepstral], dim=1)
        attended = self.co_attention(lower, heard.frames.to(lower.dtype), heard.mask)
        pooled = torch.cat([lower, self.speech_level(attended)], dim=1)
        return Features(heard.frames, heard.mask, pooled)

    def save_assets(self, folder: Path) -> None:
        """Write what the speech model needs."""
        self.speech.save_assets(folder)


def _level(num_features: int, level_dim: int, dropout: float) -> nn.Module:
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(num_features, level_dim), nn.ReLU())


class CoAttention(nn.Module):
    """What one vector finds in frames: Σ_f softmax_f((Q x · K y_f) / √D) y_f.

    Args:
        query_dim: Features of the vector.
        frame_dim: Features of a frame.
        dim: D, of both projections.
    """

    def __init__(self, query_dim: int, frame_dim: int, dim: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_dim, dim)
        # A bias would be the same for all frames.
        self.key = nn.Linear(frame_dim, dim, bias=False)

    def forward(self, vector: Tensor, frames: Tensor, mask: Tensor) -> Tensor:
        """(B, query_dim), (B, F, frame_dim) and (B, F) to (B, frame_dim)."""
        query = self.query(vector)
        scores = (self.key(frames) @ query[:, :, None])[:, :, 0] / query.shape[1] ** 0.5
        weights = masked_softmax(scores, mask)
        return (weights[:, :, None] * frames).sum(dim=1)


class SpectrogramConvolutions(nn.Module):
    """Three convolutions over time and frequency, none of which sees padding.

    Each halves both; normalisation is within a frame.

    Args:
        num_mels: Mel bands.
        width: Channels of the last one.
    """

    def __init__(self, num_mels: int, width: int) -> None:
        super().__init__()
        widths = (1, max(1, width // 4), max(1, width // 2), width)
        self.layers = nn.ModuleList(
            nn.Conv2d(before, behind, kernel_size=5, stride=2, padding=2)
            for before, behind in zip(widths, widths[1:], strict=False)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(1, width) for width in widths[1:])
        self.output_dim = width

    def forward(self, log_mel: Tensor, mask: Tensor) -> Tensor:
        """(B, F, num_mels) and (B, F) to the mean over time and frequency (B, D)."""
        maps = log_mel[:, None]
        for layer, norm in zip(self.layers, self.norms, strict=True):
            maps = layer(torch.where(mask[:, None, :, None], maps, 0.0))
            mask = mask[:, ::2]
            maps = nn.functional.gelu(_within_frames(norm, maps))
        return pooling.mean(maps.mean(dim=3).transpose(1, 2), mask).to(maps.dtype)


def _within_frames(norm: nn.Module, maps: Tensor) -> Tensor:
    """Normalise the channels and bands of each frame of (B, D, F, M)."""
    frames = maps.transpose(1, 2)
    normed: Tensor = norm(frames.flatten(0, 1))
    return normed.reshape(frames.shape).transpose(1, 2)


class MaskedRecurrence(nn.Module):
    """A bidirectional LSTM over the real frames, and the mean of what it says.

    Args:
        num_features: Of a frame.
        hidden_dim: Features in each direction.
        num_layers: Of them.
    """

    def __init__(self, num_features: int, hidden_dim: int, num_layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(
            num_features, hidden_dim, num_layers, batch_first=True, bidirectional=True
        )

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """(B, F, D) and (B, F) to (B, 2 · hidden_dim)."""
        lengths = mask.sum(dim=1).cpu()
        packed = pack_padded_sequence(frames, lengths, batch_first=True, enforce_sorted=False)
        # cuDNN's recurrence has a gradient in training mode alone, and explanations need one.
        with nullcontext() if self.training else torch.backends.cudnn.flags(enabled=False):
            hidden, _ = self.lstm(packed)
        padded, _ = pad_packed_sequence(hidden, batch_first=True, total_length=frames.shape[1])
        return pooling.mean(padded, mask).to(frames.dtype)


class _LogMelAndCepstrum(FixedBuffers):
    """Log-mel energies and MFCC, each in float32 with zero mean and unit variance in an utterance.

    MFCC: the orthonormal discrete cosine transform of the log-mel energies.
    """

    transform: Tensor

    def __init__(
        self, sample_rate: int, num_mels: int, num_mfcc: int, window_ms: float, hop_ms: float
    ) -> None:
        super().__init__()
        torchaudio = load_torchaudio()
        self.window_samples, self.hop_samples = window_and_hop(sample_rate, window_ms, hop_ms)
        self.mel = torchaudio.transforms.MelSpectrogram(
            sample_rate,
            n_fft=self.window_samples,
            hop_length=self.hop_samples,
            n_mels=num_mels,
            # Centred frames would reflect what stands behind the sound's end.
            center=False,
        )
        transform = torchaudio.functional.create_dct(num_mfcc, num_mels, norm="ortho")
        self.register_buffer("transform", transform)

    def forward(self, audio: AudioInput) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T) to log-mel energies (B, F, num_mels), MFCC (B, F, num_mfcc), mask (B, F)."""
        with torch.autocast(audio.waveform.device.type, enabled=False):
            energies = self.mel(audio.waveform.float()).transpose(1, 2)
            log_mel = torch.log(energies + LEAST_ENERGY)
            lengths = (audio.mask.sum(dim=1) - self.window_samples) // self.hop_samples + 1
            mask = frame_mask(lengths, log_mel.shape[1])
            return (
                _standardised(log_mel, mask, over=(1, 2)),
                _standardised(log_mel @ self.transform, mask, over=(1,)),
                mask,
            )


def _standardised(frames: Tensor, mask: Tensor, over: tuple[int, ...]) -> Tensor:
    """Zero mean and unit variance of each utterance over real frames; zeros elsewhere."""
    real = mask[:, :, None].to(frames.dtype).expand_as(frames)
    count = real.sum(dim=over, keepdim=True)
    centred = (frames - (frames * real).sum(dim=over, keepdim=True) / count) * real
    variance = (centred * centred).sum(dim=over, keepdim=True) / count
    return centred / torch.sqrt(variance + 1e-5)
