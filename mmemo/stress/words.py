"""Words made otherwise: errors at a rate, without punctuation, another's; and the rate itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from mmemo.errors import InputError

SUBSTITUTION, DELETION, INSERTION = "substitution", "deletion", "insertion"
KINDS = (SUBSTITUTION, DELETION, INSERTION)

ENDS = re.compile(r"^[\W_]+|[\W_]+$")
MAX_DRAWS = 1000


@dataclass(frozen=True)
class Said:
    """The words of the utterances that are tried.

    Args:
        texts: (N), of each utterance.
        dialogues: (N), what names the dialogue of each.
        orders: (N), the place of each in its dialogue: smaller ones were said earlier.
        vocabulary: The words of the training split, each as often as it is said there.
    """

    texts: tuple[str, ...]
    dialogues: tuple[str, ...]
    orders: tuple[float, ...]
    vocabulary: tuple[str, ...]


class WordChange(Protocol):
    """Makes words otherwise. One that is a dataclass is known again by its settings.

    It may have ``own_only``: True where the words that are read as context stay what they were.
    """

    def __call__(self, said: Said, rng: np.random.Generator) -> list[str]:
        """The words of each utterance (N) as they are read."""
        ...


@dataclass(frozen=True)
class WordErrors:
    """Wrong words, as many as a word error rate says.

    The rate holds over all that is read exactly, but for rounding to whole words: a word that is
    put in is none of its utterance's, and no utterance has both deletions and insertions, so that
    no error undoes another. Where utterances are read that are not answered, it is near the rate
    over those that are.

    Args:
        rate: Errors as a share of the words that were said.
        kinds: Of ``KINDS`` some, equally often.

    Raises:
        InputError: If there is no such kind, or the rate is above 1.
    """

    rate: float
    kinds: tuple[str, ...] = KINDS

    def __post_init__(self) -> None:
        """Check kinds and rate."""
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown or not self.kinds:
            raise InputError(
                f"conditions: expected kinds of word errors, {', '.join(KINDS)}, got "
                f"{', '.join(map(str, unknown)) or 'none'}"
            )
        if not 0 <= self.rate <= 1:
            raise InputError(
                f"conditions: expected a word error rate within 0 and 1, got {self.rate:g}"
            )

    def __call__(self, said: Said, rng: np.random.Generator) -> list[str]:
        """Errors at words that are drawn from all utterances."""
        spoken = [text.split() for text in said.texts]
        places = [
            (n, place)
            for n, words in enumerate(spoken)
            for place, word in enumerate(words)
            if normalised(word)
        ]
        num_errors = round(self.rate * len(places))
        drawn = rng.permutation(len(places))[:num_errors]
        wrong: dict[int, list[int]] = {}
        for number in drawn:
            utterance, place = places[number]
            wrong.setdefault(utterance, []).append(place)
        return [
            self._with_errors(words, sorted(wrong[n]), said.vocabulary, rng)
            if n in wrong
            else said.texts[n]
            for n, words in enumerate(spoken)
        ]

    def _with_errors(
        self,
        words: Sequence[str],
        wrong: Sequence[int],
        vocabulary: Sequence[str],
        rng: np.random.Generator,
    ) -> str:
        kinds = list(self.kinds)
        if DELETION in kinds and INSERTION in kinds:
            kinds.remove((DELETION, INSERTION)[int(rng.integers(2))])
        # Where all three are wanted a third of the errors are substitutions.
        others = [kind for kind in kinds if kind != SUBSTITUTION]
        share = 0.0 if SUBSTITUTION not in kinds else 1.0 / len(self.kinds)
        own = {normalised(word) for word in words}
        found = list(words)
        for place in reversed(wrong):
            is_substituted = not others or rng.random() < share
            kind = SUBSTITUTION if is_substituted else others[0]
            if kind == DELETION:
                del found[place]
            else:
                end = place + 1 if kind == SUBSTITUTION else place
                found[place:end] = [_another(vocabulary, own, rng)]
        return " ".join(found)


@dataclass(frozen=True)
class PlainWords:
    """Words as most recognisers write them: without punctuation and capitals."""

    def __call__(self, said: Said, rng: np.random.Generator) -> list[str]:
        """Each utterance in small letters, its words without what stands at their ends."""
        return [" ".join(words_of(text)) for text in said.texts]


@dataclass(frozen=True)
class NeighbourWords:
    """The words of the next utterance of the dialogue, of the last one those before it.

    A dialogue of one utterance has the words of the next dialogue's first. Dialogues follow each
    other as their first utterances are given.
    """

    own_only: ClassVar[bool] = True

    def __call__(self, said: Said, rng: np.random.Generator) -> list[str]:
        """Another's words for each."""
        number = {name: n for n, name in enumerate(dict.fromkeys(said.dialogues))}
        keys = [number[name] for name in said.dialogues]
        in_order = sorted(range(len(keys)), key=lambda row: (keys[row], said.orders[row]))
        dialogues = [said.dialogues[row] for row in in_order]
        found = list(said.texts)
        for place, row in enumerate(in_order):
            found[row] = said.texts[in_order[self._neighbour(dialogues, place)]]
        return found

    @staticmethod
    def _neighbour(dialogues: Sequence[str], place: int) -> int:
        own, num = dialogues[place], len(dialogues)
        if place + 1 < num and dialogues[place + 1] == own:
            return place + 1
        if place > 0 and dialogues[place - 1] == own:
            return place - 1
        return (place + 1) % num


def words_of(text: str) -> list[str]:
    """The words of a text in small letters, without punctuation at their ends."""
    return [word for word in map(normalised, text.split()) if word]


def normalised(word: str) -> str:
    """A word in small letters, without punctuation at its ends; nothing, if it is that alone."""
    return ENDS.sub("", word).casefold()


def word_error_rate(said: Sequence[str], read: Sequence[str]) -> float | None:
    """Edit distance over the number of words that were said, without capitals and punctuation.

    Args:
        said: (N), the words of each utterance.
        read: (N), what is read of them.

    Returns:
        The rate over all utterances; None where no word was said.
    """
    pairs = [(words_of(a), words_of(b)) for a, b in zip(said, read, strict=True)]
    num_words = sum(len(words) for words, _ in pairs)
    if num_words == 0:
        return None
    return sum(edit_distance(a, b) for a, b in pairs) / num_words


def edit_distance(one: Sequence[str], other: Sequence[str]) -> int:
    """Substitutions, deletions and insertions that make one of the other (Levenshtein 1966)."""
    row = list(range(len(other) + 1))
    for place, word in enumerate(one, 1):
        diagonal, row[0] = row[0], place
        for column, found in enumerate(other, 1):
            changed = diagonal + (word != found)
            diagonal = row[column]
            row[column] = min(changed, row[column] + 1, row[column - 1] + 1)
    return row[-1]


def _another(vocabulary: Sequence[str], own: set[str], rng: np.random.Generator) -> str:
    """A word of the corpus that the utterance does not have.

    Raises:
        InputError: If none is found.
    """
    for _ in range(MAX_DRAWS if vocabulary else 0):
        word = vocabulary[int(rng.integers(len(vocabulary)))]
        if normalised(word) not in {"", *own}:
            return word
    raise InputError(
        "conditions: expected words of the training split that an utterance does not have, to put "
        "in wrong ones, found none; leave word errors out: '~conditions.substitutions' and so on"
    )
