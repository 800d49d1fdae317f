"""Every family of language models, from tiny random checkpoints, by the path that a user takes."""

import io
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from transformers import AutoConfig, AutoModel

from mmemo.data.batch import Collator, Example, TextInput
from mmemo.data.frontends import Tokens
from mmemo.errors import InputError
from mmemo.models.text_encoders import PretrainedTextEncoder
from mmemo.models.text_tokenizer import learn_model_tokenizer
from mmemo.runs.experiment import Experiment
from tests.test_configs import composed

SENTENCES = ["I'm fine.", "You are here, my friend, are you not? I would be glad!", "", "Well."]
TINY = {
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 70,
    "vocab_size": 320,
}
DISENTANGLED = {
    "relative_attention": True,
    "position_buckets": 8,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": "p2c|c2p",
    "position_biased_input": False,
}
# The option of conf/text_encoder, transformers' model type, what is added to its tiny size.
FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "roberta": ("roberta_base", "roberta", {}),
    "bert": ("bert_base", "bert", {}),
    "distilbert": ("distilbert_base", "distilbert", {}),
    "deberta": ("deberta_v3_base", "deberta-v2", DISENTANGLED),
    "electra": ("electra_base", "electra", {"embedding_size": 12}),
    "modernbert": ("modernbert_base", "modernbert", {"local_attention": 8, "pad_token_id": 0}),
    "mpnet": ("mpnet_base", "mpnet", {}),
    "xlm_roberta": ("pretrained", "xlm-roberta", {}),
    "minilm": ("minilm_l6", "bert", {}),
}
NAMES_OF_DISTILBERT = {
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {}
    for name, (_, model_type, size) in FAMILIES.items():
        folders[name] = tmp_path_factory.mktemp(name)
        tiny: dict[str, Any] = {**TINY, **size}
        if name == "distilbert":
            tiny = {NAMES_OF_DISTILBERT.get(key, key): value for key, value in tiny.items()}
        torch.manual_seed(0)
        config = AutoConfig.for_model(model_type, **tiny)
        AutoModel.from_config(config).save_pretrained(folders[name])
        tokenizer = learn_model_tokenizer(SENTENCES, 320, config.pad_token_id)
        tokenizer.save_pretrained(folders[name])
    return folders


@cache
def composed_option(option: str) -> DictConfig:
    return composed([f"text_encoder={option}", "audio_encoder=none", "corpus.root=/data"])


def build(name: str, checkpoint: Path | None, *options: str) -> PretrainedTextEncoder:
    given = [f"checkpoint={checkpoint}", *options] if checkpoint else list(options)
    cfg = composed_option(FAMILIES[name][0]).copy()
    OmegaConf.set_struct(cfg, False)
    cfg.text_encoder.merge_with_dotlist(given)
    encoder = Experiment(cfg).build_encoders().text
    assert isinstance(encoder, PretrainedTextEncoder)
    return encoder


def collate(encoder: PretrainedTextEncoder, *tokens: Tokens) -> TextInput:
    examples = [
        Example("k", 0, None, torch.tensor(given.ids), own_tokens=given.own) for given in tokens
    ]
    text = Collator(pad_token_id=encoder.pad_token_id)(examples).text
    assert isinstance(text, TextInput)
    return text


@pytest.mark.parametrize("name", FAMILIES)
def test_the_answer_is_the_same_in_every_type(name: str, checkpoints: dict[str, Path]) -> None:
    """What autocast hands on between layers is float32: only what they compute is rounded."""
    encoder = build(name, checkpoints[name]).eval()
    text = collate(encoder, *(encoder.tokenize(sentence) for sentence in SENTENCES))
    expected = encoder(text).pooled.detach()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = encoder(text)
    assert rounded.frames.dtype == torch.float32
    assert not torch.equal(rounded.pooled, expected)
    torch.testing.assert_close(rounded.pooled, expected, atol=2e-2, rtol=2e-2)
    for dtype, tolerance in ((torch.float64, 1e-5), (torch.bfloat16, 5e-2)):
        pooled = encoder.to(dtype)(text).pooled
        torch.testing.assert_close(pooled.float(), expected, atol=tolerance, rtol=tolerance)
        pooled.sum().backward()


@pytest.mark.parametrize("layers", ["last", "weighted"])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_answer_does_not_depend_on_the_batch(
    name: str, layers: str, checkpoints: dict[str, Path]
) -> None:
    options = (f"layers={layers}", "pooling=mean_std")
    encoder = build(name, checkpoints[name], *options).eval()
    tokens = [encoder.tokenize(sentence) for sentence in SENTENCES]
    tokens.append(encoder.tokenize(SENTENCES[0], before=SENTENCES[1:2], after=SENTENCES[3:]))
    text = collate(encoder, *tokens)
    with torch.no_grad():
        together = encoder(text)
        embedded = encoder(text, encoder.model.get_input_embeddings()(text.input_ids))
        for index, own in enumerate(tokens):
            alone = encoder(collate(encoder, own))
            real = len(own.ids)
            for whole in (together, embedded):
                for part, expected in (
                    (whole.pooled[index], alone.pooled[0]),
                    (whole.frames[index, :real], alone.frames[0]),
                ):
                    torch.testing.assert_close(part, expected, atol=1e-5, rtol=0)
        kept = encoder.from_pooled_layers(encoder.pooled_layers(text))
    torch.testing.assert_close(kept, together.pooled)
    assert together.frames.shape == (5, text.mask.shape[1], 24)
    assert (encoder.frame_dim, encoder.output_dim) == (24, 48)
    assert together.pooled.shape == (5, 48)
    assert encoder.pooled_layers(text).shape == (5, 1 if layers == "last" else 4, 48)


@pytest.mark.parametrize("name", FAMILIES)
def test_embeddings_in_place_of_tokens_do_not_move_positions(
    name: str, checkpoints: dict[str, Path]
) -> None:
    encoder = build(name, checkpoints[name], "pooling=mean").eval()
    own = encoder.own_tokens(SENTENCES[1])
    padding_said = Tokens([*own.ids[:3], encoder.pad_token_id, *own.ids[3:]])
    text = collate(encoder, padding_said)
    with torch.no_grad():
        embedded = encoder(text, encoder.embed(text.input_ids))
        torch.testing.assert_close(embedded.frames, encoder(text).frames)


def test_own_tokens_tell_where_they_are(checkpoints: dict[str, Path]) -> None:
    encoder = build("bert", checkpoints["bert"], "max_tokens=4")
    own = encoder.own_tokens(SENTENCES[1])
    assert encoder.tokenize(SENTENCES[1]).ids[1:3] == own.ids[:2]
    assert "".join(SENTENCES[1][a:b] for a, b in own.spans).replace(" ", "") == SENTENCES[
        1
    ].replace(" ", "")
    assert encoder.mask_token_id is None


@pytest.mark.parametrize("layers", ["last", "weighted"])
@pytest.mark.parametrize("trainable", ["all", "top_1", "lora", "none"])
@pytest.mark.parametrize("name", FAMILIES)
def test_all_that_is_trained_has_a_gradient_and_nothing_else(
    name: str, trainable: str, layers: str, checkpoints: dict[str, Path]
) -> None:
    encoder = build(name, checkpoints[name], f"trainable={trainable}", f"layers={layers}")
    assert encoder.frozen == (trainable == "none")
    assert encoder.trains_every_weight
    assert encoder.model.training != encoder.frozen
    trained = {key for key, p in encoder.named_parameters() if p.requires_grad}
    if trained:
        text = collate(encoder, *(encoder.tokenize(sentence) for sentence in SENTENCES))
        (encoder(text).pooled * torch.randn(24)).sum().backward()
    reached = {key for key, p in encoder.named_parameters() if p.grad is not None}
    assert reached == trained
    weights = {"layer_weights.logits"} if layers == "weighted" else set()
    if trainable == "none":
        assert trained == weights
    elif trainable == "lora":
        assert all("lora_" in key for key in trained - weights)
        assert len(trained) > 12
    elif trainable == "top_1":
        last = {key for key in trained - weights if ".2." not in key}
        assert last <= {"model.final_norm.weight"}
    else:
        assert trained == {key for key, _ in encoder.named_parameters()}


@pytest.mark.parametrize("name", ["bert", "deberta", "modernbert"])
def test_gradient_checkpointing_changes_no_gradient(
    name: str, checkpoints: dict[str, Path]
) -> None:
    def gradients(*options: str) -> dict[str, Tensor]:
        encoder = build(name, checkpoints[name], *options)
        for module in encoder.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        encoder(collate(encoder, encoder.tokenize(SENTENCES[1]))).pooled.square().sum().backward()
        return {key: p.grad for key, p in encoder.named_parameters() if p.grad is not None}

    torch.testing.assert_close(gradients("gradient_checkpointing=true"), gradients())


def test_what_transformers_cannot_checkpoint_is_told(checkpoints: dict[str, Path]) -> None:
    with pytest.raises(
        InstantiationException, match="gradient_checkpointing: expected false for mpnet"
    ):
        build("mpnet", checkpoints["mpnet"], "gradient_checkpointing=true")


def test_fused_attention_where_there_is_one(checkpoints: dict[str, Path]) -> None:
    found = {
        name: build(name, checkpoints[name]).model.config._attn_implementation for name in FAMILIES
    }
    assert {name for name, attention in found.items() if attention == "eager"} == {
        "deberta",
        "mpnet",
    }
    assert set(found.values()) == {"eager", "sdpa"}
    eager = build("bert", checkpoints["bert"], "attention=eager")
    assert eager.model.config._attn_implementation == "eager"


# Millions of parameters as published: the papers' tables, or the checkpoints' own pages.
PUBLISHED = {
    "roberta_base": 125,
    "roberta_large": 355,
    "bert_base": 110,
    "distilbert_base": 66,
    "deberta_v3_base": 184,
    "electra_base": 109,
    "modernbert_base": 149,
    "mpnet_base": 110,
    "minilm_l6": 22.7,
}


@pytest.mark.parametrize("option", PUBLISHED)
def test_random_weights_have_the_published_size(option: str) -> None:
    cfg = composed([f"text_encoder={option}", "text_encoder.pretrained=false", "corpus.root=/d"])
    settings = OmegaConf.to_container(cfg.text_encoder, resolve=True)
    assert isinstance(settings, dict)
    del settings["_target_"]
    with torch.device("meta"):
        encoder = PretrainedTextEncoder(**settings)
    millions = sum(p.numel() for p in encoder.parameters()) / 1e6
    assert millions == pytest.approx(PUBLISHED[option], rel=0.025)


@pytest.mark.parametrize("name", ["roberta", "bert", "modernbert", "mpnet"])
def test_without_a_checkpoint_the_tokenizer_is_learnt(name: str, tmp_path: Path) -> None:
    size = [f"config_overrides.{key}={value}" for key, value in TINY.items()]
    encoder = build(name, None, "pretrained=false", *size).eval()
    with pytest.raises(RuntimeError, match="call fit"):
        encoder.tokenize("x")
    encoder.fit(SENTENCES)
    assert encoder.tokenizer is not None
    vocabulary = encoder.tokenizer.get_vocab()
    assert 256 + 3 < len(vocabulary) <= 320
    assert vocabulary["[PAD]"] == encoder.pad_token_id == encoder.config.pad_token_id
    assert encoder.pad_token_id == (1 if name in ("roberta", "mpnet") else 0)
    ids = encoder.tokenize("I'm fine. Яд").ids
    assert (ids[0], ids[-1]) == (vocabulary["[CLS]"], vocabulary["[SEP]"])
    assert encoder.tokenizer.decode(ids[1:-1]).endswith("Яд")
    assert len(encoder.tokenize("fine " * 200).ids) == 64

    encoder.save_assets(tmp_path)
    settings = {"pretrained": False, "pooling": "first"}
    again = PretrainedTextEncoder("no/such", assets_dir=tmp_path, **settings).eval()
    again.load_state_dict(encoder.state_dict())
    again.fit(["something else"])
    assert again.tokenize("I'm fine. Яд").ids == ids
    text = collate(encoder, *(encoder.tokenize(sentence) for sentence in SENTENCES))
    torch.testing.assert_close(again(text).pooled, encoder(text).pooled, rtol=0, atol=0)


def test_a_vocabulary_smaller_than_the_bytes_is_refused() -> None:
    options = ("pretrained=false", "config_overrides.vocab_size=258")
    with pytest.raises(
        InstantiationException, match=r"vocab_size: expected at least 259 .*, got 258"
    ):
        build("bert", None, *options)


@pytest.mark.parametrize(("name", "most"), [("roberta", 68), ("bert", 70)])
def test_more_tokens_than_positions_are_refused(
    name: str, most: int, checkpoints: dict[str, Path]
) -> None:
    encoder = build(name, checkpoints[name], f"max_tokens={most}")
    longest = encoder.tokenize("fine " * 200)
    assert len(longest.ids) == most
    assert encoder(collate(encoder, longest)).pooled.isfinite().all()
    with pytest.raises(
        InstantiationException, match=rf"max_tokens: expected at most {most}, .*, got {most + 1}"
    ):
        build(name, checkpoints[name], f"max_tokens={most + 1}")


def test_a_model_of_sound_is_no_text_encoder(tiny_wavlm: Path) -> None:
    with pytest.raises(InputError, match="expected a model of text .*, got wavlm"):
        PretrainedTextEncoder(str(tiny_wavlm))


def test_debertas_tokenizer_is_read_as_it_is_published(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    import sentencepiece

    learnt = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 20),
        model_writer=learnt,
        vocab_size=60,
        hard_vocab_limit=False,
        pad_id=0,
        bos_id=1,
        eos_id=2,
        unk_id=3,
        pad_piece="[PAD]",
        bos_piece="[CLS]",
        eos_piece="[SEP]",
        unk_piece="[UNK]",
        minloglevel=2,
    )
    (tmp_path / "spm.model").write_bytes(learnt.getvalue())
    for file in ("config.json", "model.safetensors"):
        (tmp_path / file).write_bytes((checkpoints["deberta"] / file).read_bytes())
    encoder = build("deberta", tmp_path).eval()
    pieces = sentencepiece.SentencePieceProcessor(model_proto=learnt.getvalue())
    for sentence in SENTENCES:
        assert encoder.tokenize(sentence).ids == [1, *pieces.encode(sentence), 2]
    assert encoder.pad_token_id == 0
    encoder.save_assets(tmp_path / "assets")
    assert (tmp_path / "assets" / "tokenizer.json").is_file()
    again = PretrainedTextEncoder("no/such", assets_dir=tmp_path / "assets")
    assert again.tokenize(SENTENCES[1]).ids == encoder.tokenize(SENTENCES[1]).ids
