import numpy as np
import pytest
import torch

from mmemo.data.batch import TextInput
from mmemo.explanation.baselines import PadText, ZeroWaveform, draw_baselines
from mmemo.explanation.inputs import find_own_tokens, word_spans, word_sums, words_of_tokens
from mmemo.explanation.perturbation import PerturbedUtterance, freeze_classifier
from mmemo.models.tfidf_encoder import TfidfEncoder
from tests.explanation.linear_models import classifier, given


def test_words_stand_between_white_space() -> None:
    assert word_spans(" I'm  fine.\n") == [(1, 4), (6, 11)]
    assert word_spans("") == []


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        # A term of two words, and what stands at their border.
        ([(0, 3), (4, 8), (0, 8), (2, 5), (3, 8)], [0, 1, (0, 2), (0, 2), 1]),
        ([(0, 1), (1, 3), (4, 7), (7, 8)], [0, 0, 1, 1]),
        # The space in front is part of a token, or a token by itself, or follows the last word.
        ([(0, 3), (3, 7), (7, 8)], [0, 1, 1]),
        ([(0, 3), (3, 4), (4, 8)], [0, 1, 1]),
        ([(0, 3), (4, 8), (8, 9)], [0, 1, 1]),
        # A byte of a letter has the span of the letter.
        ([(0, 1), (0, 1), (0, 1), (4, 5)], [0, 0, 0, 1]),
    ],
)
def test_tokens_belong_to_the_words_of_their_letters(
    tokens: list[tuple[int, int]], expected: list[int | tuple[int, int]]
) -> None:
    transcript = "I'm fine "
    assert words_of_tokens(transcript, word_spans(transcript), tokens) == [
        word if isinstance(word, tuple) else (word, word + 1) for word in expected
    ]


def test_a_token_of_several_words_is_shared_by_them() -> None:
    token_words = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]], dtype=torch.bool)
    assert word_sums(token_words, np.array([9.0, 1.0, 2.0, 4.0])).tolist() == [3, 4]


def test_no_pair_of_words_is_left_where_one_of_them_is_taken_away() -> None:
    encoder = TfidfEncoder(max_words=3)
    encoder.fit(["it is not good at all", "good", "not bad"])
    transcript = "is not good"
    model = classifier(None, encoder)
    freeze_classifier(model)
    utterance = given(None, encoder, transcript)  # type: ignore[arg-type]
    baselines = draw_baselines(utterance, encoder, ZeroWaveform(), PadText(), 0)
    perturbed = PerturbedUtterance(model, utterance, baselines, 0, "logit")

    def pooled(text: str) -> torch.Tensor:
        ids = torch.tensor([encoder.tokenize(text).ids])
        found: torch.Tensor = encoder(TextInput(ids, torch.ones_like(ids, dtype=torch.bool))).pooled
        return found[0]

    kept = torch.tensor([[1, 1, 0], [0, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=torch.bool)
    assert utterance.text is not None
    ids = utterance.text.input_ids.expand(4, -1)
    text = TextInput(ids, torch.ones_like(ids, dtype=torch.bool))
    found = encoder(text, perturbed.masked_embeddings(kept)).pooled
    for vector, alike in zip(found, ("is not", "not good", "is so good", transcript), strict=True):
        torch.testing.assert_close(vector, pooled(alike))


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
