"""Attention rollout by hand, and the attention that encoders tell."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from mmemo.data.batch import AudioInput, TextInput
from mmemo.explanation.attention_rollout import MEANING, AttentionRollout, rollout
from mmemo.explanation.passes import ExplanationError
from mmemo.models.attentions import pooling_shares
from mmemo.models.audio_encoders import PretrainedAudioEncoder
from mmemo.models.logmel_encoder import LogMelEncoder
from mmemo.models.pooling import get_pooling
from mmemo.models.scratch_text_encoder import ScratchTextEncoder
from mmemo.models.text_encoders import PretrainedTextEncoder
from tests.explanation.test_real_models import build, explainer, given, scratch, sound

ALONE = {"integrated_gradients": None, "occlusion": None, "shapley": False}


def heard(num_samples: int = 1500) -> AudioInput:
    return AudioInput(sound(num_samples)[None], torch.ones(1, num_samples, dtype=torch.bool))


def test_two_layers_by_hand() -> None:
    first = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    second = torch.tensor([[0.5, 0.5], [0.0, 1.0]])
    # With the identity: [[1, 0], [.25, .75]] and [[.75, .25], [0, 1]]; the second times the first.
    expected = torch.tensor([[0.8125, 0.1875], [0.25, 0.75]], dtype=torch.float64)
    torch.testing.assert_close(rollout([first[None], second[None]]), expected)
    # The mean of two heads is the same layer.
    heads = torch.stack([2 * first - torch.eye(2), torch.eye(2)])
    torch.testing.assert_close(rollout([heads, second[None]]), expected)


def test_shares_of_a_pooling() -> None:
    mask = torch.tensor([[True, True, False], [True, True, True]])
    third = 1 / 3
    means = torch.tensor([[0.5, 0.5, 0.0], [third, third, third]])
    for name, expected in (
        ("mean", means),
        ("mean_std", means),
        ("first", torch.tensor([[1.0, 0.0, 0.0]] * 2)),
    ):
        torch.testing.assert_close(pooling_shares(get_pooling(name)[0], mask), expected)


def test_attention_of_the_small_encoder_by_hand() -> None:
    encoder = scratch().eval()
    ids = torch.tensor([[1, 40, 50, 60]])
    text = TextInput(ids, torch.tensor([[True, True, True, False]]))
    with torch.no_grad():
        found = encoder.attentions(text)
        layer = encoder.transformer.layers[0]
        hidden = encoder.embed(ids) + encoder.position_embeddings(torch.arange(4))
        attention = layer.self_attn
        queries, keys, _ = torch.nn.functional.linear(
            layer.norm1(hidden), attention.in_proj_weight, attention.in_proj_bias
        ).chunk(3, dim=-1)
    # Two heads of eight features each.
    scores = torch.stack([queries[0, :, s] @ keys[0, :3, s].T for s in (slice(8), slice(8, 16))])
    expected = torch.zeros(2, 4, 4)
    expected[..., :3] = (scores / math.sqrt(8)).softmax(dim=-1)
    torch.testing.assert_close(found.layers[0][0], expected, rtol=1e-4, atol=1e-6)
    assert len(found.layers) == 2


def test_both_modalities_of_pretrained_encoders(tiny_wavlm: Path, tiny_roberta: Path) -> None:
    audio = PretrainedAudioEncoder(str(tiny_wavlm))
    model = build(audio, PretrainedTextEncoder(str(tiny_roberta), pooling="mean"))
    utterance = given(model)
    how = explainer(attention_rollout=AttentionRollout(), **ALONE)
    found = how.explain(model, utterance, "joy")
    other = how.explain(model, utterance, "anger")
    rolled = found.attributions["attention_rollout"]
    assert rolled.frames is not None
    assert rolled.words is not None
    # It is of no class, and says so.
    np.testing.assert_array_equal(rolled.words, other.attributions["attention_rollout"].words)
    assert found.notes == (MEANING,)
    assert rolled.frames.min() >= 0
    assert 0 < rolled.words.sum() <= 1
    cost = how.cost(utterance)
    assert (found.forward_passes, found.backward_passes) == (cost.forward, cost.backward)
    # The model answers as before.
    np.testing.assert_allclose(
        found.probabilities, how.explain(model, utterance, "joy").probabilities, atol=1e-7
    )
    assert audio.model.config._attn_implementation == "eager"


def test_fast_attention_tells_the_same_as_that_of_transformers(tiny_wavlm: Path) -> None:
    torch.manual_seed(0)
    fast = PretrainedAudioEncoder(str(tiny_wavlm)).eval()
    plain = PretrainedAudioEncoder(str(tiny_wavlm), attention="eager").eval()
    plain.load_state_dict(fast.state_dict())
    with torch.no_grad():
        before = fast(heard()).pooled
        mine, other = fast.attentions(heard()), plain.attentions(heard())
        torch.testing.assert_close(fast(heard()).pooled, before)
    assert len(mine.layers) == len(other.layers) == int(fast.model.config.num_hidden_layers)
    for a, b in zip(mine.layers, other.layers, strict=True):
        torch.testing.assert_close(a.mean(dim=1), b.mean(dim=1), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(a.sum(dim=-1), torch.ones(a.shape[:-1]))
    with torch.no_grad():
        assert mine.layers[0].shape[-1] == fast(heard()).frames.shape[1]


def test_text_encoders_keep_their_attention(tiny_roberta: Path) -> None:
    encoder = PretrainedTextEncoder(str(tiny_roberta)).eval()
    kind = encoder.model.config._attn_implementation
    ids = torch.tensor([encoder.tokenize("You are here").ids])
    text = TextInput(ids, torch.ones_like(ids, dtype=torch.bool))
    with torch.no_grad():
        before = encoder(text).pooled
        found = encoder.attentions(text)
        torch.testing.assert_close(encoder(text).pooled, before)
    assert kind == encoder.model.config._attn_implementation == "sdpa"
    assert not getattr(encoder.model.config, "output_attentions", False)
    assert {layer.shape[-1] for layer in found.layers} == {ids.shape[1]}


def test_what_does_not_attend_is_told() -> None:
    how = explainer(attention_rollout=AttentionRollout(), **ALONE)
    model = build(LogMelEncoder(num_mels=8, width=4), scratch())
    found = how.explain(model, given(model))
    assert found.notes[1] == (
        "no attention rollout of audio: LogMelEncoder tells of no layers of attention"
    )
    assert found.attributions["attention_rollout"].frames is None
    heard_alone = build(LogMelEncoder(num_mels=8, width=4), None)
    with pytest.raises(ExplanationError, match="got none: no attention rollout of audio"):
        how.explain(heard_alone, given(heard_alone))


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_one_layer_of_a_text_by_hand(pooling: str) -> None:
    torch.manual_seed(0)
    encoder = ScratchTextEncoder(
        vocab_size=300, width=16, num_layers=1, num_heads=2, pooling=pooling
    )
    encoder.fit(["You are here, my friend!"])
    model = build(None, encoder)
    utterance = given(model)
    found = explainer(attention_rollout=AttentionRollout(), **ALONE).explain(model, utterance)
    assert utterance.text is not None
    with torch.no_grad():
        weights = encoder.attentions(utterance.text).layers[0][0].mean(dim=0).double()
    mixed = ((weights + torch.eye(len(weights))) / 2).numpy()
    shares = mixed[0] if pooling == "first" else mixed.mean(axis=0)
    tokens = utterance.token_words.numpy()
    expected = [shares[tokens[:, word]].sum() for word in range(len(utterance.words))]
    np.testing.assert_allclose(found.attributions["attention_rollout"].words, expected, rtol=1e-5)
