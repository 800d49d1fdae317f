"""Cleaning of transcripts before they are tokenised."""

from __future__ import annotations

from collections.abc import Callable

TextCleaning = Callable[[str], str]


class AlphanumericCleaning:
    """Keep letters, digits and single spaces, as the reproduced paper does.

    Source: Pandey et al. 2025, J. Intell. 13(12):159. Case is kept. Note what it removes: in
    MELD an exclamation mark alone tells much about the emotion.
    """

    def __call__(self, transcript: str) -> str:
        """Clean one transcript; an apostrophe is removed, not replaced ("I'm" to "Im")."""
        kept = "".join(c if c.isalnum() else " " if c.isspace() else "" for c in transcript)
        return " ".join(kept.split())
