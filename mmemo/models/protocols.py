"""What every encoder offers, and what it gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from torch import Tensor

from mmemo.data.batch import AudioInput, TextInput
from mmemo.data.frontends import AudioFrontend, TextFrontend
from mmemo.models.attentions import Attentions


@dataclass(frozen=True)
class Features:
    """What an encoder makes of a batch.

    Args:
        frames: (B, F, D), one vector for each frame of sound or token.
        mask: (B, F), True where the frame is real.
        pooled: (B, D_out), one vector for each utterance.
    """

    frames: Tensor
    mask: Tensor
    pooled: Tensor


@dataclass(frozen=True)
class PooledFeatures:
    """Features that were computed before: ``pooled`` (B, D_out) alone."""

    pooled: Tensor


EncodedModality = Features | PooledFeatures
"""What a fusion gets of a modality: features with their frames, or pooled ones that were kept."""


@dataclass(frozen=True)
class FeatureDims:
    """Sizes of an encoder's features: D_out of ``pooled``, D of each of ``frames``."""

    pooled: int
    frames: int


class AudioEncoder(AudioFrontend, Protocol):
    """Sound to features: frames of ``frame_dim``, pooled to ``output_dim``.

    ``frozen`` says that no weight of its model is trained and nothing is random: what
    ``pooled_layers`` gives is computed once and kept, and ``from_pooled_layers`` goes on from it.

    Two attributes may be left out. ``trains_every_weight`` says that ``pooled`` has a gradient by
    each trained weight in every step; ``pools_with_weights``, that some of these weights stand
    behind the frames, so that a fusion of frames does not train them.
    """

    frame_dim: int
    output_dim: int
    frozen: bool

    def __call__(self, audio: AudioInput) -> Features:
        """Encode a batch."""
        ...

    def pooled_layers(self, audio: AudioInput) -> Tensor:
        """Pooled features of each of N layers that are heard: (B, N, D_out); if it is frozen."""
        ...

    def from_pooled_layers(self, pooled: Tensor) -> Tensor:
        """From those to one vector for each utterance (B, D_out)."""
        ...

    def save_assets(self, folder: Path) -> None:
        """Write what is needed, beside the weights, to build the encoder again."""
        ...


@runtime_checkable
class AttendingAudioEncoder(Protocol):
    """An encoder of sound that can tell how its layers attend."""

    def attentions(self, audio: AudioInput) -> Attentions:
        """Attention between frames, with the layers of a batch empty where it cannot."""
        ...


@runtime_checkable
class AttendingTextEncoder(Protocol):
    """A text encoder that can tell how its layers attend."""

    def attentions(self, text: TextInput) -> Attentions:
        """Attention between tokens."""
        ...


@dataclass(frozen=True)
class OwnTokens:
    """Tokens of a transcript alone, without special tokens and not cut.

    Args:
        ids: Token ids (L,).
        spans: For each the characters [start, stop) of the transcript that it stands for.
    """

    ids: list[int]
    spans: list[tuple[int, int]]


class TextEncoder(TextFrontend, Protocol):
    """Transcripts to features, as ``AudioEncoder``.

    ``mask_token_id`` is the token that stands for a hidden one, or None where there is none.
    """

    frame_dim: int
    output_dim: int
    frozen: bool

    @property
    def mask_token_id(self) -> int | None:
        """Token that stands for a hidden one."""
        ...

    def own_tokens(self, transcript: str) -> OwnTokens:
        """A transcript's tokens and where in it they are."""
        ...

    def embed(self, input_ids: Tensor) -> Tensor:
        """The tokens' own embeddings (B, L, D), which ``inputs_embeds`` stands in for."""
        ...

    def fit(self, transcripts: Sequence[str]) -> None:
        """Learn what has to be known of the training split before training."""
        ...

    def __call__(self, text: TextInput, inputs_embeds: Tensor | None = None) -> Features:
        """Encode a batch; ``inputs_embeds`` (B, L, D) stands in for the tokens' embeddings."""
        ...

    def pooled_layers(self, text: TextInput) -> Tensor:
        """Pooled features of each of N layers that are read: (B, N, D_out)."""
        ...

    def from_pooled_layers(self, pooled: Tensor) -> Tensor:
        """From those to one vector for each utterance (B, D_out)."""
        ...

    def save_assets(self, folder: Path) -> None:
        """Write what is needed, beside the weights, to build the encoder again."""
        ...
