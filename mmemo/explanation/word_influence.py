"""Which words speak for a class over a set of explanations, and which of them carry grammar."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from mmemo.evaluation.mean_estimates import mean_interval
from mmemo.explanation.members import SetMember

MAX_WORDS = 20

CONTENT = (
    "alone amount amoungst back became become becomes becoming bill bottom call co con cry de "
    "describe detail due eg eight eleven empty etc fifteen fifty fill find fire first five former "
    "formerly forty found four front full get give go hundred ie inc interest keep last latter "
    "latterly least ltd made mill move name namely next nine part please put re same see seem "
    "seemed seeming seems serious show side sincere six sixty system take ten thick thin third "
    "three top twelve twenty two un via whole"
)
"""What scikit-learn's stop list holds beside function words.

It was made for retrieval: verbs, nouns, adjectives, numbers and abbreviations are on it. Source:
Nothman, Qin and Yurchak 2018, "Stop word lists in free open-source software packages".
"""

ADDED = "did does doing gonna gotta having just ought shall theirs till unless wanna"
"""Function words that it lacks."""

SUBJECTS = (
    "i you he she it we they that this there here who what where when why how everything "
    "everybody everyone somebody someone something nobody nothing one"
)
AUXILIARIES = (
    "ai are ca could did do does had has have is might must need sha should was were wo would"
)
MODALS = "could might must should would"
HOMOGRAPHS = frozenset({"hell", "shed", "shell", "wed"})
"""Contractions that are a word of content without their apostrophe.

Others are too, but hardly ever: MELD has "I'll" 217 times and "ill" once, "I'd" 72 times and "id"
once; "he'll" 16 times and "hell" 30 times.
"""


@dataclass(frozen=True)
class InfluentialWord:
    """A word with one of the highest mean attributions to an explained class.

    Args:
        class_name: The explained class.
        method: One of ``METHODS``.
        word: Without case and punctuation around it.
        count: Its occurrences.
        mean: Over occurrences, of F.
        low: Of its 95 % interval, by t over units; None below five of them.
        high: The upper bound.
        num_units: Units that the occurrences belong to.
    """

    class_name: str
    method: str
    word: str
    count: int
    mean: float
    low: float | None
    high: float | None
    num_units: int


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
    class_name: str, members: Sequence[SetMember], method: str, min_count: int
) -> list[InfluentialWord]:
    """The words with the highest mean attribution to one explained class.

    Args:
        class_name: The class.
        members: Explanations of that class.
        method: One of ``METHODS``.
        min_count: A word that occurs less often is left out: its mean says nothing.

    Returns:
        At most 20, the largest mean first.
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
        InfluentialWord(
            class_name, method, word, len(found[word]), **mean_interval(found[word], units[word])
        )
        for word in first
    ]


def _contractions() -> frozenset[str]:
    """Contractions of function words, without their apostrophe."""
    found = {
        f"{subject}{end}" for subject in SUBJECTS.split() for end in ("s", "re", "ve", "ll", "d")
    }
    found |= {f"{auxiliary}nt" for auxiliary in AUXILIARIES.split()}
    found |= {f"{modal}ve" for modal in MODALS.split()} | {"im", "lets"}
    # "ones", "whore" and "hered" are no contractions that anybody writes.
    return frozenset(found - HOMOGRAPHS - {"ones", "whore", "hered", "therere", "herere"})


CONTENT_WORDS = frozenset(CONTENT.split())
FUNCTION_WORDS = (ENGLISH_STOP_WORDS - CONTENT_WORDS) | frozenset(ADDED.split()) | _contractions()


def is_function_word(word: str) -> bool:
    """Whether a plain word is a function word, or contracts one: "don't", "dont", "it's".

    Args:
        word: In lower case, without punctuation around it; the cleaning of transcripts takes the
            apostrophe away too.
    """
    if "'" not in word:
        return word in FUNCTION_WORDS
    # "he" of "he'll"; "can't" has no such part.
    return word.split("'")[0] in FUNCTION_WORDS or word.replace("'", "") in FUNCTION_WORDS
