import pytest

from mmemo.explanation.inputs import find_own_tokens, word_spans, words_of_tokens


def test_words_stand_between_white_space() -> None:
    assert word_spans(" I'm  fine.\n") == [(1, 4), (6, 11)]
    assert word_spans("") == []


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([(0, 1), (1, 3), (4, 7), (7, 8)], [0, 0, 1, 1]),
        # The space in front is part of a token, or a token by itself, or follows the last word.
        ([(0, 3), (3, 7), (7, 8)], [0, 1, 1]),
        ([(0, 3), (3, 4), (4, 8)], [0, 1, 1]),
        ([(0, 3), (4, 8), (8, 9)], [0, 1, 1]),
        # A byte of a letter has the span of the letter.
        ([(0, 1), (0, 1), (0, 1), (4, 5)], [0, 0, 0, 1]),
    ],
)
def test_tokens_belong_to_the_word_of_their_first_letter(
    tokens: list[tuple[int, int]], expected: list[int]
) -> None:
    transcript = "I'm fine "
    assert words_of_tokens(transcript, word_spans(transcript), tokens) == expected


@pytest.mark.parametrize(
    ("all_ids", "own_ids", "expected"),
    [
        ([0, 5, 6, 2], [5, 6], (1, 3)),
        ([0, 5, 6, 2], [5, 6, 7, 8], (1, 3)),
        ([5, 6], [5, 6], (0, 2)),
        ([0, 2], [5], (0, 0)),
        ([0, 2], [], (0, 0)),
    ],
)
def test_own_tokens_are_found(
    all_ids: list[int], own_ids: list[int], expected: tuple[int, int]
) -> None:
    assert find_own_tokens(all_ids, own_ids) == expected
