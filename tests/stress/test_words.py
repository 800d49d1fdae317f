from __future__ import annotations

import numpy as np
import pytest

from mmemo.errors import InputError
from mmemo.stress.words import (
    KINDS,
    NeighbourWords,
    PlainWords,
    Said,
    WordErrors,
    edit_distance,
    word_error_rate,
)

SAID = Said(
    ("One two three four.", "Five, six — seven eight!", "", "Nine ten"),
    ("a", "a", "b", "c"),
    (0, 1, 0, 0),
    ("apple", "pear,", "One", "plum"),
)
"""Ten words: the dash is none."""


def changed(change: WordErrors | PlainWords | NeighbourWords, said: Said = SAID) -> list[str]:
    return change(said, np.random.default_rng(3))


@pytest.mark.parametrize("kinds", [*((kind,) for kind in KINDS), KINDS, KINDS[:2], KINDS[1:]])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 1.0])
def test_the_word_error_rate_is_that_which_was_asked_for(
    kinds: tuple[str, ...], rate: float
) -> None:
    read = changed(WordErrors(rate, kinds))
    assert word_error_rate(SAID.texts, read) == rate


def test_over_many_utterances_the_three_kinds_are_equally_often() -> None:
    words = " ".join(f"w{n}" for n in range(20))
    many = Said((words,) * 300, ("a",) * 300, tuple(range(300)), ("other",))
    read = changed(WordErrors(0.5), many)
    inserted = sum(max(len(text.split()) - 20, 0) for text in read)
    deleted = sum(max(20 - len(text.split()), 0) for text in read)
    substituted = 3000 - inserted - deleted
    assert [inserted, deleted, substituted] == pytest.approx([1000] * 3, rel=0.12)
    assert word_error_rate(many.texts, read) == 0.5


def test_words_that_are_put_in_are_of_the_corpus_and_not_of_the_utterance() -> None:
    read = changed(WordErrors(1.0, ("substitution",)))
    assert read[2] == ""
    for text in read[:2]:
        assert set(text.split()) <= {"apple", "pear,", "One", "plum", "—"}
    assert "One" not in read[0]


def test_a_rate_has_the_errors_of_the_lower_one() -> None:
    words = " ".join(f"w{n}" for n in range(100))
    said = Said((words,), ("a",), (0,), ("other",))
    few, many = (set(changed(WordErrors(r, ("deletion",)), said)[0].split()) for r in (0.2, 0.4))
    assert many < few


def test_equal_seeds_give_equal_words() -> None:
    assert changed(WordErrors(0.5)) == changed(WordErrors(0.5))


def test_without_other_words_nothing_can_be_substituted() -> None:
    said = Said(("yes",), ("a",), (0,), ("Yes!",))
    with pytest.raises(InputError, match="expected words of the training split"):
        changed(WordErrors(1.0, ("substitution",)), said)
    assert changed(WordErrors(1.0, ("deletion",)), said) == [""]


def test_a_kind_or_a_rate_that_there_is_not_is_refused() -> None:
    with pytest.raises(InputError, match="expected kinds of word errors, substitution"):
        WordErrors(0.1, ("swap",))
    with pytest.raises(InputError, match=r"within 0 and 1, got 1\.5"):
        WordErrors(1.5)


def test_plain_words_have_neither_punctuation_nor_capitals() -> None:
    assert changed(PlainWords()) == ["one two three four", "five six seven eight", "", "nine ten"]
    said = Said(("I'm well-known, aren't I?",), ("a",), (0,), ())
    assert changed(PlainWords(), said) == ["i'm well-known aren't i"]


def test_a_neighbour_is_the_next_one_of_the_dialogue() -> None:
    one, two, three, four = SAID.texts
    # The last of a dialogue has the one before it, one alone the next dialogue's first.
    assert changed(NeighbourWords()) == [two, one, four, one]


def test_neighbours_are_of_the_dialogue_wherever_its_utterances_are_given() -> None:
    # What is not answered, a1 and b0, stands behind the others.
    said = Said(("a0", "a2", "b1", "a1", "b0"), ("a", "a", "b", "a", "b"), (0, 2, 1, 1, 0), ())
    assert changed(NeighbourWords(), said) == ["a1", "a1", "b0", "a2", "b1"]


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [
        ("a b c", "a b c", 0),
        ("a b c", "a x c", 1),
        ("a b c", "b c", 1),
        ("a", "b c a", 2),
        ("", "a", 1),
    ],
)
def test_edit_distances(one: str, other: str, distance: int) -> None:
    assert edit_distance(one.split(), other.split()) == distance


def test_the_rate_of_nothing_said_is_undefined() -> None:
    assert word_error_rate(["", "…"], ["", "a"]) is None
