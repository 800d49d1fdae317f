"""What the loader needs of an encoder: how it wants its input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Tokens:
    """Tokens of one utterance.

    Args:
        ids: Token ids (L,), special tokens included.
        own: Where the utterance's own tokens begin and end, if there is context beside them;
            None where all are its own.
    """

    ids: list[int]
    own: tuple[int, int] | None = None


class TextFrontend(Protocol):
    """How a text encoder wants its text."""

    pad_token_id: int

    def tokenize(
        self, transcript: str, before: Sequence[str] = (), after: Sequence[str] = ()
    ) -> Tokens:
        """Tokens of one transcript between those said before and after it; run by the loader.

        Args:
            transcript: The utterance.
            before: Earlier utterances that are its context, oldest first.
            after: Later ones, oldest first.
        """
        ...
