"""The dual encoder: encoders, fusion, where wanted the dialogue, head."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import chain

import torch
from torch import Tensor, nn

from mmemo.data.batch import AudioFeatures, Batch, TextFeatures
from mmemo.data.dialogues import Dialogues
from mmemo.errors import InputError
from mmemo.models.context import ContextModel
from mmemo.models.fusion import Fusion, ModalityVectors
from mmemo.models.protocols import (
    AudioEncoder,
    EncodedModality,
    FeatureDims,
    Features,
    PooledFeatures,
    TextEncoder,
)
from mmemo.models.trainable import trains_every_weight
from mmemo.values import check_real, check_whole


class EmotionClassifier(nn.Module):
    """Encoders, then fusion, then a head: dropout and two linear layers with ReLU between.

    Source: Pandey et al. 2025, J. Intell. 13(12):159. One encoder left out gives the unimodal
    baseline of the other. A fusion may ask for several such heads (``Fusion.build_head``). A
    context model stands between fusion and head, which then answers with the dialogue in view.

    Args:
        audio_encoder: Sound to features, or None.
        text_encoder: Text to features, or None.
        fusion: Builds the fusion from the sizes of each modality's features, and from
            ``num_classes`` where it has a parameter of that name.
        num_classes: C.
        hidden_dim: Features between a head's two layers.
        dropout: Before the first layer.
        context: Builds the context model from the size of what the fusion gives; None for none.

    Raises:
        InputError: If there is no encoder, a number is out of its range, or the fusion has heads of
            its own, which leave no place for a context model.
    """

    has_gradient = True
    """Whether the logits can be differentiated by what the encoders give."""

    def __init__(
        self,
        audio_encoder: AudioEncoder | None,
        text_encoder: TextEncoder | None,
        fusion: Callable[..., Fusion],
        num_classes: int,
        hidden_dim: int = 256,
        dropout: float = 0.2,
        context: Callable[[int], ContextModel] | None = None,
    ) -> None:
        super().__init__()
        self._frozen: tuple[nn.Module, ...] = ()
        if audio_encoder is None and text_encoder is None:
            raise InputError(
                "classifier: expected an audio encoder, a text encoder or both, got "
                "audio_encoder=none and text_encoder=none; leave one of them out"
            )
        check_whole("classifier.hidden_dim", hidden_dim, 1)
        check_real("classifier.dropout", dropout, 0, below=1)
        self.audio_encoder = audio_encoder
        self.text_encoder = text_encoder
        encoders = {"audio": audio_encoder, "text": text_encoder}
        dims = {
            name: FeatureDims(pooled=encoder.output_dim, frames=encoder.frame_dim)
            for name, encoder in encoders.items()
            if encoder is not None
        }
        wants_classes = "num_classes" in inspect.signature(fusion).parameters
        self.fusion = fusion(dims, **({"num_classes": num_classes} if wants_classes else {}))

        def layers(num_features: int) -> nn.Module:
            return nn.Sequential(
                nn.Dropout(dropout),
                nn.Linear(num_features, hidden_dim),
                nn.ReLU(),
                nn.Linear(hidden_dim, num_classes),
            )

        self.context: ContextModel | None = None
        if context is None:
            self.head = self.fusion.build_head(layers)
            return
        if type(self.fusion).build_head is not Fusion.build_head:
            raise InputError(
                "context: expected a fusion that makes one vector of an utterance, got "
                f"{type(self.fusion).__name__}, which has a head of its own; choose "
                "another fusion (fusion=bottleneck), or context=none"
            )
        self.context = context(self.fusion.output_dim)
        self.head = layers(self.context.output_dim)

    @property
    def trains_every_weight(self) -> bool:
        """Whether each step reaches every trained parameter, on batches of all modalities.

        A part says so itself; one of the user's own that says nothing may leave some out.
        """
        encoders = [part for part in (self.audio_encoder, self.text_encoder) if part is not None]
        if self.fusion.needs_frames and any(
            getattr(encoder, "pools_with_weights", False) for encoder in encoders
        ):
            return False
        parts = [*encoders, self.fusion, *([] if self.context is None else [self.context])]
        return all(trains_every_weight(part) for part in parts)

    def freeze(self, *parts: nn.Module) -> None:
        """Keep parts as they are: nothing of them is trained, and nothing in them is random.

        Args:
            parts: An encoder, a projection.
        """
        for part in parts:
            part.requires_grad_(False).eval()
        self._frozen = (*self._frozen, *parts)

    def train(self, mode: bool = True) -> EmotionClassifier:
        """Switch dropout and the like, but for what is frozen."""
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, C).

        Raises:
            InputError: If the batch lacks a modality that the model was not trained without.
        """
        logits = self.classify(self.encode(batch), batch.dialogues)
        # Of a dialogue's utterances those behind the batch's own are context alone.
        return logits if batch.dialogues is None else logits[: len(batch)]

    def classify(
        self, features: Mapping[str, EncodedModality], dialogues: Dialogues | None = None
    ) -> Tensor:
        """Logits (B, C) of modalities that are encoded already.

        Autocast ends here: fusion, context and head compute in the type of their weights, because
        they cost little, and what they round goes into the loss as it is.

        Args:
            features: Of each modality that there is.
            dialogues: Which of the utterances are a dialogue, which a context model reads; None
                where each is one of its own.
        """
        return self.answer(self.fuse(features), dialogues)

    def answer(self, fused: Tensor | ModalityVectors, dialogues: Dialogues | None = None) -> Tensor:
        """Logits (B, C) of what ``fuse`` gives; ``dialogues`` as of ``classify``."""
        with torch.autocast(self._like_head().device.type, enabled=False):
            if self.context is not None and isinstance(fused, Tensor):
                alone = Dialogues.alone(fused.shape[0], fused.device)
                fused = self.context(fused, alone if dialogues is None else dialogues)
            logits: Tensor = self.head(fused)
        return logits

    def fuse(self, features: Mapping[str, EncodedModality]) -> Tensor | ModalityVectors:
        """What the head is given: (B, D), or vectors of each modality."""
        weight = self._like_head()
        with torch.autocast(weight.device.type, enabled=False):
            fused: Tensor | ModalityVectors = self.fusion(
                {name: self._in_type(given, weight.dtype) for name, given in features.items()}
            )
        return fused

    def _like_head(self) -> Tensor:
        """A tensor of the head's type and device: a weight, or what it keeps without any."""
        return next(chain(self.head.parameters(), self.head.buffers()))

    def _in_type(self, encoded: EncodedModality, dtype: torch.dtype) -> EncodedModality:
        pooled = encoded.pooled.to(dtype)
        if self.fusion.needs_frames and isinstance(encoded, Features):
            return replace(encoded, pooled=pooled, frames=encoded.frames.to(dtype))
        return replace(encoded, pooled=pooled)

    def encode(self, batch: Batch) -> dict[str, EncodedModality]:
        """Features of each modality that the batch has and an encoder wants."""
        features: dict[str, EncodedModality] = {}
        if self.audio_encoder is not None and batch.audio is not None:
            audio = batch.audio
            features["audio"] = (
                PooledFeatures(self.audio_encoder.from_pooled_layers(audio.pooled))
                if isinstance(audio, AudioFeatures)
                else self.audio_encoder(audio)
            )
        if self.text_encoder is not None and batch.text is not None:
            text = batch.text
            features["text"] = (
                PooledFeatures(self.text_encoder.from_pooled_layers(text.pooled))
                if isinstance(text, TextFeatures)
                else self.text_encoder(text)
            )
        return features
