"""When two transcripts count as the same text."""

from __future__ import annotations

import unicodedata


def normalise_transcript(text: str) -> str:
    """What is left of a transcript when case, punctuation and spacing are taken away.

    Unicode NFKC, then casefold, then only letters, digits and white space are kept (an
    apostrophe or a dash is removed, not replaced: "I'm" gives "im"), then single spaces. It is
    the text cleaning of Pandey et al. 2025, without regard to case.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(c if c.isalnum() else " " if c.isspace() else "" for c in folded)
    return " ".join(kept.split())
