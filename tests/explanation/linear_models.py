"""Dual encoders whose attributions are known in closed form."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from mmemo.data.batch import AudioInput, TextInput
from mmemo.data.frontends import Tokens
from mmemo.explanation.explanation import Word
from mmemo.explanation.inputs import UtteranceInput, read_words
from mmemo.models.classifier import EmotionClassifier
from mmemo.models.fusion import Fusion
from mmemo.models.protocols import EncodedModality, FeatureDims, Features, OwnTokens

RATE = 1000
"""A frame of 20 ms has 20 samples."""


class WeighedSamples(nn.Module):
    """One feature: the sum of samples times weights (T,)."""

    sample_rate, min_samples, fixed_samples, frozen = RATE, 1, None, False
    frame_dim = output_dim = 1

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights)

    def preprocess(self, waveform: Tensor) -> Tensor:
        return waveform

    def forward(self, audio: AudioInput) -> Features:
        real = audio.waveform * audio.mask
        pooled = (real[:, : len(self.weights)] * self.weights).sum(dim=1, keepdim=True)
        return Features(pooled[:, None], torch.ones_like(pooled, dtype=torch.bool), pooled)


class Letters(nn.Module):
    """One feature: the sum over tokens of their embedding's product with weights (D,).

    A token is a letter; [0] is padding, [1] begins every text.
    """

    pad_token_id, frozen = 0, False
    frame_dim = output_dim = 1

    def __init__(
        self, embeddings: Tensor, weights: Tensor, mask_token_id: int | None = None
    ) -> None:
        super().__init__()
        self.embeddings = nn.Parameter(embeddings)
        self.weights = nn.Parameter(weights)
        self.mask_token_id = mask_token_id

    def own_tokens(self, transcript: str) -> OwnTokens:
        places = [place for place, letter in enumerate(transcript) if not letter.isspace()]
        ids = [ord(transcript[place]) - ord("a") + 2 for place in places]
        return OwnTokens(ids, [(place, place + 1) for place in places])

    def tokenize(
        self, transcript: str, before: Sequence[str] = (), after: Sequence[str] = ()
    ) -> Tokens:
        return Tokens([1, *self.own_tokens(transcript).ids])

    def embed(self, input_ids: Tensor) -> Tensor:
        return self.embeddings[input_ids]

    def forward(self, text: TextInput, inputs_embeds: Tensor | None = None) -> Features:
        embeddings = self.embed(text.input_ids) if inputs_embeds is None else inputs_embeds
        frames = (embeddings @ self.weights)[:, :, None] * text.mask[:, :, None]
        return Features(frames, text.mask, frames.sum(dim=1))


class SideBySide(Fusion):
    """Features of all modalities; the first class' logit is their sum or product, the other's 0."""

    def __init__(self, input_dims: Mapping[str, FeatureDims], product: bool) -> None:
        super().__init__(input_dims, modality_dropout=0.0)
        self.product = product
        self.output_dim = 1

    def fuse(self, features: Mapping[str, EncodedModality], present: Tensor) -> Tensor:
        together = torch.cat([features[name].pooled for name in self.modalities], dim=1)
        return together.prod(1, keepdim=True) if self.product else together.sum(1, keepdim=True)

    def build_head(self, layers: Callable[[int], nn.Module]) -> nn.Module:
        head = nn.Linear(1, 2, bias=False)
        head.weight = nn.Parameter(torch.tensor([[1.0], [0.0]]))
        return head


def classifier(
    audio: nn.Module | None, text: nn.Module | None, product: bool = False
) -> EmotionClassifier:
    fusion = partial(SideBySide, product=product)
    return EmotionClassifier(audio, text, fusion, num_classes=2)  # type: ignore[arg-type]


def given(
    waveform: Tensor | None, encoder: Letters | None, transcript: str = "", num_padded: int = 0
) -> UtteranceInput:
    """An utterance of those samples (T,) and that text, with padding behind the samples."""
    audio = text = None
    words: tuple[Word, ...] = ()
    token_words = torch.zeros(0, 0, dtype=torch.bool)
    if waveform is not None:
        mask = torch.arange(len(waveform) + num_padded) < len(waveform)
        audio = AudioInput(nn.functional.pad(waveform, (0, num_padded))[None], mask[None])
    if encoder is not None:
        ids = torch.tensor([encoder.tokenize(transcript).ids])
        text = TextInput(ids, torch.ones_like(ids, dtype=torch.bool))
        words, token_words = read_words(encoder, transcript, text)  # type: ignore[arg-type]
    return UtteranceInput("test/a", 1, audio, waveform, RATE, text, transcript, words, token_words)


def saved(folder: Path) -> dict[str, bytes]:
    """Contents of a folder's files, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}
