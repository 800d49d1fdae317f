"""The words of a transcript, and which tokens are whose."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

Span = tuple[int, int]


@dataclass(frozen=True)
class Word:
    """A word of a transcript: what stands between white space.

    Args:
        text: As it is written, punctuation included.
        start: Its first character in the transcript.
        stop: The character behind its last one.
        is_read: False where the text encoder's ``max_tokens`` cut it off.
    """

    text: str
    start: int
    stop: int
    is_read: bool = True


def word_spans(transcript: str) -> list[Span]:
    """Characters [start, stop) of each word."""
    return [match.span() for match in re.finditer(r"\S+", transcript)]


def words_of_tokens(transcript: str, words: Sequence[Span], tokens: Sequence[Span]) -> list[int]:
    """The word that each token belongs to.

    It is the one with the token's first character that is no white space: some tokenizers put a
    word's leading space into its span. White space alone belongs to the next word, or to the last.

    Args:
        transcript: The text.
        words: Characters of its words, at least one.
        tokens: Characters of its tokens.

    Returns:
        An index of ``words`` for each token.
    """
    found = []
    for start, stop in tokens:
        token = transcript[start:stop]
        first = start + len(token) - len(token.lstrip())
        behind = (index for index, (_, end) in enumerate(words) if first < end)
        found.append(next(behind, len(words) - 1))
    return found


def find_own_tokens(all_ids: Sequence[int], own_ids: Sequence[int]) -> Span:
    """Where a transcript's tokens stand among special ones; the last of them may be cut off.

    Args:
        all_ids: What the model reads.
        own_ids: The transcript's tokens, not cut.

    Returns:
        Positions [start, stop) in ``all_ids``; an empty span if none of them is there.
    """
    for length in range(min(len(all_ids), len(own_ids)), 0, -1):
        wanted = list(own_ids[:length])
        for start in range(len(all_ids) - length + 1):
            if list(all_ids[start : start + length]) == wanted:
                return start, start + length
    return 0, 0
