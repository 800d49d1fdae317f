"""What the loader needs of an encoder: how it wants its input."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class AudioFrontend(Protocol):
    """How an audio encoder wants its sound.

    ``min_samples`` is the shortest waveform it takes; ``fixed_samples`` the one length that
    every waveform is padded to, or None where padding does not change the answer.
    """

    sample_rate: int
    min_samples: int
    fixed_samples: int | None

    def preprocess(self, waveform: Tensor) -> Tensor:
        """Prepare one utterance (T,); run by the loader."""
        ...


class TextFrontend(Protocol):
    """How a text encoder wants its text."""

    pad_token_id: int

    def tokenize(self, transcript: str) -> list[int]:
        """Token ids of one transcript, special tokens included; run by the loader."""
        ...
