"""What a language model is asked behind an utterance: a sentence with a hidden token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mmemo.errors import InputError

MASK = "{mask}"
OPTION = "text_encoder.prompt"


@dataclass(frozen=True)
class Prompt:
    """A sentence with one hidden token, whose vector stands for the utterance.

    Args:
        text: With ``{mask}`` in it.
        tokenizer: Of transformers; None where none came with the checkpoint.

    Raises:
        InputError: If the text has not one hidden token, or the tokenizer knows none.
    """

    text: str
    tokenizer: Any

    def __post_init__(self) -> None:
        """Check text and tokenizer."""
        if self.text.count(MASK) != 1:
            raise InputError(f"{OPTION}: expected a sentence with {MASK} once, got '{self.text}'")
        if getattr(self.tokenizer, "mask_token_id", None) is None:
            raise InputError(
                f"{OPTION}: expected a tokenizer with a token that hides a word, such as RoBERTa's "
                "or BERT's, got one without; name another checkpoint, or leave the prompt out"
            )

    def ids(self) -> tuple[int, ...]:
        """Its tokens, without special ones but the hidden token's."""
        asked = self.text.replace(MASK, str(self.tokenizer.mask_token))
        encoded = self.tokenizer(asked, add_special_tokens=False, verbose=False)
        return tuple(encoded["input_ids"])
