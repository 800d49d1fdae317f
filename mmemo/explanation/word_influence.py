"""Which words speak for a class, over a set of explanations."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from mmemo.evaluation.mean_estimates import mean_interval
from mmemo.explanation.explained_set import SetMember

MAX_WORDS = 20


def plain_word(text: str) -> str:
    """A word without case and without the punctuation around it; empty if nothing is left."""
    return re.sub(r"^[\W_]+|[\W_]+$", "", text.lower().replace("’", "'"))


def attributed_words(member: SetMember, method: str) -> Iterator[tuple[str, float]]:
    """Plain words of an utterance that the model read, with their attribution."""
    values = member.words(method)
    if values is None:
        return
    for word, value in zip(member.explanation.words, values, strict=True):
        plain = plain_word(word.text)
        if word.is_read and plain:
            yield plain, float(value)


def influential_words(
    members: Sequence[SetMember], method: str, min_count: int
) -> list[dict[str, Any]]:
    """The words with the highest mean attribution to one explained class.

    Args:
        members: Explanations of that class.
        method: One of ``METHODS``.
        min_count: A word that occurs less often is left out: its mean says nothing.

    Returns:
        At most 20 rows of word, count, mean, low, high (of F), num_units, the largest mean first;
        low and high are None below five units.
    """
    found: dict[str, list[float]] = defaultdict(list)
    units: dict[str, list[str]] = defaultdict(list)
    for member in members:
        for word, value in attributed_words(member, method):
            found[word].append(value)
            units[word].append(member.unit)
    means = {
        word: sum(values) / len(values)
        for word, values in found.items()
        if len(values) >= min_count
    }
    first = sorted(means, key=lambda word: (-means[word], word))[:MAX_WORDS]
    return [
        {"word": word, "count": len(found[word]), **mean_interval(found[word], units[word])}
        for word in first
    ]
