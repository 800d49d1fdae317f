import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmemo.data.batch import Collator, Example, TextInput
from mmemo.errors import InputError
from mmemo.models.scratch_text_encoder import ScratchTextEncoder
from mmemo.models.text_encoders import PretrainedTextEncoder

SENTENCES = ["I'm fine.", "You are here, my friend, are you not?", "Well, I am."]


def collate(*tokens: list[int], pad: int = 0) -> TextInput:
    examples = [Example("k", 0, None, torch.tensor(ids)) for ids in tokens]
    text = Collator(pad_token_id=pad)(examples).text
    assert text is not None
    return text


@pytest.fixture
def scratch() -> ScratchTextEncoder:
    torch.manual_seed(0)
    encoder = ScratchTextEncoder(vocab_size=300, width=16, num_heads=2).eval()
    encoder.fit(SENTENCES)
    return encoder


def test_scratch_tokens_cover_any_text_and_are_cut(scratch: ScratchTextEncoder) -> None:
    assert scratch.tokenizer is not None
    start = scratch.tokenizer.token_to_id("[CLS]")
    ids = scratch.tokenize("I'm fine.").ids
    assert ids[0] == start
    assert len(ids) < len("I'm fine."), "words of the training split are merged"
    assert scratch.tokenize("").ids == [start]
    assert scratch.tokenizer.decode(scratch.tokenize("Яд").ids[1:]).endswith("Яд")
    assert len(scratch.tokenize("fine " * 200).ids) == 64
    assert scratch.tokenize("I").ids != scratch.tokenize("i").ids, "case is kept"


def test_scratch_answer_does_not_depend_on_the_batch(scratch: ScratchTextEncoder) -> None:
    tokens = [scratch.tokenize(s).ids for s in SENTENCES]
    together = scratch(collate(*tokens)).pooled
    for index, ids in enumerate(tokens):
        alone = scratch(collate(ids)).pooled[0]
        torch.testing.assert_close(together[index], alone, atol=1e-5, rtol=0)


def test_scratch_takes_embeddings_instead_of_tokens(scratch: ScratchTextEncoder) -> None:
    text = collate(scratch.tokenize(SENTENCES[1]).ids)
    embeddings = scratch.word_embeddings(text.input_ids)
    torch.testing.assert_close(
        scratch(text, inputs_embeds=embeddings).pooled, scratch(text).pooled, rtol=0, atol=0
    )


def test_scratch_is_built_again_from_its_assets(
    scratch: ScratchTextEncoder, tmp_path: Path
) -> None:
    scratch.save_assets(tmp_path)
    again = ScratchTextEncoder(vocab_size=300, width=16, num_heads=2, assets_dir=tmp_path)
    assert [again.tokenize(s).ids for s in SENTENCES] == [
        scratch.tokenize(s).ids for s in SENTENCES
    ]


def test_fitting_does_not_depend_on_order(scratch: ScratchTextEncoder) -> None:
    other = ScratchTextEncoder(vocab_size=300, width=16, num_heads=2)
    other.fit(SENTENCES[::-1])
    assert [other.tokenize(s).ids for s in SENTENCES] == [
        scratch.tokenize(s).ids for s in SENTENCES
    ]


def test_fitting_is_the_same_in_every_process(scratch: ScratchTextEncoder) -> None:
    code = (
        "from mmemo.models.scratch_text_encoder import ScratchTextEncoder\n"
        "encoder = ScratchTextEncoder(vocab_size=300, width=16, num_heads=2)\n"
        f"encoder.fit({SENTENCES!r})\nprint(encoder.tokenizer.to_str())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert scratch.tokenizer is not None
    assert done.stdout.strip() == scratch.tokenizer.to_str()


def test_tokenising_before_fitting_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="call fit"):
        ScratchTextEncoder().tokenize("x")


def test_roberta_loads_its_weights_and_answers_by_its_first_token(tiny_roberta: Path) -> None:
    from transformers import RobertaModel

    encoder = PretrainedTextEncoder(str(tiny_roberta)).eval()
    tokens = [encoder.tokenize(s).ids for s in SENTENCES]
    assert all(ids[0] == 0 and ids[-1] == 2 for ids in tokens), "<s> … </s>"
    together = encoder(collate(*tokens, pad=encoder.pad_token_id))
    reference = RobertaModel.from_pretrained(tiny_roberta).eval()
    for index, ids in enumerate(tokens):
        frames = reference(torch.tensor([ids])).last_hidden_state
        torch.testing.assert_close(together.pooled[index], frames[0, 0], atol=1e-5, rtol=0)
    assert len(encoder.tokenize("fine " * 200).ids) == 64


def test_roberta_is_built_again_from_its_assets(tiny_roberta: Path, tmp_path: Path) -> None:
    encoder = PretrainedTextEncoder(str(tiny_roberta)).eval()
    encoder.save_assets(tmp_path / "assets")
    again = PretrainedTextEncoder("no/such-checkpoint", assets_dir=tmp_path / "assets").eval()
    again.load_state_dict(encoder.state_dict())
    tokens = encoder.tokenize(SENTENCES[1]).ids
    assert again.tokenize(SENTENCES[1]).ids == tokens
    torch.testing.assert_close(
        again(collate(tokens)).pooled, encoder(collate(tokens)).pooled, rtol=0, atol=0
    )


def test_a_real_checkpoint_loads(shared_data: Path) -> None:
    encoder = PretrainedTextEncoder(str(shared_data / "minilm_l6"), pooling="mean").eval()
    assert encoder.output_dim == 384

    def embed(text: str) -> torch.Tensor:
        return encoder(collate(encoder.tokenize(text).ids)).pooled[0]

    happy, glad, bank = (
        embed("I am so happy!"),
        embed("I am really glad."),
        embed("The bank closed."),
    )
    near, far = torch.cosine_similarity(happy, glad, 0), torch.cosine_similarity(happy, bank, 0)
    assert near.item() > far.item() + 0.3


def test_a_vocabulary_smaller_than_the_bytes_is_refused() -> None:
    with pytest.raises(InputError, match="vocab_size: expected at least 258"):
        ScratchTextEncoder(vocab_size=257)


def test_what_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"text_encoder\.checkpoint: .*'{tmp_path}'"):
        PretrainedTextEncoder(str(tmp_path))
