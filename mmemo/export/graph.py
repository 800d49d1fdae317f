"""A run's model as one graph: samples and token ids in, logits out, any batch and length.

Encoders that look at each utterance's real length in Python, one after the other, cannot be
traced so. What stands here in their place gives the same for all utterances at once.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from mmemo.data.batch import AudioInput, Batch, TextInput
from mmemo.errors import InputError
from mmemo.models.audio_encoders import PretrainedAudioEncoder
from mmemo.models.classifier import EmotionClassifier
from mmemo.models.logmel_encoder import LogMelEncoder
from mmemo.models.scratch_text_encoder import ScratchTextEncoder
from mmemo.models.spectrogram_backbones import WhisperBackbone, WhisperLogMel
from mmemo.models.speech_backbones import frame_mask
from mmemo.models.text_encoders import PretrainedTextEncoder
from mmemo.models.waveform_backbone import NORMALISATION_EPSILON, WaveformBackbone

SAMPLES, NUM_SAMPLES = "samples", "num_samples"
TOKEN_IDS, NUM_TOKENS, OWN_TOKENS = "token_ids", "num_tokens", "own_tokens"
LOGITS = "logits"

GROUP_NORM_FAMILIES = ("wavlm", "wav2vec2", "hubert", "unispeech", "unispeech-sat")
"""Speech models whose padded frames change nothing of the real ones, but for the norms that are
replaced here."""


class ExportableModel(nn.Module):
    """A classifier whose inputs are tensors alone.

    ``input_names`` are those of ``forward``, in order: of sound ``samples`` (B, T) float32 and
    ``num_samples`` (B,) int64; of text ``token_ids`` (B, L) int64 and ``num_tokens`` (B,) int64,
    and, where context or a prompt is read, ``own_tokens`` (B, 2) int64: where the utterance's own
    begin and end.

    Args:
        classifier: Of a trained run; it stays as it is.
        reads_context: Whether token ids hold context.

    Raises:
        InputError: If one of its encoders, or its head, has no form for a graph.
    """

    def __init__(self, classifier: EmotionClassifier, reads_context: bool) -> None:
        super().__init__()
        _check_head(classifier)
        self.classifier = copy.deepcopy(classifier).float().eval()
        self.standardises = False
        names: list[str] = []
        audio, text = self.classifier.audio_encoder, self.classifier.text_encoder
        if audio is not None:
            self.standardises = _prepare_audio(audio)
            names += [SAMPLES, NUM_SAMPLES]
        if text is not None:
            _prepare_text(text)
            names += [TOKEN_IDS, NUM_TOKENS]
            has_prompt = getattr(text, "prompt", None) is not None
            names += [OWN_TOKENS] if reads_context or has_prompt else []
        self.input_names = tuple(names)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Logits (B, C)."""
        given = dict(zip(self.input_names, inputs, strict=True))
        first = given[self.input_names[0]]
        batch = Batch((), first[:, 0], self._audio(given), self._text(given))
        return self.classifier(batch)  # type: ignore[no-any-return]

    def _audio(self, given: dict[str, Tensor]) -> AudioInput | None:
        if SAMPLES not in given:
            return None
        samples = given[SAMPLES]
        mask = _mask(samples, given[NUM_SAMPLES])
        if self.standardises:
            real = mask.to(samples.dtype)
            count = real.sum(dim=1, keepdim=True)
            centred = (samples - (samples * real).sum(dim=1, keepdim=True) / count) * real
            variance = (centred * centred).sum(dim=1, keepdim=True) / count
            samples = centred / torch.sqrt(variance + NORMALISATION_EPSILON)
        return AudioInput(samples, mask)

    def _text(self, given: dict[str, Tensor]) -> TextInput | None:
        if TOKEN_IDS not in given:
            return None
        ids = given[TOKEN_IDS]
        if OWN_TOKENS not in given:
            return TextInput(ids, _mask(ids, given[NUM_TOKENS]))
        positions = torch.arange(ids.shape[1], device=ids.device)
        start, stop = given[OWN_TOKENS][:, :1], given[OWN_TOKENS][:, 1:]
        own = (start <= positions) & (positions < stop)
        return TextInput(ids, _mask(ids, given[NUM_TOKENS]), own)


def _mask(padded: Tensor, lengths: Tensor) -> Tensor:
    return torch.arange(padded.shape[1], device=padded.device) < lengths[:, None]


def _prepare_audio(encoder: object) -> bool:
    """Replace what cannot be traced; returns whether samples are standardised before it."""
    if type(encoder) is LogMelEncoder:
        encoder.mel = ConvolutionalMel(encoder.mel)  # type: ignore[assignment]
        return False
    if type(encoder) is PretrainedAudioEncoder:
        backbone = encoder.backbone
        if isinstance(backbone, WhisperBackbone):
            backbone.log_mel = ConvolutionalWhisperMel(  # type: ignore[assignment]
                backbone.log_mel
            )
            return False
        kind = str(getattr(backbone.config, "model_type", ""))
        is_known = kind in GROUP_NORM_FAMILIES and not getattr(
            backbone.config, "conv_pos_batch_norm", False
        )
        if isinstance(backbone, WaveformBackbone) and is_known:
            encoder.backbone = GraphWaveformBackbone(backbone)  # type: ignore[assignment]
            return True
        raise not_exportable("audio", f"{type(encoder).__name__} over {kind}")
    raise not_exportable("audio", type(encoder).__name__)


def _prepare_text(encoder: object) -> None:
    if type(encoder) is ScratchTextEncoder:
        encoder.transformer = GraphTransformer(encoder.transformer)  # type: ignore[assignment]
    elif type(encoder) is not PretrainedTextEncoder:
        raise not_exportable("text", type(encoder).__name__)


def _check_head(classifier: EmotionClassifier) -> None:
    if not classifier.has_gradient:
        raise InputError(
            "format=onnx: expected a head of torch's, an estimator of scikit-learn's has no form "
            "for a graph here; format=huggingface takes any"
        )


def not_exportable(modality: str, name: str, reason: str | None = None) -> InputError:
    """What to raise for an encoder that has no form for a graph, or whose graph is another."""
    return InputError(
        f"format=onnx: expected encoders that can be written as a graph, the {modality} encoder "
        f"{name} cannot{f' ({reason})' if reason else ''}; format=huggingface takes any"
    )


class GraphTransformer(nn.Module):
    """torch's transformer with its attention written out, which is traced for any length.

    Args:
        transformer: With ``batch_first`` and ``norm_first``; its parameters are shared.
    """

    def __init__(self, transformer: nn.TransformerEncoder) -> None:
        super().__init__()
        self.layers = transformer.layers
        self.norm = transformer.norm

    def forward(self, hidden: Tensor, src_key_padding_mask: Tensor) -> Tensor:
        """(B, L, D) and (B, L), True where a token is padding, to (B, L, D)."""
        for layer in self.layers:
            part: Any = layer
            normed = part.norm1(hidden)
            hidden = hidden + _attended(part.self_attn, normed, src_key_padding_mask)
            wide = part.activation(part.linear1(part.norm2(hidden)))
            hidden = hidden + part.linear2(wide)
        return hidden if self.norm is None else self.norm(hidden)


def _attended(attention: Any, hidden: Tensor, is_padding: Tensor) -> Tensor:  # noqa: ANN401
    def projected(part: int) -> Tensor:
        weight = attention.in_proj_weight.chunk(3)[part]
        bias = attention.in_proj_bias.chunk(3)[part]
        shape = (*hidden.shape[:2], attention.num_heads, attention.head_dim)
        return nn.functional.linear(hidden, weight, bias).reshape(shape).transpose(1, 2)

    query, key, value = (projected(part) for part in range(3))
    scores = query @ key.transpose(2, 3) / attention.head_dim**0.5
    scores = scores.masked_fill(is_padding[:, None, None], float("-inf"))
    joined = (scores.softmax(dim=3) @ value).transpose(1, 2).flatten(2)
    out: Tensor = attention.out_proj(joined)
    return out


class ConvolutionalMel(nn.Module):
    """A mel spectrogram of power without complex numbers: the transform is a convolution.

    Args:
        mel: torchaudio's ``MelSpectrogram`` with ``center=False``.
    """

    def __init__(self, mel: Any) -> None:  # noqa: ANN401
        super().__init__()
        spectrogram = mel.spectrogram
        self.power = ConvolutionalPower(
            spectrogram.window, int(spectrogram.n_fft), int(spectrogram.hop_length)
        )
        self.register_buffer("filters", mel.mel_scale.fb.detach().clone())

    def forward(self, waveform: Tensor) -> Tensor:
        """(B, T) to (B, num_mels, F)."""
        power = self.power(waveform)
        return (power.transpose(1, 2) @ self.filters).transpose(1, 2)  # type: ignore[no-any-return]


class ConvolutionalPower(nn.Module):
    """The power of a short-time Fourier transform, (B, T) to (B, n_fft / 2 + 1, F).

    Args:
        window: (n_fft,).
        n_fft: Samples of a window.
        hop_samples: From frame to frame.
    """

    def __init__(self, window: Tensor, n_fft: int, hop_samples: int) -> None:
        super().__init__()
        time = torch.arange(n_fft, dtype=torch.float64)
        frequency = torch.arange(n_fft // 2 + 1, dtype=torch.float64)[:, None]
        angle = 2 * torch.pi * frequency * time / n_fft
        basis = torch.cat([angle.cos(), -angle.sin()]) * window.double()
        self.register_buffer("basis", basis.float()[:, None])
        self.hop_samples = hop_samples

    def forward(self, waveform: Tensor) -> Tensor:
        """(B, T) to (B, n_fft / 2 + 1, F); frames lie inside the sound."""
        found = nn.functional.conv1d(waveform[:, None], self.basis, stride=self.hop_samples)  # type: ignore[arg-type]
        real, imaginary = found.chunk(2, dim=1)
        return real * real + imaginary * imaginary


class ConvolutionalWhisperMel(nn.Module):
    """Whisper's log-mel spectrogram, without complex numbers.

    Args:
        log_mel: As it is in torch.
    """

    def __init__(self, log_mel: WhisperLogMel) -> None:
        super().__init__()
        self.n_fft = log_mel.n_fft
        self.power = ConvolutionalPower(log_mel.window, log_mel.n_fft, log_mel.hop_samples)
        self.register_buffer("filters", log_mel.mel_filters.detach().clone())

    def forward(self, waveform: Tensor) -> Tensor:
        """(B, T) to (B, num_mels, F)."""
        half = self.n_fft // 2
        centred = nn.functional.pad(waveform[:, None], (half, half), mode="reflect")[:, 0]
        power = self.power(centred)[..., :-1]
        log_mel = torch.log10((self.filters.T @ power).clamp(min=1e-10))
        loudest = log_mel.amax(dim=(1, 2), keepdim=True)
        return (torch.maximum(log_mel, loudest - 8.0) + 4.0) / 4.0


class GraphWaveformBackbone(nn.Module):
    """A speech model over waveforms, for a whole batch at once.

    Convolutions see the padding; what of it could reach real frames, norms over time and the
    positional convolution, is masked.

    Args:
        backbone: As it is in torch; its parameters are shared.
    """

    def __init__(self, backbone: WaveformBackbone) -> None:
        super().__init__()
        self.model: Any = backbone.model
        self.frame_samples = backbone.frame_samples
        self.hop_samples = backbone.hop_samples
        self.fixed_samples = backbone.fixed_samples
        self.config = backbone.config
        layers = self.model.feature_extractor.conv_layers
        self.kernels = [int(layer.conv.kernel_size[0]) for layer in layers]
        self.strides = [int(layer.conv.stride[0]) for layer in layers]
        self.convolutions = layers

    def forward(self, audio: AudioInput, all_layers: bool) -> tuple[list[Tensor], Tensor]:
        """Encode (B, T) into frames (B, F, D)."""
        is_fixed = self.fixed_samples is not None
        num_frames = (audio.mask.sum(dim=1) - self.frame_samples) // self.hop_samples + 1
        # Samples behind the last whole frame are not heard.
        lengths = (num_frames.clamp(min=1) - 1) * self.hop_samples + self.frame_samples
        hidden = audio.waveform[:, None]
        for layer, kernel, stride in zip(
            self.convolutions, self.kernels, self.strides, strict=True
        ):
            hidden = layer.conv(hidden)
            lengths = (lengths - kernel) // stride + 1
            norm = getattr(layer, "layer_norm", None)
            if isinstance(norm, nn.GroupNorm):
                real = (
                    torch.ones_like(hidden[:, 0]) > 0 if is_fixed else _mask(hidden[:, 0], lengths)
                )
                hidden = _masked_group_norm(hidden, real, norm)
            elif norm is not None:
                hidden = norm(hidden.transpose(1, 2)).transpose(1, 2)
            hidden = layer.activation(hidden)
        projected = self.model.feature_projection(hidden.transpose(1, 2))
        frames = projected[0] if isinstance(projected, tuple) else projected
        mask = frame_mask(lengths, frames.shape[1])
        inner: list[Tensor] = []
        hooks = [
            layer.register_forward_pre_hook(lambda _, given: inner.append(given[0]))
            for layer in self.model.encoder.layers
            if all_layers
        ]
        given = {} if is_fixed else {"attention_mask": mask}
        last = self.model.encoder(frames, **given).last_hidden_state
        for hook in hooks:
            hook.remove()
        return [*inner, last], mask


def _masked_group_norm(hidden: Tensor, mask: Tensor, norm: nn.GroupNorm) -> Tensor:
    """A norm of each channel over its real frames: (B, D, F) to (B, D, F)."""
    real = mask[:, None].to(hidden.dtype)
    count = real.sum(dim=2, keepdim=True)
    centred = hidden - (hidden * real).sum(dim=2, keepdim=True) / count
    variance = (centred * centred * real).sum(dim=2, keepdim=True) / count
    normed = centred / torch.sqrt(variance + norm.eps)
    return normed * norm.weight[:, None] + norm.bias[:, None]
