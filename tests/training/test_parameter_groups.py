import re
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModel

from mmemo.errors import InputError
from mmemo.models.scratch_text_encoder import ScratchTextEncoder
from mmemo.training.callbacks import learning_rates
from mmemo.training.parameter_groups import build_optimizer

ADAMW = partial(torch.optim.AdamW, lr=1.0, weight_decay=0.01)

SPEECH = {
    "hidden_size": 8,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "conv_dim": (4, 4),
    "conv_kernel": (10, 3),
    "conv_stride": (5, 2),
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "num_feat_extract_layers": 2,
}
TEXT = {
    "hidden_size": 8,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "vocab_size": 20,
    "max_position_embeddings": 16,
}
MODELS: dict[str, dict[str, Any]] = {
    "wavlm": SPEECH,
    "wav2vec2": SPEECH | {"do_stable_layer_norm": True},
    "hubert": SPEECH,
    "data2vec-audio": SPEECH,
    "sew": SPEECH | {"squeeze_factor": 1},
    "audio-spectrogram-transformer": TEXT | {"max_length": 32, "num_mel_bins": 32},
    "roberta": TEXT | {"pad_token_id": 1},
    "bert": TEXT,
    "distilbert": {"dim": 8, "n_layers": 3, "n_heads": 2, "hidden_dim": 8, "vocab_size": 20},
    "deberta-v2": TEXT | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "electra": TEXT | {"embedding_size": 4},
    "modernbert": TEXT | {"pad_token_id": 0, "global_attn_every_n_layers": 2},
    "mpnet": TEXT,
}


class Encoder(nn.Module):
    """A model, and what an adapter adds around it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.layer_weights = nn.Parameter(torch.zeros(4))


class Classifier(nn.Module):
    def __init__(self, audio: nn.Module | None, text: nn.Module | None) -> None:
        super().__init__()
        self.audio_encoder, self.text_encoder = audio, text
        self.head = nn.Linear(8, 2)


def rates_by_name(classifier: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Learning rate of every parameter, each of which is in one group."""
    by_id = [(id(p), group["lr"]) for group in optimizer.param_groups for p in group["params"]]
    rates = dict(by_id)
    assert len(rates) == len(by_id)
    return {name: rates[id(p)] for name, p in classifier.named_parameters()}


def random_model(family: str) -> nn.Module:
    if family == "whisper":
        config = AutoConfig.for_model(
            family, d_model=8, encoder_layers=3, encoder_attention_heads=2, encoder_ffn_dim=8,
            decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=8, vocab_size=20,
            max_source_positions=8, pad_token_id=0,
        )  # fmt: skip
        return AutoModel.from_config(config).encoder.requires_grad_(True)
    return AutoModel.from_config(AutoConfig.for_model(family, **MODELS[family]))


LAYER = re.compile(r"(?:encoder|transformer|model)\.layers?\.(\d)\.")
BELOW = re.compile(r"embed|conv|relative|masked_spec|feature_(?:extractor|projection)")


@pytest.mark.parametrize("family", [*MODELS, "whisper"])
def test_each_layer_learns_at_half_the_rate_of_the_one_above(family: str) -> None:
    classifier = Classifier(None, Encoder(random_model(family)))
    optimizer = build_optimizer(ADAMW, classifier, 0.8, layer_decay=0.5)
    rates = rates_by_name(classifier, optimizer)
    in_layers = {0: 0.2, 1: 0.4, 2: 0.8}
    for name, rate in rates.items():
        layer = LAYER.search(name)
        if ".model." not in name:
            assert rate == 1.0, name
        elif layer:
            assert rate == in_layers[int(layer[1])], name
        elif BELOW.search(name):
            assert rate == 0.1, name
    assert set(rates.values()) >= {1.0, 0.8, 0.4, 0.2, 0.1}
    assert rates["text_encoder.layer_weights"] == 1.0


def test_a_rate_of_the_encoders_own() -> None:
    classifier = Classifier(Encoder(nn.Linear(3, 3)), Encoder(nn.Linear(3, 3)))
    optimizer = build_optimizer(ADAMW, classifier, encoder_learning_rate=0.5)
    rates = rates_by_name(classifier, optimizer)
    assert {n: r for n, r in rates.items() if ".model." in n} == {
        f"{name}_encoder.model.{part}": 0.5
        for name in ("audio", "text")
        for part in ("weight", "bias")
    }
    assert rates["head.weight"] == rates["audio_encoder.layer_weights"] == 1.0
    assert learning_rates(optimizer) == {
        "learning_rate": 1.0,
        "learning_rate/audio_encoder": 0.5,
        "learning_rate/text_encoder": 0.5,
    }


def test_layers_of_a_model_from_scratch() -> None:
    classifier = Classifier(None, ScratchTextEncoder(width=8, num_heads=2, num_layers=2))
    rates = rates_by_name(classifier, build_optimizer(ADAMW, classifier, layer_decay=0.1))
    assert rates["text_encoder.transformer.layers.1.norm1.weight"] == 1.0
    assert rates["text_encoder.transformer.layers.0.linear1.weight"] == pytest.approx(0.1)
    assert rates["text_encoder.word_embeddings.weight"] == pytest.approx(0.01)
    assert rates["text_encoder.transformer.norm.weight"] == 1.0


def test_biases_and_norms_are_not_decayed() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Embedding(5, 4))
    model[2].weight.requires_grad_(False)
    optimizer = build_optimizer(ADAMW, model)
    decayed, spared = optimizer.param_groups
    assert [p.shape for p in decayed["params"]] == [(4, 3)]
    assert [p.shape for p in spared["params"]] == [(4,), (4,), (4,)]
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.01, 0.0)
    assert learning_rates(optimizer) == {"learning_rate": 1.0}


def test_what_cannot_be_is_an_error() -> None:
    classifier = Classifier(Encoder(nn.Linear(3, 3)), None)
    with pytest.raises(
        InputError, match=r"layer_decay \(audio_encoder\): expected a model with a list of layers"
    ):
        build_optimizer(ADAMW, classifier, layer_decay=0.9)
    with pytest.raises(InputError, match=r"layer_decay: expected more than 0 and at most 1, got 2"):
        build_optimizer(ADAMW, classifier, layer_decay=2)
    with pytest.raises(InputError, match="encoder_learning_rate: expected more than 0, or null"):
        build_optimizer(ADAMW, classifier, encoder_learning_rate=0)
