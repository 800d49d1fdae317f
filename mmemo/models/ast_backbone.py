"""The Audio Spectrogram Transformer, over patches of a log-mel spectrogram of a fixed length."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import ASTFeatureExtractor

from mmemo.audio.torchaudio_check import load_torchaudio
from mmemo.data.batch import AudioInput
from mmemo.errors import InputError
from mmemo.models.checkpoints import Checkpoint
from mmemo.models.speech_backbones import (
    OPTION,
    Padding,
    SpeechBackbone,
    check_fixed,
    frame_mask,
    layers_of,
)
from mmemo.models.whisper_backbone import masked_in_time

WINDOW_MS, HOP_MS = 25, 10
NUM_SPECIAL_TOKENS = 2


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
        self.hop_samples = sample_rate * HOP_MS // 1000
        self.min_samples = sample_rate * WINDOW_MS // 1000
        self.max_length = int(self.config.max_length)
        self.num_bands, num_times = self.model.embeddings.get_shape(self.config)
        if fixed_duration_s is not None:
            num_times = self._shorten(round(fixed_duration_s * 1000 / HOP_MS), num_times)
        self.num_times = num_times
        self.fixed_samples = (self.max_length - 1) * self.hop_samples + self.min_samples
        self.frame_dim = int(self.config.hidden_size)

    def _shorten(self, max_length: int, num_times: int) -> int:
        """Keep the positions of the first patches in time alone; returns their number."""
        shortest = int(self.config.patch_size)
        if not shortest <= max_length <= self.max_length:
            raise InputError(
                f"{OPTION}.fixed_duration_s: expected {shortest * HOP_MS / 1000:g} to "
                f"{self.max_length * HOP_MS / 1000:g} s for this AST, got "
                f"{max_length * HOP_MS / 1000:g} s"
            )
        self.max_length = max_length
        kept = (max_length - shortest) // int(self.config.time_stride) + 1
        positions = self.model.embeddings.position_embeddings.detach()
        special, grid = positions.split([NUM_SPECIAL_TOKENS, self.num_bands * num_times], dim=1)
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
        return patches[:, NUM_SPECIAL_TOKENS:].reshape(shape).mean(dim=1)


@contextmanager
def _float32_default() -> Iterator[None]:
    """Make new tensors float32: torchaudio makes its filter banks of whatever is the default."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(default)
