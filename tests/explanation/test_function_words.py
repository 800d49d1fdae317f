from __future__ import annotations

import pytest

from mmemo.data.text_cleaning import AlphanumericCleaning
from mmemo.explanation.word_influence import (
    CONTENT_WORDS,
    ENGLISH_STOP_WORDS,
    is_function_word,
    plain_word,
)

FUNCTION = "I'm don't you're it's that's can't didn't won't we'll she'd I'll I'd I've they'd let's "
FUNCTION += "what're there's isn't wouldn't would've the of and not him did does gonna"
CONTENT = "cry serious sincere alone fire find call great play song hell shed Monica's six please"


@pytest.mark.parametrize("word", FUNCTION.split())
def test_function_words_are_known_with_and_without_their_apostrophe(word: str) -> None:
    assert is_function_word(plain_word(word))
    cleaned = AlphanumericCleaning()(word)
    # A shed is one too.
    assert is_function_word(plain_word(cleaned)) or cleaned == "shed"


@pytest.mark.parametrize("word", CONTENT.split())
def test_words_of_content_are_none(word: str) -> None:
    assert not is_function_word(plain_word(word))
    assert not is_function_word(plain_word(AlphanumericCleaning()(word)))


def test_what_is_taken_off_the_stop_list_was_on_it() -> None:
    assert CONTENT_WORDS <= ENGLISH_STOP_WORDS
