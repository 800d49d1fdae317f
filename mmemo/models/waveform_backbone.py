"""Speech models over raw waveforms: WavLM, wav2vec 2.0, HuBERT, Data2Vec, UniSpeech-SAT, SEW."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers.models.wavlm.modeling_wavlm import WavLMAttention

from mmemo.data.batch import AudioInput
from mmemo.errors import InputError
from mmemo.models.checkpoints import Checkpoint
from mmemo.models.precision import keep_residuals_in_float32
from mmemo.models.speech_backbones import (
    OPTION,
    Padding,
    SpeechBackbone,
    check_fixed,
    frame_mask,
    layers_of,
)

NORMALISATION_EPSILON = 1e-7


class WaveformBackbone(SpeechBackbone):
    """Convolutions over the waveform, then a transformer.

    With real lengths, the convolutions run over one utterance at a time, on its own samples:
    their group normalisation over time (WavLM-base, wav2vec2-base, HuBERT-base) then never sees
    padding, no time is spent on it, and the transformer masks the padded frames. With a fixed
    length everything is as in transformers, without an attention mask.

    Args:
        checkpoint: What is loaded.
        sample_rate: Rate that the checkpoint was trained on, in Hz.
        padding: "longest": real lengths; "fixed": one length for all.
        fixed_duration_s: That length.
        attention: "sdpa", or "eager" as it stands in transformers.
        overrides: Settings of the model's config.

    Raises:
        InputError: If the checkpoint cannot be loaded or the fixed length is missing.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        sample_rate: int,
        padding: Padding,
        fixed_duration_s: float | None,
        attention: str,
        overrides: dict[str, Any],
    ) -> None:
        super().__init__()
        if padding == "fixed" and fixed_duration_s is None:
            raise InputError(
                f"{OPTION}.fixed_duration_s: expected seconds for padding=fixed, got none; set "
                f"{OPTION}.fixed_duration_s='${{data.max_duration_s}}'"
            )
        config = self.config = checkpoint.config(overrides)
        if getattr(config, "add_adapter", False):
            raise InputError(
                f"{OPTION}: expected a model without an adapter behind its layers (add_adapter), "
                f"which joins frames to fewer, got one in '{checkpoint.name}'; leave it out with "
                f"{OPTION}.config_overrides={{add_adapter:false}}"
            )
        is_conformer = config.model_type == "wav2vec2-conformer"
        if is_conformer:
            reason = "whose convolutions carry padding into what is real"
            check_fixed(padding, "wav2vec2-conformer", reason)
        is_wavlm = config.model_type == "wavlm"
        self.model = checkpoint.model(config, "eager" if is_wavlm else attention)
        if is_wavlm and attention == "sdpa":
            use_fast_attention(self.model)
        positions: Any = getattr(self.model.encoder, "pos_conv_embed", None)
        if is_conformer:
            # It is there, and nothing reads it.
            positions.requires_grad_(False)
        if isinstance(getattr(positions, "batch_norm", None), nn.BatchNorm1d):
            positions.batch_norm.__class__ = _RealBatchNorm
        if config.mask_time_prob == 0 and hasattr(self.model, "masked_spec_embed"):
            # Nothing reads it then, and distributed training wants a gradient of all it trains.
            self.model.masked_spec_embed.requires_grad_(False)
        keep_residuals_in_float32(self.model)
        self.sample_rate = sample_rate
        self.frame_dim = int(config.hidden_size)
        self.frame_samples = _receptive_field(config.conv_kernel, config.conv_stride)
        self.hop_samples = int(torch.tensor(config.conv_stride).prod())
        # SEW halves the frames and doubles them again: an odd last one would see the padding.
        self.frame_multiple = int(getattr(config, "squeeze_factor", 1))
        self.min_samples = self._samples(self.frame_multiple)
        self.fixed_samples = None
        if padding == "fixed" and fixed_duration_s is not None:
            self.fixed_samples = round(fixed_duration_s * sample_rate)
        else:
            self.model.feature_extractor = _RealConvolutions(self.model.feature_extractor)
            if config.model_type == "data2vec-audio":
                self.model.encoder.pos_conv_embed = _RealPositions(positions)

    def call_projections(self) -> None:
        """Replace WavLM's attention, which reads weights and passes by the layers themselves."""
        use_fast_attention(self.model)

    def _samples(self, num_frames: int) -> int:
        return (num_frames - 1) * self.hop_samples + self.frame_samples

    def preprocess(self, waveform: Tensor) -> Tensor:
        """Zero mean and unit variance over one utterance (T,)."""
        variance = waveform.var(correction=0)
        return (waveform - waveform.mean()) / torch.sqrt(variance + NORMALISATION_EPSILON)

    def forward(self, audio: AudioInput, all_layers: bool) -> tuple[list[Tensor], Tensor]:
        """Encode (B, T) into frames (B, F, D), about 50 for each second."""
        num_frames = (audio.mask.sum(dim=1) - self.frame_samples) // self.hop_samples + 1
        waveform = audio.waveform.to(self.model.dtype)
        if self.fixed_samples is not None:
            num_hidden = (waveform.shape[1] - self.frame_samples) // self.hop_samples + 1
            output = self.model(
                waveform,
                output_hidden_states=all_layers,
                mask_time_indices=self._time_mask(len(num_frames), num_hidden, num_frames.device),
            )
        else:
            multiple = self.frame_multiple
            num_frames = (num_frames // multiple * multiple).clamp(min=multiple)
            lengths = (num_frames - 1) * self.hop_samples + self.frame_samples
            self._set_lengths(lengths.tolist(), num_frames.tolist())
            positions = torch.arange(waveform.shape[1], device=lengths.device)
            num_hidden = int(num_frames.max())
            output = self.model(
                waveform,
                attention_mask=(positions < lengths[:, None]).long(),
                output_hidden_states=all_layers,
                mask_time_indices=self._time_mask(len(num_frames), num_hidden, lengths.device),
            )
        layers = layers_of(output, all_layers)
        # SEW's inner layers stand at the lower rate.
        real = num_frames // self.frame_multiple if all_layers else num_frames
        return layers, frame_mask(real, layers[-1].shape[1])

    def _time_mask(self, batch_size: int, num_frames: int, device: torch.device) -> Tensor | None:
        """SpecAugment's mask (B, F) where its spans are longer than any clip: none.

        None leaves it to the model, which refuses a span that is longer than its longest row.
        """
        config = self.config
        is_on = getattr(config, "apply_spec_augment", True) and config.mask_time_prob > 0
        if not (self.training and is_on) or num_frames >= config.mask_time_length:
            return None
        return torch.zeros(batch_size, num_frames, dtype=torch.bool, device=device)

    def _set_lengths(self, num_samples: list[int], num_frames: list[int]) -> None:
        self.model.feature_extractor.lengths = num_samples
        positions = getattr(self.model.encoder, "pos_conv_embed", None)
        for part in (positions, getattr(positions, "batch_norm", None)):
            if isinstance(part, _RealPositions | _RealBatchNorm):
                part.lengths = num_frames


class _RealConvolutions(nn.Module):
    """The convolutions of a speech model over the real samples of one utterance at a time.

    ``lengths`` are those of the next batch. Names of the parameters stay as they were.
    """

    lengths: list[int]

    def __init__(self, convolutions: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.conv_layers = convolutions.conv_layers

    def forward(self, waveform: Tensor) -> Tensor:
        """(B, T) to (B, D, F)."""
        rows = zip(waveform, self.lengths, strict=True)
        frames = [self._convolve(row[None, :length]) for row, length in rows]
        return pad_sequence(frames, batch_first=True).transpose(1, 2)

    def _convolve(self, waveform: Tensor) -> Tensor:
        hidden = waveform[:, None]
        for layer in self.conv_layers:
            hidden = layer(hidden)
        return hidden[0].T


class _RealPositions(nn.Module):
    """Data2Vec's positional convolutions, one utterance at a time.

    There are several, each of which would carry what padding became into real frames.
    """

    lengths: list[int]

    def __init__(self, positions: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.layers = positions.layers

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, F, D) to (B, F, D)."""
        rows = zip(hidden, self.lengths, strict=True)
        placed = pad_sequence(
            [self._convolve(row[None, :length]) for row, length in rows], batch_first=True
        )
        return nn.functional.pad(placed, (0, 0, 0, hidden.shape[1] - placed.shape[1]))

    def _convolve(self, hidden: Tensor) -> Tensor:
        hidden = hidden.transpose(1, 2)
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden[0].T


class _RealBatchNorm(nn.BatchNorm1d):
    """HuBERT's batch normalisation before its positional convolution, over real frames alone.

    The padded ones stay zero: shifted like the others they would reach into real frames through
    the convolution. Where its weights are not trained, its statistics are not either. ``lengths``
    are those of the next batch; without them every frame is real.
    """

    lengths: list[int] | None = None

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, D, F) to (B, D, F)."""
        lengths = [hidden.shape[2]] * len(hidden) if self.lengths is None else self.lengths
        real = frame_mask(torch.tensor(lengths, device=hidden.device), hidden.shape[2])
        frames = hidden.transpose(1, 2)
        normed = nn.functional.batch_norm(
            frames[real],
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=self.training and self.weight.requires_grad,
            momentum=0.1 if self.momentum is None else self.momentum,
            eps=self.eps,
        )
        return torch.zeros_like(frames).masked_scatter(real[..., None], normed).transpose(1, 2)


class FastWavLMAttention(WavLMAttention):
    """The same values from a plain product and softmax, or torch's fused attention on a GPU.

    transformers calls ``F.multi_head_attention_forward``, which in evaluation under bfloat16
    autocast on a CPU copies inside a fused path, and which passes by what is put around the
    projections, such as low-rank updates. Weights are given back with ``keeps_weights`` alone.
    """

    keeps_weights = False

    def torch_multi_head_self_attention(  # type: ignore[override]
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None,
        gated_position_bias: Tensor,
        output_attentions: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend; gives (B, F, D), and the weights (B, H, F, F) where they are kept.

        Args:
            hidden_states: (B, F, D).
            attention_mask: (B, F), 1 where a frame is real, or None.
            gated_position_bias: (B * H, F, F), added to the scores.
            output_attentions: Given by transformers before 5.16, and read by nothing here.
        """
        batch_size, num_frames, _ = hidden_states.shape
        shape = (batch_size, num_frames, self.num_heads, self.head_dim)
        query, key, value = (
            projection(hidden_states).view(shape).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        bias = gated_position_bias.view(batch_size, self.num_heads, num_frames, num_frames)
        if attention_mask is not None:
            padded = attention_mask.ne(1)[:, None, None]
            bias = bias.masked_fill(padded, torch.finfo(bias.dtype).min)
        dropout = self.dropout if self.training else 0.0
        weights: Tensor | None = None
        if hidden_states.is_cuda and not self.keeps_weights:
            attended = nn.functional.scaled_dot_product_attention(
                query, key, value, attn_mask=bias.to(query.dtype), dropout_p=dropout
            )
        else:
            scores = (query * self.scaling) @ key.transpose(2, 3)
            weights = (scores + bias).softmax(dim=-1)
            attended = nn.functional.dropout(weights, dropout).to(value.dtype) @ value
        kept = weights if self.keeps_weights else None
        return self.out_proj(attended.transpose(1, 2).flatten(2)), kept


def use_fast_attention(model: Any) -> None:  # noqa: ANN401
    """Make a WavLM model attend so, in place; its parameters stay as they are."""
    for module in model.modules():
        if type(module) is WavLMAttention:
            module.__class__ = FastWavLMAttention


def _receptive_field(kernels: list[int], strides: list[int]) -> int:
    """Samples that one frame of a stack of convolutions sees."""
    samples = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        samples = (samples - 1) * stride + kernel
    return samples
