"""What stands beside an utterance, and how much of it, within a budget of tokens."""

from pathlib import Path

import pytest
import torch

from mmemo.data.batch import Collator, Example, TextInput
from mmemo.data.frontends import Tokens
from mmemo.errors import InputError
from mmemo.models.scratch_text_encoder import ScratchTextEncoder
from mmemo.models.text_context import Layout
from mmemo.models.text_encoders import PretrainedTextEncoder

# <s> 0, separator 9, </s> 2; the utterance is 50, 51, 52.
LAYOUT = Layout(prefix=(0,), separator=9, suffix=(2,))
OWN = [50, 51, 52]
BEFORE = [[10, 11, 12], [20, 21]]
AFTER = [[60], [70, 71]]


@pytest.mark.parametrize(
    ("max_tokens", "ids", "own"),
    [
        (99, [0, 10, 11, 12, 9, 20, 21, 9, 50, 51, 52, 9, 60, 9, 70, 71, 2], (8, 11)),
        (16, [0, 10, 11, 12, 9, 20, 21, 9, 50, 51, 52, 9, 60, 9, 70, 2], (8, 11)),
        # One token more would be a separator without anything behind it.
        (15, [0, 10, 11, 12, 9, 20, 21, 9, 50, 51, 52, 9, 60, 2], (8, 11)),
        (12, [0, 10, 11, 12, 9, 20, 21, 9, 50, 51, 52, 2], (8, 11)),
        (11, [0, 11, 12, 9, 20, 21, 9, 50, 51, 52, 2], (7, 10)),
        (9, [0, 20, 21, 9, 50, 51, 52, 2], (4, 7)),
        (7, [0, 21, 9, 50, 51, 52, 2], (3, 6)),
        (6, [0, 50, 51, 52, 2], None),
        (5, [0, 50, 51, 52, 2], None),
        (4, [0, 50, 51, 2], None),
    ],
)
def test_the_farthest_context_goes_first_and_the_utterance_last(
    max_tokens: int, ids: list[int], own: tuple[int, int] | None
) -> None:
    assert LAYOUT.place(OWN, BEFORE, AFTER, max_tokens) == Tokens(ids, own)


def test_context_without_tokens_takes_no_room() -> None:
    assert LAYOUT.place(OWN, [[], [20]], [[]], 99) == Tokens([0, 20, 9, *OWN, 2], (3, 6))
    assert LAYOUT.place([], [[20]], [], 99).own is None, "all is pooled where nothing is its own"


@pytest.fixture(params=["roberta", "scratch"])
def encoder(
    request: pytest.FixtureRequest, tiny_roberta: Path
) -> PretrainedTextEncoder | ScratchTextEncoder:
    if request.param == "roberta":
        return PretrainedTextEncoder(str(tiny_roberta), max_tokens=20, pooling="mean_std").eval()
    torch.manual_seed(0)
    scratch = ScratchTextEncoder(vocab_size=300, width=16, num_heads=2, max_tokens=20)
    scratch.fit(["I'm fine.", "You are here, my friend!"])
    return scratch.eval()


def collate(pad: int, *tokens: Tokens) -> TextInput:
    examples = [Example("k", 0, None, torch.tensor(t.ids), own_tokens=t.own) for t in tokens]
    text = Collator(pad_token_id=pad)(examples).text
    assert isinstance(text, TextInput)
    return text


def test_encoders_pool_the_utterances_own_tokens(
    encoder: PretrainedTextEncoder | ScratchTextEncoder,
) -> None:
    alone = encoder.tokenize("I'm fine.")
    beside = encoder.tokenize("I'm fine.", before=["You are"], after=["!"])
    assert beside.own is not None
    start, stop = beside.own
    special = 2 if isinstance(encoder, PretrainedTextEncoder) else 1
    bare = alone.ids[1 : 1 + len(alone.ids) - special]
    assert beside.ids[start:stop] == bare
    assert beside.ids[0] == alone.ids[0]
    before, after = encoder.tokenize("You are"), encoder.tokenize("!")
    separator = beside.ids[start - 1]
    assert separator == (2 if special == 2 else alone.ids[0]), "</s>, or each begins alike"
    assert len(beside.ids) == sum(len(t.ids) - special for t in (alone, before, after)) + (
        2 + special
    )

    features = encoder(collate(encoder.pad_token_id, beside, alone))
    own = features.frames[0, start:stop]
    torch.testing.assert_close(features.pooled[0, : own.shape[1]], own.mean(dim=0))
    assert features.mask.sum(dim=1).tolist() == [len(beside.ids), len(alone.ids)]
    without = encoder(collate(encoder.pad_token_id, alone)).pooled[0]
    torch.testing.assert_close(features.pooled[1], without, atol=1e-5, rtol=0)
    other = encoder.tokenize("I'm fine.", before=["my friend"])
    changed = encoder(collate(encoder.pad_token_id, other)).pooled[0]
    assert not torch.allclose(features.pooled[0], changed, atol=1e-3), "what was said is heard"


def test_a_long_utterance_is_read_as_without_context(
    encoder: PretrainedTextEncoder | ScratchTextEncoder,
) -> None:
    long = "You are here, my friend, are you not? " * 9
    assert encoder.tokenize(long, before=["I'm fine."]) == encoder.tokenize(long)
    assert len(encoder.tokenize(long).ids) == 20
    crowded = encoder.tokenize("I'm fine.", before=[long, long], after=[long])
    assert len(crowded.ids) == 20
    assert crowded.own is not None
    # The end of what was said before is the nearest.
    assert crowded.own[1] == 20 - (1 if isinstance(encoder, PretrainedTextEncoder) else 0)


def test_the_first_token_stays_the_first(tiny_roberta: Path) -> None:
    encoder = PretrainedTextEncoder(str(tiny_roberta)).eval()
    text = collate(1, encoder.tokenize("I'm fine.", before=["You are"]))
    features = encoder(text)
    torch.testing.assert_close(features.pooled, features.frames[:, 0], rtol=0, atol=0)


def test_a_prompt_stands_behind_and_its_hidden_token_is_the_answer(tiny_roberta: Path) -> None:
    options = {"prompt": "Now I feel {mask}", "pooling": "mask"}
    prompted = PretrainedTextEncoder(str(tiny_roberta), max_tokens=24, **options).eval()
    tokenizer = prompted.tokenizer
    asked = tokenizer("Now I feel <mask>", add_special_tokens=False)["input_ids"]
    own = tokenizer("Fine.", add_special_tokens=False)["input_ids"]
    before = tokenizer("So?", add_special_tokens=False)["input_ids"]
    start, stop, between = tokenizer.cls_token_id, tokenizer.eos_token_id, tokenizer.sep_token_id
    alone = prompted.tokenize("Fine.")
    assert alone == Tokens([start, *own, between, *asked, stop], (1, 1 + len(own)))
    told = prompted.tokenize("Fine.", ["So?"])
    assert told.ids == [start, *before, between, *own, between, *asked, stop]
    # The prompt is never cut.
    long = prompted.tokenize("Fine. " * 40)
    assert len(long.ids) == 24 and long.ids[-1 - len(asked) :] == [*asked, stop]
    # A hidden word of the utterance is not the prompt's.
    ids = [start, tokenizer.mask_token_id, between, *asked, stop]
    batch = collate(prompted.pad_token_id, told, Tokens(ids, (1, 2)))
    with torch.no_grad():
        found = prompted(batch)
        place = told.ids.index(tokenizer.mask_token_id)
        torch.testing.assert_close(found.pooled[0], found.frames[0, place])
        last = len(ids) - 1 - ids[::-1].index(tokenizer.mask_token_id)
        torch.testing.assert_close(found.pooled[1], found.frames[1, last])
        torch.testing.assert_close(prompted.pooled_layers(batch)[:, 0], found.pooled)


def test_a_prompt_needs_a_hidden_token(tiny_roberta: Path) -> None:
    for prompt in ("Now I feel", "{mask} or {mask}"):
        with pytest.raises(InputError, match="a sentence with {mask} once"):
            PretrainedTextEncoder(str(tiny_roberta), prompt=prompt)
    with pytest.raises(InputError, match="pooling: expected first, mean or mean_std without"):
        PretrainedTextEncoder(str(tiny_roberta), pooling="mask")


def test_a_prompt_leaves_room_for_the_utterance(tiny_roberta: Path) -> None:
    prompt = "Now I feel {mask}"
    tokenizer = PretrainedTextEncoder(str(tiny_roberta)).tokenizer
    asked = tokenizer(prompt.format(mask="<mask>"), add_special_tokens=False)["input_ids"]
    # The first token, the separator, the last token.
    taken = len(asked) + 3
    for pooling in ("mask", "mean"):
        options = {"prompt": prompt, "pooling": pooling}
        for max_tokens in (4, taken):
            with pytest.raises(InputError, match=f"max_tokens: expected more than {taken}, .*got"):
                PretrainedTextEncoder(str(tiny_roberta), max_tokens=max_tokens, **options)
        least = PretrainedTextEncoder(str(tiny_roberta), max_tokens=taken + 1, **options)
        first = tokenizer("Fine.", add_special_tokens=False)["input_ids"][0]
        tokens = least.tokenize("Fine.", ["So?"])
        assert tokens.ids[1] == first
        assert tokens.own == (1, 2)
