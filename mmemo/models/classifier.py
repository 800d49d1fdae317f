"""The dual encoder: encoders, fusion, head."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import Tensor, nn

from mmemo.data.batch import AudioFeatures, Batch
from mmemo.errors import InputError
from mmemo.models.protocols import AudioEncoder, TextEncoder


class EmotionClassifier(nn.Module):
    """Encoders, then fusion, then dropout and two linear layers with ReLU between them.

    Source: Pandey et al. 2025, J. Intell. 13(12):159. One encoder left out gives the unimodal
    baseline of the other.

    Args:
        audio_encoder: Sound to features, or None.
        text_encoder: Text to features, or None.
        fusion: Builds the fusion from {modality: D_m}.
        num_classes: C.
        hidden_dim: Features between the two layers.
        dropout: Before the first layer.

    Raises:
        InputError: If there is no encoder.
    """

    def __init__(
        self,
        audio_encoder: AudioEncoder | None,
        text_encoder: TextEncoder | None,
        fusion: Callable[[dict[str, int]], nn.Module],
        num_classes: int,
        hidden_dim: int = 256,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        if audio_encoder is None and text_encoder is None:
            raise InputError(
                "classifier: expected an audio encoder, a text encoder or both, got "
                "audio_encoder=none and text_encoder=none; leave one of them out"
            )
        self.audio_encoder = audio_encoder
        self.text_encoder = text_encoder
        encoders = {"audio": audio_encoder, "text": text_encoder}
        self.fusion = fusion({name: e.output_dim for name, e in encoders.items() if e is not None})
        self.head = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(cast(int, self.fusion.output_dim), hidden_dim),
            nn.ReLU(),
            nn.Linear(hidden_dim, num_classes),
        )

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, C)."""
        pooled: dict[str, Tensor] = {}
        if self.audio_encoder is not None:
            if batch.audio is None:
                raise ValueError("expected a batch with sound for the audio encoder, got none")
            audio = batch.audio
            encoded = audio if isinstance(audio, AudioFeatures) else self.audio_encoder(audio)
            pooled["audio"] = encoded.pooled
        if self.text_encoder is not None:
            if batch.text is None:
                raise ValueError("expected a batch with text for the text encoder, got none")
            pooled["text"] = self.text_encoder(batch.text).pooled
        logits: Tensor = self.head(self.fusion(pooled))
        return logits
