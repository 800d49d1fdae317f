"""Speech models over log-mel spectrograms of a fixed length: Whisper's encoder, and AST."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import ASTFeatureExtractor, WhisperFeatureExtractor

from mmemo.audio.torchaudio_check import load_torchaudio
from mmemo.data.batch import AudioInput
from mmemo.errors import InputError
from mmemo.models.checkpoints import Checkpoint
from mmemo.models.precision import FixedBuffers
from mmemo.models.speech_backbones import (
    OPTION,
    Padding,
    SpeechBackbone,
    check_fixed,
    frame_mask,
    layers_of,
)

AST_WINDOW_MS, AST_HOP_MS = 25, 10
NUM_AST_SPECIAL_TOKENS = 2


class WhisperBackbone(SpeechBackbone):
    """Whisper's encoder; its decoder is not used.

    Source: Radford et al. 2023, "Robust Speech Recognition via Large-Scale Weak Supervision".
    Every utterance is padded with silence to one length, as in Whisper's own training, so that
    the answer does not depend on the batch.

    Args:
        checkpoint: What is loaded.
        sample_rate: 16 000, the rate Whisper was trained on.
        padding: "fixed".
        fixed_duration_s: Length that sound is padded to: None for 30 as it was trained, or
            shorter, which costs less; the positions of the first seconds are used then.
        attention: "sdpa" or "eager".
        overrides: Settings of the model's config.
        mask_time_prob: Mean share of the frames that SpecAugment masks in training, in one span.

    Raises:
        InputError: If the checkpoint cannot be loaded, or takes less sound or another rate.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        sample_rate: int,
        padding: Padding,
        fixed_duration_s: float | None,
        attention: str,
        overrides: dict[str, Any],
        mask_time_prob: float,
    ) -> None:
        super().__init__()
        check_fixed(padding, "Whisper")
        self.config = checkpoint.config(overrides)
        self.model = checkpoint.model(self.config, attention, unused=("decoder.",)).encoder
        self.mask_time_prob = mask_time_prob
        self.extractor: Any = WhisperFeatureExtractor(  # type: ignore[no-untyped-call]
            feature_size=self.config.num_mel_bins
        )
        self.log_mel = WhisperLogMel(self.extractor)
        if sample_rate != self.extractor.sampling_rate:
            raise InputError(
                f"{OPTION}.sample_rate: expected Whisper's {self.extractor.sampling_rate} Hz, got "
                f"{sample_rate} Hz"
            )
        self.sample_rate = sample_rate
        self.hop_samples = int(self.extractor.hop_length)
        self.samples_per_frame = self.hop_samples * self.model.conv2.stride[0]
        if fixed_duration_s is not None:
            self._shorten(round(fixed_duration_s * sample_rate / self.samples_per_frame))
        self.fixed_samples = self.model.embed_positions.num_embeddings * self.samples_per_frame
        self.min_samples = 1
        self.frame_dim = int(self.config.d_model)

    def _shorten(self, num_frames: int) -> None:
        """Keep the positions of the first frames alone."""
        positions = self.model.embed_positions
        if not 0 < num_frames <= positions.num_embeddings:
            longest_s = positions.num_embeddings * self.samples_per_frame / self.sample_rate
            raise InputError(
                f"{OPTION}.fixed_duration_s: expected at most the model's {longest_s:g} s and more "
                f"than 0, got {num_frames * self.samples_per_frame / self.sample_rate:g} s"
            )
        positions.weight = nn.Parameter(positions.weight[:num_frames].detach(), False)
        positions.num_embeddings = num_frames
        # A copy: what is saved beside the weights is the checkpoint's own config.
        shorter = type(self.config).from_dict(
            self.config.to_dict() | {"max_source_positions": num_frames}
        )
        shorter._attn_implementation = self.config._attn_implementation
        self.model.config = shorter

    def forward(self, audio: AudioInput, all_layers: bool) -> tuple[list[Tensor], Tensor]:
        """Encode (B, T) into frames (B, F, D), 50 for each second."""
        with torch.autocast(audio.waveform.device.type, enabled=False):
            log_mel = self.log_mel(audio.waveform.float())
        if self.training and self.mask_time_prob > 0:
            log_mel = masked_in_time(log_mel, self.mask_time_prob)
        output = self.model(log_mel.to(self.model.dtype), output_hidden_states=all_layers)
        layers = layers_of(output, all_layers)
        # A frame that has begun counts.
        num_frames = (audio.mask.sum(dim=1) - 1) // self.samples_per_frame + 1
        return layers, frame_mask(num_frames, layers[-1].shape[1])


class WhisperLogMel(FixedBuffers):
    """Whisper's log-mel spectrogram, in float32.

    As transformers' feature extractor gives it, for whole batches on any device.

    Args:
        extractor: That feature extractor.
    """

    mel_filters: Tensor
    window: Tensor

    def __init__(self, extractor: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.n_fft = int(extractor.n_fft)
        self.hop_samples = int(extractor.hop_length)
        filters = torch.as_tensor(extractor.mel_filters, dtype=torch.float32)
        self.register_buffer("mel_filters", filters, persistent=False)
        self.register_buffer("window", torch.hann_window(self.n_fft), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """(B, T) to (B, num_mels, T / hop_samples)."""
        spectrum = torch.stft(
            waveform, self.n_fft, self.hop_samples, window=self.window, return_complex=True
        )
        power = spectrum[..., :-1].abs() ** 2
        log_mel = torch.log10((self.mel_filters.T @ power).clamp(min=1e-10))
        loudest = log_mel.amax(dim=(1, 2), keepdim=True)
        return (torch.maximum(log_mel, loudest - 8.0) + 4.0) / 4.0


def masked_in_time(spectrogram: Tensor, mean_share: float) -> Tensor:
    """Mask one span of frames of each utterance: SpecAugment (Park et al. 2019) in time.

    Args:
        spectrogram: (B, bands, F).
        mean_share: Mean length of the span, as a share of F; it is uniform from 0 to twice that.
    """
    longest = round(2 * mean_share * spectrogram.shape[-1])
    masked: Tensor = load_torchaudio().functional.mask_along_axis_iid(
        spectrogram[:, None], longest, float(spectrogram.mean()), axis=3
    )
    return masked[:, 0]


class AstBackbone(SpeechBackbone):
    """AST: patches of frequency and time, averaged over frequency to one frame for each time.

    Source: Gong, Chung and Glass 2021, "AST: Audio Spectrogram Transformer".

    Args:
        checkpoint: What is loaded.
        sample_rate: 16 000, the rate AST was trained on.
        padding: "fixed".
        fixed_duration_s: Length that spectrograms are padded to: None for the checkpoint's own
            (10.24), or shorter, which costs less; the positions of the first seconds are used.
        attention: "sdpa" or "eager".
        overrides: Settings of the model's config.
        mask_time_prob: Mean share of the frames that SpecAugment masks in training, in one span.

    Raises:
        InputError: If the checkpoint cannot be loaded, or takes less sound or another rate.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        sample_rate: int,
        padding: Padding,
        fixed_duration_s: float | None,
        attention: str,
        overrides: dict[str, Any],
        mask_time_prob: float,
    ) -> None:
        super().__init__()
        check_fixed(padding, "AST")
        self.config = checkpoint.config(overrides)
        self.extractor: Any = ASTFeatureExtractor(  # type: ignore[no-untyped-call]
            num_mel_bins=self.config.num_mel_bins, max_length=self.config.max_length
        )
        if sample_rate != self.extractor.sampling_rate:
            raise InputError(
                f"{OPTION}.sample_rate: expected AST's {self.extractor.sampling_rate} Hz, got "
                f"{sample_rate} Hz"
            )
        self.model = checkpoint.model(self.config, attention)
        self.mask_time_prob = mask_time_prob
        self.sample_rate = sample_rate
        self.hop_samples = sample_rate * AST_HOP_MS // 1000
        self.min_samples = sample_rate * AST_WINDOW_MS // 1000
        self.max_length = int(self.config.max_length)
        self.num_bands, num_times = self.model.embeddings.get_shape(self.config)
        if fixed_duration_s is not None:
            num_times = self._shorten(round(fixed_duration_s * 1000 / AST_HOP_MS), num_times)
        self.num_times = num_times
        self.fixed_samples = (self.max_length - 1) * self.hop_samples + self.min_samples
        self.frame_dim = int(self.config.hidden_size)

    def _shorten(self, max_length: int, num_times: int) -> int:
        """Keep the positions of the first patches in time alone; returns their number."""
        shortest = int(self.config.patch_size)
        if not shortest <= max_length <= self.max_length:
            raise InputError(
                f"{OPTION}.fixed_duration_s: expected {shortest * AST_HOP_MS / 1000:g} to "
                f"{self.max_length * AST_HOP_MS / 1000:g} s for this AST, got "
                f"{max_length * AST_HOP_MS / 1000:g} s"
            )
        self.max_length = max_length
        kept = (max_length - shortest) // int(self.config.time_stride) + 1
        positions = self.model.embeddings.position_embeddings.detach()
        special, grid = positions.split([NUM_AST_SPECIAL_TOKENS, self.num_bands * num_times], dim=1)
        grid = grid.reshape(1, self.num_bands, num_times, -1)[:, :, :kept].flatten(1, 2)
        self.model.embeddings.position_embeddings = nn.Parameter(torch.cat([special, grid], dim=1))
        return kept

    def filter_banks(self, waveform: Tensor) -> Tensor:
        """Kaldi's log-mel filter banks of one utterance (T,), padded: (max_length, bands)."""
        banks = load_torchaudio().compliance.kaldi.fbank(
            waveform[None],
            sample_frequency=self.sample_rate,
            window_type="hanning",
            num_mel_bins=self.config.num_mel_bins,
        )[: self.max_length]
        return nn.functional.pad(banks, (0, 0, 0, self.max_length - len(banks)))

    def forward(self, audio: AudioInput, all_layers: bool) -> tuple[list[Tensor], Tensor]:
        """Encode (B, T) into frames (B, F, D), 10 for each second."""
        lengths = audio.mask.sum(dim=1).clamp(min=self.min_samples)
        with torch.autocast(audio.waveform.device.type, enabled=False), _float32_default():
            rows = zip(audio.waveform.float(), lengths.tolist(), strict=True)
            banks = torch.stack([self.filter_banks(row[:length]) for row, length in rows])
        if self.training and self.mask_time_prob > 0:
            banks = masked_in_time(banks.transpose(1, 2), self.mask_time_prob).transpose(1, 2)
        values = self.extractor.normalize(banks).to(self.model.dtype)
        output = self.model(values, output_hidden_states=all_layers)
        layers = [self._over_time(layer) for layer in layers_of(output, all_layers)]
        num_banks = (lengths - self.min_samples) // self.hop_samples + 1
        # A patch that has begun counts.
        num_frames = (num_banks - 1) // self.config.time_stride + 1
        return layers, frame_mask(num_frames, self.num_times)

    def _over_time(self, patches: Tensor) -> Tensor:
        """(B, tokens, D) to (B, F, D): the mean over frequency, without the special tokens."""
        shape = (len(patches), self.num_bands, self.num_times, self.frame_dim)
        return patches[:, NUM_AST_SPECIAL_TOKENS:].reshape(shape).mean(dim=1)


@contextmanager
def _float32_default() -> Iterator[None]:
    """Make new tensors float32: torchaudio makes its filter banks of whatever is the default."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(default)
