"""Models as graphs answer as they do in torch, whatever the length and the batch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from mmemo.data.frontends import Tokens
from mmemo.errors import InputError
from mmemo.export.clips import Clip, collate, graph_inputs
from mmemo.export.graph import (
    ConvolutionalPower,
    ExportableModel,
)
from mmemo.export.onnx_graph import open_graph, run_graph, write_graph
from mmemo.models.audio_encoders import PretrainedAudioEncoder
from mmemo.models.classifier import EmotionClassifier
from mmemo.models.fusion import BottleneckFusion
from mmemo.models.fusions import CrossAttentionFusion, GatedFusion, LateFusion
from mmemo.models.hybrid_attention_fusion import HybridAttentionFusion
from mmemo.models.key_sparse_fusion import KeySparseFusion
from mmemo.models.label_guided_fusion import LabelGuidedFusion
from mmemo.models.logmel_encoder import LogMelEncoder
from mmemo.models.scratch_text_encoder import ScratchTextEncoder
from mmemo.models.squeeze_excitation_fusion import SqueezeExcitationFusion
from mmemo.models.text_encoders import PretrainedTextEncoder
from mmemo.runs.encoders import Encoders
from tests.conftest import TINY_SPEECH

LENGTHS = (900, 1450, 2777, 4000, 7001)
NUM_TOKENS = (1, 3, 9, 13, 16)


def clips(encoders: Encoders) -> list[Clip]:
    """Five clips of noise and random tokens."""
    random = torch.Generator().manual_seed(1)
    found = []
    for length, num in zip(LENGTHS, NUM_TOKENS, strict=True):
        ids = torch.randint(5, 20, (num,), generator=random).tolist()
        # The first is context, where there are several.
        tokens = Tokens(ids, (1, num) if num > 1 else None)
        samples = 0.1 * torch.randn(length, generator=random)
        found.append(Clip(samples if encoders.audio else None, tokens if encoders.text else None))
    return found


def built(audio: Any, text: Any) -> tuple[Encoders, EmotionClassifier]:  # noqa: ANN401
    torch.manual_seed(2)
    fusion = partial(BottleneckFusion, bottleneck_dim=8)
    return Encoders(audio, text), EmotionClassifier(audio, text, fusion, 5, hidden_dim=8).eval()


def assert_same_answers(audio: Any, text: Any) -> ExportableModel:  # noqa: ANN401
    encoders, classifier = built(audio, text)
    graph = ExportableModel(classifier, reads_context=text is not None)
    every = clips(encoders)
    batches: Sequence[Sequence[Clip]] = [every[:1], every[-1:], every[1:4], every]
    for batch in batches:
        with torch.inference_mode():
            expected = classifier(collate(batch, encoders))
            inputs = graph_inputs(batch, encoders, graph.input_names)
            found = graph(*inputs.values())
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    return graph


def scratch_text() -> ScratchTextEncoder:
    return ScratchTextEncoder(width=16, num_layers=2, max_tokens=16)


@pytest.fixture
def tiny_hubert(tmp_path: Path) -> Path:
    from transformers import HubertConfig, HubertModel

    torch.manual_seed(0)
    HubertModel(HubertConfig(**TINY_SPEECH, feat_extract_norm="group")).save_pretrained(tmp_path)
    return tmp_path


def test_a_model_from_scratch() -> None:
    graph = assert_same_answers(LogMelEncoder(width=8), scratch_text())
    assert graph.input_names == (
        *("samples", "num_samples", "token_ids", "num_tokens", "own_tokens"),
    )
    assert not graph.standardises


@pytest.mark.parametrize("layers", ["last", "weighted"])
def test_wavlm_with_norms_over_time(tiny_wavlm: Path, layers: Any) -> None:  # noqa: ANN401
    assert assert_same_answers(
        PretrainedAudioEncoder(str(tiny_wavlm), layers=layers), None
    ).standardises


def test_wav2vec2_with_norms_in_frames(tiny_wav2vec2_layer_norm: Path) -> None:
    assert_same_answers(PretrainedAudioEncoder(str(tiny_wav2vec2_layer_norm)), None)


def test_hubert_of_fixed_length(tiny_hubert: Path) -> None:
    audio = PretrainedAudioEncoder(str(tiny_hubert), padding="fixed", fixed_duration_s=0.5)
    assert_same_answers(audio, None)


def test_whisper(tiny_whisper: Path) -> None:
    assert_same_answers(PretrainedAudioEncoder(str(tiny_whisper), padding="fixed"), None)


def test_a_language_model(tiny_roberta: Path) -> None:
    assert_same_answers(None, PretrainedTextEncoder(str(tiny_roberta), max_tokens=16))


@pytest.mark.parametrize("pooling", ["mean", "mask"])
def test_a_prompt_is_read_and_not_pooled(pooling: str, tiny_roberta: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    text = PretrainedTextEncoder(
        str(tiny_roberta), max_tokens=24, pooling=pooling, prompt="Now I feel {mask}"
    )
    encoders, classifier = built(None, text)
    graph = ExportableModel(classifier, reads_context=False)
    words = ["I'm fine.", "!", "You are here, my friend!"]
    every = [Clip(None, text.tokenize(one)) for one in words]
    write_graph(graph, graph_inputs(every[:2], encoders, graph.input_names), 17, tmp_path / "m")
    session = open_graph(tmp_path / "m")
    names = [one.name for one in session.get_inputs()]
    # The hidden token is found by its id, wherever the utterance ends.
    assert names == ["token_ids", "num_tokens", *(["own_tokens"] if pooling == "mean" else [])]
    for batch in (every[:1], every[-1:], every):
        with torch.inference_mode():
            expected = classifier(collate(batch, encoders))
        found = run_graph(session, graph_inputs(batch, encoders, names))
        torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("modality_dropout", [0.0, 0.5])
@pytest.mark.parametrize(
    "kind",
    [
        *(BottleneckFusion, CrossAttentionFusion, GatedFusion, LateFusion),
        *(HybridAttentionFusion, KeySparseFusion, LabelGuidedFusion, SqueezeExcitationFusion),
    ],
)
def test_every_fusion_takes_any_batch_and_length_as_a_graph(
    kind: Any,  # noqa: ANN401
    modality_dropout: float,
    standardise: bool,
    tmp_path: Path,
) -> None:
    """Traced with two clips, then run with one, three and five of other lengths."""
    pytest.importorskip("onnx")
    audio, text = LogMelEncoder(width=8), scratch_text()
    torch.manual_seed(2)
    fusion = partial(
        kind, bottleneck_dim=8, standardise=standardise, modality_dropout=modality_dropout
    )
    encoders = Encoders(audio, text)
    classifier = EmotionClassifier(audio, text, fusion, 5, hidden_dim=8).eval()
    graph = ExportableModel(classifier, reads_context=True)
    every = clips(encoders)
    write_graph(graph, graph_inputs(every[:2], encoders, graph.input_names), 17, tmp_path / "m")
    session = open_graph(tmp_path / "m")
    for batch in (every[-1:], every[1:4], every):
        with torch.inference_mode():
            expected = classifier(collate(batch, encoders))
        names = [one.name for one in session.get_inputs()]
        found = run_graph(session, graph_inputs(batch, encoders, names))
        torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-4, rtol=1e-4)


def test_the_runs_own_model_stays_as_it_is() -> None:
    audio = LogMelEncoder(width=8)
    mel = audio.mel
    _, classifier = built(audio, scratch_text())
    ExportableModel(classifier, reads_context=False)
    assert classifier.audio_encoder is audio
    assert audio.mel is mel


def test_power_of_a_tone_by_hand() -> None:
    # Of a cosine that fits k times into a rectangular window all power is in bin k: (n / 2)².
    window, k = 64, 5
    wave = torch.cos(2 * torch.pi * k * torch.arange(3 * window) / window)
    power = ConvolutionalPower(torch.ones(window), window, window)(wave[None])
    expected = torch.zeros(window // 2 + 1, 3)
    expected[k] = (window / 2) ** 2
    torch.testing.assert_close(power[0], expected, atol=1e-2, rtol=1e-4)


class OwnEncoder(LogMelEncoder):
    """What a user writes."""


def test_an_encoder_without_a_form_for_a_graph_is_named() -> None:
    _, classifier = built(OwnEncoder(width=8), None)
    with pytest.raises(InputError, match=r"the audio encoder OwnEncoder cannot; format=hugg"):
        ExportableModel(classifier, reads_context=False)
