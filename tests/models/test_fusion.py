"""Each fusion at sizes where the answer can be worked out by hand."""

from collections.abc import Callable, Mapping
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from mmemo.errors import InputError
from mmemo.models.fusion import BottleneckFusion, Fusion, embedding_of
from mmemo.models.fusions import CrossAttentionFusion, GatedFusion, LateFusion
from mmemo.models.hybrid_attention_fusion import HybridAttentionFusion
from mmemo.models.key_sparse_fusion import KeySparseFusion
from mmemo.models.label_guided_fusion import LabelGuidedFusion
from mmemo.models.protocols import EncodedModality, FeatureDims, Features, PooledFeatures
from mmemo.models.shifted_fusion import ShiftedFusion
from mmemo.models.squeeze_excitation_fusion import SqueezeExcitationFusion

BOTH = {"audio": FeatureDims(pooled=6, frames=3), "text": FeatureDims(pooled=2, frames=2)}
OF_FRAMES: dict[str, Callable[..., Fusion]] = {
    "cross_attention": partial(CrossAttentionFusion, num_heads=2),
    "hybrid_attention": partial(HybridAttentionFusion, num_heads=2),
    "key_sparse": partial(KeySparseFusion, num_heads=2),
    "label_guided": partial(LabelGuidedFusion, num_heads=2, num_classes=3),
    "squeeze_excitation": partial(SqueezeExcitationFusion, num_heads=2, reduction=1),
}
BUILDERS: dict[str, Callable[..., Fusion]] = {
    "bottleneck": BottleneckFusion,
    "gated": GatedFusion,
    "late": LateFusion,
    **OF_FRAMES,
}
ALL = pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
FRAMES = pytest.mark.parametrize("build", OF_FRAMES.values(), ids=OF_FRAMES)


def pooled(**vectors: list[list[float]]) -> dict[str, EncodedModality]:
    return {name: PooledFeatures(torch.tensor(rows)) for name, rows in vectors.items()}


def set_weights(layer: nn.Linear, weight: list[list[float]], bias: list[float]) -> None:
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        layer.bias.copy_(torch.tensor(bias))


def random_features(num_utterances: int = 4) -> dict[str, EncodedModality]:
    """Frames of 2 to 5 real ones, sound longer than text."""
    features: dict[str, EncodedModality] = {}
    for name, dims in BOTH.items():
        num_frames = 5 if name == "audio" else 4
        lengths = torch.arange(num_utterances) % (num_frames - 1) + 2
        features[name] = Features(
            torch.randn(num_utterances, num_frames, dims.frames),
            torch.arange(num_frames) < lengths[:, None],
            torch.randn(num_utterances, dims.pooled),
        )
    return features


class Classifier(nn.Module):
    """A fusion and its head, three classes."""

    def __init__(self, fusion: Fusion) -> None:
        super().__init__()
        self.fusion = fusion
        self.head = fusion.build_head(lambda dim: nn.Linear(dim, 3))

    def forward(self, features: Mapping[str, EncodedModality]) -> Tensor:
        logits: Tensor = self.head(self.fusion(features))
        return logits


def classifier(build: Callable[..., Fusion], modality_dropout: float = 0.0) -> Classifier:
    torch.manual_seed(0)
    model = Classifier(build(BOTH, bottleneck_dim=4, modality_dropout=modality_dropout))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model


def test_bottleneck_is_a_projection_for_each_modality() -> None:
    dims = {"audio": FeatureDims(1, 1), "text": FeatureDims(2, 1)}
    fusion = BottleneckFusion(dims, bottleneck_dim=1)
    set_weights(fusion.projections["audio"], [[2.0]], [1.0])
    set_weights(fusion.projections["text"], [[3.0, 4.0]], [0.0])
    fused = fusion(pooled(text=[[10.0, 1.0]], audio=[[5.0]]))
    torch.testing.assert_close(fused, torch.tensor([[11.0, 34.0]]))
    assert fusion.output_dim == 2


def test_a_learned_vector_stands_for_what_is_missing() -> None:
    dims = {"audio": FeatureDims(1, 1), "text": FeatureDims(1, 1)}
    fusion = BottleneckFusion(dims, bottleneck_dim=2, modality_dropout=0.5).eval()
    set_weights(fusion.projections["audio"], [[1.0], [2.0]], [0.0, 0.0])
    with torch.no_grad():
        fusion.missing["text"].copy_(torch.tensor([7.0, 8.0]))
    torch.testing.assert_close(fusion(pooled(audio=[[3.0]])), torch.tensor([[3.0, 6.0, 7.0, 8.0]]))


EMBEDDING_DIMS = {
    **dict.fromkeys(("gated", "shifted"), 4),
    **dict.fromkeys(("bottleneck", "late", "cross_attention"), 8),
    **dict.fromkeys(("key_sparse", "squeeze_excitation"), 8),
    "hybrid_attention": 4,
    "label_guided": 8 + 3,
}
SHIFTED = partial(ShiftedFusion, num_heads=2)


@pytest.mark.parametrize("name", EMBEDDING_DIMS)
def test_a_fusion_tells_how_many_features_its_embedding_has(name: str) -> None:
    fusion = {**BUILDERS, "shifted": SHIFTED}[name](BOTH, bottleneck_dim=4)
    found = embedding_of(fusion(random_features())).shape[1]
    assert found == fusion.embedding_dim == EMBEDDING_DIMS[name]


def test_the_gate_says_how_much_of_which_modality() -> None:
    dims = {"audio": FeatureDims(1, 1), "text": FeatureDims(1, 1)}
    fusion = GatedFusion(dims, bottleneck_dim=1)
    set_weights(fusion.projections["audio"], [[1.0]], [0.0])
    set_weights(fusion.projections["text"], [[1.0]], [0.0])
    given = pooled(audio=[[0.5]], text=[[-2.0]])
    audio, text = torch.tanh(torch.tensor([0.5, -2.0]))
    assert isinstance(fusion.gate, nn.Linear)
    for bias, expected in ((100.0, audio), (-100.0, text), (0.0, (audio + text) / 2)):
        set_weights(fusion.gate, [[0.0, 0.0]], [bias])
        torch.testing.assert_close(fusion(given).squeeze(), expected)
    # The gate sees both modalities: z = sigmoid(1 * 0.5 + 2 * -2 + 3) = sigmoid(-0.5).
    set_weights(fusion.gate, [[1.0, 2.0]], [3.0])
    z = torch.sigmoid(torch.tensor(-0.5))
    torch.testing.assert_close(fusion(given).squeeze(), z * audio + (1 - z) * text)


def test_late_is_the_mean_of_unimodal_logits() -> None:
    model = classifier(LateFusion)
    features = random_features()
    alone = []
    for name in BOTH:
        unimodal = Classifier(BottleneckFusion({name: BOTH[name]}, bottleneck_dim=4))
        unimodal.fusion.projections[name].load_state_dict(
            model.fusion.projections[name].state_dict()
        )
        unimodal.head.load_state_dict(model.head[name].state_dict())
        alone.append(unimodal({name: features[name]}))
    torch.testing.assert_close(model(features), (alone[0] + alone[1]) / 2)


def identity_attention(fusion: CrossAttentionFusion, name: str) -> None:
    """One head whose query, key, value and output are what comes in."""
    attention = fusion.attentions[name]
    with torch.no_grad():
        attention.in_proj_weight.copy_(torch.eye(2).repeat(3, 1))
        attention.in_proj_bias.zero_()
        attention.out_proj.weight.copy_(torch.eye(2))
        attention.out_proj.bias.zero_()


def test_frames_attend_to_the_other_modality() -> None:
    dims = {"audio": FeatureDims(2, 2), "text": FeatureDims(2, 2)}
    fusion = CrossAttentionFusion(dims, bottleneck_dim=2, num_heads=1).eval()
    for name in dims:
        set_weights(fusion.projections[name], [[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0])
        identity_attention(fusion, name)
        fusion.norms[name] = nn.Identity()
    sound = Features(
        torch.tensor([[[1.0, 0.0], [9.0, 9.0]]]), torch.tensor([[True, False]]), torch.zeros(1, 2)
    )
    tokens = Features(
        torch.tensor([[[2.0, 0.0], [0.0, 4.0]]]), torch.tensor([[True, True]]), torch.zeros(1, 2)
    )
    fused = fusion({"audio": sound, "text": tokens})
    # The one real frame of sound scores 2 and 0, over the root of D = 2.
    first, second = torch.softmax(torch.tensor([2.0, 0.0]) / 2**0.5, dim=0)
    expected_audio = torch.stack([1 + 2 * first, 4 * second])
    # Each token has one frame of sound to attend to: 1 and 0 are added to it.
    expected_text = torch.tensor([(3.0 + 1.0) / 2, (0.0 + 4.0) / 2])
    torch.testing.assert_close(fused[0], torch.cat([expected_audio, expected_text]))


@FRAMES
def test_padded_frames_change_nothing(build: Callable[..., Fusion]) -> None:
    torch.manual_seed(1)
    fusion = build(BOTH, bottleneck_dim=4).eval()
    features = random_features()
    expected = fusion(features)
    padded, permuted = {}, {}
    for name, given in features.items():
        assert isinstance(given, Features)
        wrong = torch.full((4, 3, given.frames.shape[2]), 50.0)
        noisy = torch.where(given.mask[..., None], given.frames, 1000.0)
        frames = torch.cat([noisy, wrong], dim=1)
        mask = torch.cat([given.mask, torch.zeros(4, 3, dtype=torch.bool)], dim=1)
        padded[name] = Features(frames, mask, given.pooled)
        permuted[name] = Features(frames.flip(1), mask.flip(1), given.pooled)
    torch.testing.assert_close(fusion(padded), expected, atol=1e-5, rtol=0)
    if not isinstance(fusion, SqueezeExcitationFusion):
        # Only a convolution knows an order of frames.
        torch.testing.assert_close(fusion(permuted), expected, atol=1e-5, rtol=0)
    for index in range(4):
        alone = {}
        for name, given in features.items():
            assert isinstance(given, Features)
            frames = given.frames[index : index + 1, given.mask[index]]
            alone[name] = Features(
                frames, torch.ones(frames.shape[:2], dtype=torch.bool), given.pooled[:1]
            )
        torch.testing.assert_close(fusion(alone)[0], expected[index], atol=1e-5, rtol=0)


@FRAMES
def test_pooled_features_are_not_enough_for_attention(build: Callable[..., Fusion]) -> None:
    fusion = build(BOTH, bottleneck_dim=4)
    assert fusion.needs_frames
    with pytest.raises(TypeError, match="expected frames of audio"):
        fusion(pooled(audio=[[0.0] * 6], text=[[0.0] * 2]))


@ALL
def test_every_parameter_is_trained(build: Callable[..., Fusion]) -> None:
    model = classifier(build, modality_dropout=0.5)
    assert model.fusion.trains_every_weight
    features = random_features(16)
    model(features).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@ALL
def test_one_modality_is_a_unimodal_baseline(build: Callable[..., Fusion]) -> None:
    torch.manual_seed(0)
    features = random_features()
    for name in BOTH:
        for modality_dropout in (0.0, 0.9):
            model = Classifier(
                build({name: BOTH[name]}, bottleneck_dim=4, modality_dropout=modality_dropout)
            )
            logits = model({name: features[name]})
            assert logits.shape == (4, 3)
            logits.square().sum().backward()
            assert all(p.grad is not None for p in model.parameters()), "nothing lies idle"
            with pytest.raises(InputError, match=f"expected features of {name}, got none"):
                model({})


@ALL
@pytest.mark.parametrize("lacking", ["audio", "text"])
def test_a_dropped_modality_is_a_missing_one(build: Callable[..., Fusion], lacking: str) -> None:
    model = classifier(build, modality_dropout=0.5).eval()
    features = random_features()
    complete = model(features)
    without = model({name: given for name, given in features.items() if name != lacking})
    present = torch.ones(4, 2, dtype=torch.bool)
    present[1, list(BOTH).index(lacking)] = False
    mixed = model.head(model.fusion.fuse(features, present))
    # Sums over frames of which some are masked are rounded otherwise than without these.
    torch.testing.assert_close(mixed[1], without[1], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(mixed[1], complete[1], atol=1e-3)
    kept = [0, 2, 3]
    assert torch.equal(mixed[kept], complete[kept])


@ALL
def test_a_missing_modality_needs_modality_dropout(build: Callable[..., Fusion]) -> None:
    model = classifier(build)
    with pytest.raises(InputError, match="got text; .* fusion.modality_dropout above 0"):
        model({"text": random_features()["text"]})


@ALL
def test_modality_dropout_is_a_matter_of_training(build: Callable[..., Fusion]) -> None:
    torch.manual_seed(0)
    fusion = build(BOTH, bottleneck_dim=4, modality_dropout=1.0)
    features = random_features()
    given = []
    fuse = fusion.fuse
    fusion.fuse = lambda features, present: (given.append(present), fuse(features, present))[1]
    fusion.train()(features)
    fusion.eval()(features)
    trained, evaluated = given
    assert trained.sum(dim=1).tolist() == [1, 1, 1, 1]
    assert evaluated.all()


@ALL
def test_a_share_is_between_none_and_all(build: Callable[..., Fusion]) -> None:
    with pytest.raises(InputError, match="fusion.modality_dropout: .* got 1.5"):
        build(BOTH, modality_dropout=1.5)


@FRAMES
def test_heads_of_attention_divide_its_features(build: Callable[..., Fusion]) -> None:
    with pytest.raises(InputError, match=r"a multiple of fusion.num_heads \(2\), got 7"):
        build(BOTH, bottleneck_dim=7)
