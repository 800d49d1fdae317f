from pathlib import Path

import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from mmemo.data.batch import Collator, Example
from mmemo.errors import InputError
from mmemo.models.tfidf_encoder import TERMS_FILE, TfidfEncoder

TRAIN = ["I am fine, I am!", "You are not fine.", "Oh no no no.", "Are you here?"]
OTHERS = ["I am not here, no no.", "Nothing that is known", ""]


def encoded(encoder: TfidfEncoder, texts: list[str]) -> torch.Tensor:
    tokens = [torch.tensor(encoder.tokenize(text).ids) for text in texts]
    batch = Collator(1, None, encoder.pad_token_id)(
        [Example(str(place), 0, None, ids) for place, ids in enumerate(tokens)]
    )
    pooled: torch.Tensor = encoder(batch.text).pooled
    return pooled


@pytest.mark.parametrize("sublinear", [True, False])
def test_it_is_scikit_learns(sublinear: bool) -> None:
    reference = TfidfVectorizer(
        ngram_range=(1, 2), token_pattern=r"\w+", sublinear_tf=sublinear, max_features=12
    ).fit(TRAIN)
    encoder = TfidfEncoder(12, sublinear=sublinear)
    encoder.fit(TRAIN)
    expected = torch.from_numpy(reference.transform([*TRAIN, *OTHERS]).toarray()).float()
    torch.testing.assert_close(encoded(encoder, [*TRAIN, *OTHERS]), expected)


def test_fewer_terms_than_asked_for_leave_zeros() -> None:
    encoder = TfidfEncoder(1000, max_words=1)
    encoder.fit(TRAIN)
    found = encoded(encoder, TRAIN)
    assert found.shape == (4, 1000)
    assert not found[:, 9:].any(), "i am fine you are not oh no here"


def test_it_is_learnt_once_and_kept(tmp_path: Path) -> None:
    encoder = TfidfEncoder(50)
    encoder.fit(TRAIN)
    encoder.save_assets(tmp_path)
    again = TfidfEncoder(50, assets_dir=tmp_path)
    again.load_state_dict(encoder.state_dict())
    again.fit(["Something else altogether."])
    torch.testing.assert_close(encoded(again, OTHERS), encoded(encoder, OTHERS))


def test_context_is_counted_with_the_utterance() -> None:
    encoder = TfidfEncoder(50, max_words=1)
    encoder.fit(TRAIN)
    together = encoder.tokenize("Oh no.", ["I am"], ["fine"]).ids
    assert sorted(together) == sorted(encoder.tokenize("I am oh no fine").ids)


def test_terms_tell_where_they_are() -> None:
    encoder = TfidfEncoder(50)
    encoder.fit(TRAIN)
    found = encoder.own_tokens("Oh, No!")
    names = {number: term for term, number in (encoder.ids or {}).items()}
    assert [names[i] for i in found.ids] == ["oh", "no", "oh no"]
    assert found.spans == [(0, 2), (4, 6), (0, 6)]


def test_no_word_often_enough_is_refused() -> None:
    with pytest.raises(InputError, match="lower text_encoder.min_utterances"):
        TfidfEncoder(50, min_utterances=4).fit(TRAIN)


def test_damaged_terms_are_named(tmp_path: Path) -> None:
    (tmp_path / TERMS_FILE).write_text('["a", "a"]')
    with pytest.raises(InputError, match=TERMS_FILE):
        TfidfEncoder(50, assets_dir=tmp_path)
