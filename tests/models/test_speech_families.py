"""Every family of speech models, from tiny random checkpoints, by the path that a user takes."""

import math
import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
from hydra.errors import InstantiationException
from torch import Tensor
from transformers import AutoConfig, AutoModel

from mmemo.errors import InputError
from mmemo.models.audio_encoders import PretrainedAudioEncoder
from mmemo.models.layer_weights import SHARPNESS, LayerWeights
from mmemo.models.trainable import transformer_layers
from mmemo.runs.experiment import Experiment
from mmemo.training.parameter_groups import build_optimizer
from tests.models.speech_families import (
    FAMILIES,
    LENGTHS,
    SPECTROGRAM,
    build,
    collate,
    noise,
    write_checkpoints,
)
from tests.test_configs import composed


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_checkpoints(tmp_path_factory)


@pytest.mark.parametrize("options", [["layers=last"], ["layers=weighted"], ["attention=eager"]])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_answer_does_not_depend_on_the_batch(
    name: str, options: list[str], checkpoints: dict[str, Path]
) -> None:
    encoder = build(name, checkpoints, *options, "layerdrop=0", "pooling=mean_std").eval()
    with torch.no_grad():
        together = encoder(collate(encoder, LENGTHS))
        for index, length in enumerate(LENGTHS):
            alone = encoder(collate(encoder, (length,)))
            real = int(alone.mask.sum())
            assert int(together.mask[index].sum()) == real
            for part, whole in (
                (alone.pooled[0], together.pooled[index]),
                (alone.frames[0, :real], together.frames[index, :real]),
            ):
                torch.testing.assert_close(whole, part, atol=1e-5, rtol=0)
    assert together.frames.shape[2] == encoder.frame_dim
    assert together.pooled.shape == (len(LENGTHS), encoder.output_dim)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_answer_is_the_same_in_every_type(name: str, checkpoints: dict[str, Path]) -> None:
    """What autocast hands on between layers is float32: only what they compute is rounded."""
    encoder = build(name, checkpoints, "layers=weighted", "layerdrop=0").eval()
    sound = collate(encoder, (401, 733))
    expected = encoder(sound).pooled.detach()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = encoder(sound)
    assert rounded.frames.dtype == torch.float32
    assert not torch.equal(rounded.pooled, expected)
    torch.testing.assert_close(rounded.pooled, expected, atol=2e-2, rtol=2e-2)
    for dtype, tolerance in ((torch.float64, 1e-5), (torch.bfloat16, 2e-2)):
        pooled = encoder.to(dtype)(sound).pooled
        torch.testing.assert_close(pooled.float(), expected, atol=tolerance, rtol=tolerance)
        pooled.sum().backward()


@pytest.mark.parametrize("name", FAMILIES)
def test_every_trained_parameter_gets_a_gradient(name: str, checkpoints: dict[str, Path]) -> None:
    droppable = [] if name in SPECTROGRAM else ["layerdrop=0"]
    for options in (
        *([], ["layers=weighted"], ["trainable=top_1"], ["trainable=lora"]),
        *(
            ["trainable=lora", "attention=eager"],
            ["trainable=no_feature_encoder"] * (name != "ast"),
        ),
    ):
        encoder = build(name, checkpoints, *options, *droppable)
        assert encoder.training
        assert encoder.trains_every_weight
        encoder(collate(encoder, LENGTHS)).pooled.square().sum().backward()
        trained = {n for n, p in encoder.named_parameters() if p.requires_grad}
        assert trained == {n for n, p in encoder.named_parameters() if p.grad is not None}
        if "trainable=lora" in options:
            assert trained
            assert all("lora_" in parameter for parameter in trained)
        if options == ["trainable=top_1"]:
            assert any(re.search(r"layers?\.1\.", parameter) for parameter in trained)
            assert not any(re.search(r"layers?\.0\.", parameter) for parameter in trained)


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in SPECTROGRAM])
def test_one_utterance_is_heard_as_transformers_hears_it(
    name: str, checkpoints: dict[str, Path]
) -> None:
    encoder = build(name, checkpoints).eval()
    reference = AutoModel.from_pretrained(checkpoints[name]).eval()
    # A multiple of SEW's squeezed frames: (4006 - 10) // 5 + 1 = 800, (800 - 3) // 2 + 1 = 399.
    audio = collate(encoder, (4_011,))
    with torch.no_grad():
        expected = reference(audio.waveform).last_hidden_state
        torch.testing.assert_close(encoder(audio).frames, expected, atol=1e-5, rtol=0)


def test_batch_statistics_are_of_real_frames(checkpoints: dict[str, Path]) -> None:
    still = "config_overrides={hidden_dropout:0,feat_proj_dropout:0}"
    frames: list[Tensor] = []
    encoder = build("hubert_batch_norm", checkpoints, still, "layerdrop=0", "mask_time_prob=0")
    norm = encoder.model.encoder.pos_conv_embed.batch_norm
    before = norm.running_mean.clone()
    norm.register_forward_hook(lambda module, given, made: frames.extend([given[0], made]))
    mask = encoder(collate(encoder, LENGTHS)).mask
    given, made = (hidden.transpose(1, 2) for hidden in frames)
    assert not made[~mask].any()
    torch.testing.assert_close(norm.running_mean, 0.9 * before + 0.1 * given[mask].mean(dim=0))
    # What is not trained is not moved by what it hears.
    frozen = build("hubert_batch_norm", checkpoints, "layerdrop=0", "trainable=top_1").train()
    frozen(collate(frozen, LENGTHS))
    assert torch.equal(frozen.model.encoder.pos_conv_embed.batch_norm.running_mean, before)


def test_what_would_depend_on_the_batch_is_refused(checkpoints: dict[str, Path]) -> None:
    for name, option, said in (
        ("conformer", "padding=longest", "expected fixed for wav2vec2-conformer, whose conv"),
        ("wav2vec2", "config_overrides={add_adapter:true}", "add_adapter:false"),
    ):
        with pytest.raises(InstantiationException, match=said):
            build(name, checkpoints, option)


def test_ast_is_that_of_transformers(checkpoints: dict[str, Path]) -> None:
    from transformers import ASTFeatureExtractor, ASTModel

    encoder = build("ast", checkpoints, "fixed_duration_s=1.28").eval()
    extractor = ASTFeatureExtractor(num_mel_bins=32, max_length=128)
    waveform = noise(9_000)
    values = extractor(waveform.numpy(), sampling_rate=16_000, return_tensors="pt").input_values
    with torch.no_grad():
        patches = ASTModel.from_pretrained(checkpoints["ast"]).eval()(values).last_hidden_state
        features = encoder(collate(encoder, (9_000,)))
    # 32 bands give 2 patches of 16 at steps of 10, 128 frames give 12.
    expected = patches[:, 2:].reshape(1, 2, 12, 24).mean(dim=1)
    torch.testing.assert_close(features.frames, expected, atol=1e-5, rtol=0)
    # 54 frames of 25 ms at steps of 10 ms in 562.5 ms; patches begin every 10th.
    assert int(features.mask.sum()) == 6


def test_fixed_padding_is_the_papers(checkpoints: dict[str, Path]) -> None:
    from transformers import WavLMModel

    encoder = build("wavlm", checkpoints, "padding=fixed", "attention=eager").eval()
    audio = collate(encoder, (4_001,))
    assert audio.waveform.shape == (1, 9_600)
    with torch.no_grad():
        expected = WavLMModel.from_pretrained(checkpoints["wavlm"]).eval()(audio.waveform)
        frames = encoder(audio).frames
    torch.testing.assert_close(frames, expected.last_hidden_state, atol=0, rtol=0)


def test_wavlm_attends_as_in_transformers(checkpoints: dict[str, Path]) -> None:
    fast = build("wavlm", checkpoints, "layerdrop=0", "mask_time_prob=0")
    eager = build("wavlm", checkpoints, "layerdrop=0", "mask_time_prob=0", "attention=eager")
    for encoder in (fast, eager):
        encoder.eval()
        encoder(collate(encoder, LENGTHS)).pooled.square().sum().backward()
    for (name, mine), theirs in zip(fast.named_parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-5, rtol=1e-4, msg=name)


def test_the_convolutional_front_can_be_frozen(checkpoints: dict[str, Path]) -> None:
    encoder = build("wavlm", checkpoints, "trainable=no_feature_encoder")
    frozen = {n for n, p in encoder.named_parameters() if not p.requires_grad}
    assert frozen == {n for n, _ in encoder.named_parameters() if "feature_extractor" in n}
    with pytest.raises(InstantiationException, match="expected a speech model with a convol"):
        build("ast", checkpoints, "trainable=no_feature_encoder")


def test_low_rank_updates_change_wavlms_attention(checkpoints: dict[str, Path]) -> None:
    encoder = build("wavlm", checkpoints, "trainable=lora", "lora_rank=2").eval()
    audio = collate(encoder, (4_001,))
    with torch.no_grad():
        before = encoder(audio).pooled
        for name, parameter in encoder.named_parameters():
            if "q_proj.lora_" in name:
                assert 2 in parameter.shape
                torch.nn.init.normal_(parameter)
        assert not torch.allclose(encoder(audio).pooled, before)


def test_weighting_begins_with_the_mean_of_all_layers(checkpoints: dict[str, Path]) -> None:
    encoder = build("hubert", checkpoints, "layers=weighted", "layerdrop=0", "trainable=none")
    assert encoder.frozen
    audio = collate(encoder, LENGTHS)
    layers, mask = encoder.backbone(audio, all_layers=True)
    assert len(layers) == 3, "the transformer's input and its two layers"
    features = encoder(audio)
    torch.testing.assert_close(features.frames, sum(layers) / 3)
    kept = encoder.pooled_layers(audio)
    assert kept.shape == (4, 3, 24)
    torch.testing.assert_close(kept[:, 1], encoder.pool(layers[1], mask))
    torch.testing.assert_close(encoder.from_pooled_layers(kept), features.pooled)
    features.pooled.sum().backward()
    assert encoder.layer_weights.logits is not None
    assert encoder.layer_weights.logits.grad is not None


def test_a_dropped_layer_has_no_weight(checkpoints: dict[str, Path]) -> None:
    with pytest.raises(
        InstantiationException, match=r"layerdrop: expected 0 where layers=weighted"
    ):
        build("hubert", checkpoints, "layers=weighted")


STILL = {
    "wavlm": ("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout"),
    "ast": ("hidden_dropout_prob", "attention_probs_dropout_prob"),
}


@pytest.mark.parametrize("name", STILL)
def test_gradient_checkpointing_computes_twice_the_same(
    name: str, checkpoints: dict[str, Path]
) -> None:
    values = ",".join(f"{setting}:0.0" for setting in STILL[name])
    options = [f"config_overrides={{{values}}}"]
    options += [] if name in SPECTROGRAM else ["layerdrop=0", "mask_time_prob=0"]
    gradients, runs = [], []
    for checkpointing in ("false", "true"):
        encoder = build(
            name, checkpoints, *options, f"gradient_checkpointing={checkpointing}"
        ).train()
        calls: list[int] = []
        layer = transformer_layers(encoder.backbone.model, "test")[0]
        part = next(m for n, m in layer.named_modules() if n.endswith(("v_proj", "value")))
        part.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        encoder(collate(encoder, LENGTHS)).pooled.square().sum().backward()
        gradients.append([p.grad for p in encoder.parameters() if p.requires_grad])
        runs.append(len(calls))
    assert runs == [1, 2]
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, again, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", ["wavlm_base_plus", "whisper_tiny"])
def test_no_file_and_no_hub_is_needed_without_pretrained_weights(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HfApi, "model_info", lambda *_, **__: pytest.fail("asked the hub"))
    size = "{hidden_size:32,num_hidden_layers:1,num_attention_heads:2,intermediate_size:8}"
    if name == "whisper_tiny":
        size = "{d_model:32,encoder_layers:1,encoder_attention_heads:2,decoder_attention_heads:2}"
    cfg = composed(
        [
            f"audio_encoder={name}",
            "audio_encoder.pretrained=false",
            f"audio_encoder.config_overrides={size}",
            "text_encoder=none",
            "corpus.root=/data",
        ]
    )
    encoder = Experiment(cfg).build_encoders().audio
    assert encoder is not None
    assert encoder.frame_dim == 32


# Millions of parameters that were published (Whisper: the encoder alone).
SIZES = {
    "wavlm_base_plus": 94.7,
    "wavlm_large": 316.6,
    "wav2vec2_base": 95.0,
    "hubert_base": 95.0,
    "data2vec_audio_base": 93.2,
    "unispeech_sat_base_plus": 94.7,
    "whisper_tiny": 8.2,
    "whisper_small": 88.2,
}


@pytest.mark.parametrize("name", SIZES)
def test_random_weights_have_the_published_size(name: str) -> None:
    cfg = composed([f"audio_encoder={name}", "audio_encoder.pretrained=false", "corpus.root=/d"])
    with torch.device("meta"):
        config = AutoConfig.for_model(**cfg.audio_encoder.architecture)
        model = AutoModel.from_config(config)
        model = model.encoder if name.startswith("whisper") else model
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    assert millions == pytest.approx(SIZES[name], rel=0.01)


def test_a_hub_out_of_reach_is_asked_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []

    def refuse(*_: object, **__: object) -> None:
        asked.append(1)
        raise ConnectionError("no network")

    monkeypatch.setattr(HfApi, "model_info", refuse)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for _ in range(2):
        with pytest.raises(InputError) as caught:
            PretrainedAudioEncoder("somebody/unheard-of")
    said = str(caught.value)
    assert len(asked) == 1
    for part in ("somebody/unheard-of", "cannot be reached", "checkpoint=DIR", "HF_HOME"):
        assert part in said
    for part in ("HF_ENDPOINT", "audio_encoder.pretrained=false"):
        assert part in said


def test_a_wrong_name_is_told_from_a_gated_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    response = SimpleNamespace(headers={}, status_code=404, request=None, url="", text="")
    for kind, said in ((RepositoryNotFoundError, "no such repository"), (GatedRepoError, "gated")):

        def refuse(*_: object, kind: type[Exception] = kind, **__: object) -> None:
            raise kind("refused", response=response)  # type: ignore[call-arg]

        monkeypatch.setattr(HfApi, "model_info", refuse)
        with pytest.raises(InputError, match=said):
            PretrainedAudioEncoder(f"somebody/{kind.__name__}")


def test_unknown_config_overrides_are_refused(checkpoints: dict[str, Path]) -> None:
    with pytest.raises(InstantiationException, match="expected settings of wavlm, got hiden_size"):
        build("wavlm", checkpoints, "config_overrides={hiden_size:3}")


def test_layers_are_weighed_by_a_softmax() -> None:
    weights = LayerWeights(2)
    layers = [torch.tensor([[1.0, 2.0]]), torch.tensor([[5.0, 4.0]])]
    torch.testing.assert_close(weights(layers), torch.tensor([[3.0, 3.0]]))
    assert weights.logits is not None
    with torch.no_grad():
        weights.logits.copy_(torch.tensor([math.log(3.0), 0.0]) / SHARPNESS)
    # 3/4 of the first and 1/4 of the second.
    torch.testing.assert_close(weights(layers), torch.tensor([[2.0, 2.5]]))
    assert list(LayerWeights(1).parameters()) == []


def test_a_weighting_learns_at_the_rate_of_the_head(checkpoints: dict[str, Path]) -> None:
    encoder = build("hubert", checkpoints, "layers=weighted", "layerdrop=0")
    classifier = torch.nn.Module()
    classifier.audio_encoder, classifier.text_encoder = encoder, None
    optimizer = build_optimizer(partial(torch.optim.AdamW, lr=0.1), classifier, 0.001)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rates[id(encoder.layer_weights.logits)] == 0.1
    assert {rates[id(p)] for p in encoder.model.parameters() if p.requires_grad} == {0.001}


@pytest.mark.parametrize("padding", ["longest", "fixed"])
@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in SPECTROGRAM])
def test_clips_shorter_than_a_span_of_specaugment_are_trained_on(
    name: str, padding: str, checkpoints: dict[str, Path]
) -> None:
    if (name, padding) == ("conformer", "longest"):
        pytest.skip("refused: its convolutions carry padding into what is real")
    # Spans are of 10 frames: of 10 samples each, here.
    options = [f"padding={padding}", "mask_time_prob=0.9", "layerdrop=0"]
    if padding == "fixed":
        options.append("fixed_duration_s=0.005")
    encoder = build(name, checkpoints, *options).train()
    lengths = (79,) if padding == "fixed" else (16, 79, 95, 40)
    encoder(collate(encoder, lengths)).pooled.sum().backward()
    embedding = encoder.backbone.model.masked_spec_embed
    # Connected, as distributed training needs, and without a part in the answer.
    assert embedding.grad is not None
    assert not embedding.grad.any()
    if padding == "longest":
        encoder(collate(encoder, (16, 400))).pooled.sum().backward()
        assert embedding.grad.any()
