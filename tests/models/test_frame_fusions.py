"""What each published fusion adds, worked out by hand, and that it learns."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from mmemo.errors import InputError
from mmemo.models.classifier import EmotionClassifier
from mmemo.models.frame_attention import FrameAttention, MaskedFrames, masked_softmax
from mmemo.models.frame_fusion import FrameFusion
from mmemo.models.fusions import CrossAttentionFusion
from mmemo.models.hybrid_attention_fusion import AttentionPooling
from mmemo.models.key_sparse_fusion import KeySparseAttention, KeySparseFusion
from mmemo.models.label_guided_fusion import LabelGuidedFusion
from mmemo.models.logmel_encoder import LogMelEncoder
from mmemo.models.protocols import FeatureDims, Features
from mmemo.models.scratch_text_encoder import ScratchTextEncoder
from mmemo.models.squeeze_excitation_fusion import (
    ContextConvolution,
    SqueezeExcitation,
    SqueezeExcitationFusion,
)
from tests.models.test_fusion import BOTH, OF_FRAMES, Classifier, random_features, set_weights


def frames(*rows: list[float], real: int | None = None) -> MaskedFrames:
    """One utterance, of whose frames the first are real."""
    count = len(rows) if real is None else real
    return MaskedFrames(torch.tensor([rows]), torch.arange(len(rows))[None] < count)


def test_softmax_is_over_what_is_real() -> None:
    scores = torch.tensor([[1.0, 2.0, 9.0], [1.0, 2.0, 3.0]], requires_grad=True)
    weights = masked_softmax(scores, torch.tensor([[True, True, False], [False] * 3]))
    of_two = torch.softmax(torch.tensor([1.0, 2.0]), dim=0)
    torch.testing.assert_close(weights[0], torch.cat([of_two, torch.zeros(1)]))
    assert torch.equal(weights[1], torch.zeros(3)), "over nothing there are no weights"
    weights.sum().backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()


def test_attention_is_torchs() -> None:
    torch.manual_seed(0)
    ours = FrameAttention(6, num_heads=3, dropout=0.0)
    theirs = nn.MultiheadAttention(6, 3, batch_first=True)
    theirs.load_state_dict(ours.state_dict())
    queries, keys = torch.randn(2, 4, 6), torch.randn(2, 5, 6)
    mask = torch.arange(5) < torch.tensor([[3], [5]])
    expected, _ = theirs(queries, keys, keys, key_padding_mask=~mask)
    everything = torch.ones(2, 4, dtype=torch.bool)
    found = ours(MaskedFrames(queries, everything), MaskedFrames(keys, mask))
    torch.testing.assert_close(found, expected)
    nothing = ours(MaskedFrames(queries, everything), MaskedFrames(keys, mask & False))
    assert torch.equal(nothing, torch.zeros(2, 4, 6))


def kept_weights(
    rows: list[list[float]], keep_share: float, queries: int = 2, keys: int = 4
) -> Tensor:
    """Weights (F, S) of one head, from softmaxed rows, with so many real queries and keys."""
    attention = KeySparseAttention(1, num_heads=1, dropout=0.0, keep_share=keep_share)
    found = attention.weights(
        torch.tensor([[rows]]).log(), torch.arange(2)[None] < queries, torch.arange(4)[None] < keys
    )
    return found[0, 0]


def test_the_keys_that_all_queries_attend_to_most_are_kept() -> None:
    rows = [[0.5, 0.3, 0.15, 0.05], [0.1, 0.2, 0.3, 0.4]]
    # The sums are 0.6, 0.5, 0.45 and 0.45; what is left of a row is not brought to 1 again.
    first_two = torch.tensor([[0.5, 0.3, 0.0, 0.0], [0.1, 0.2, 0.0, 0.0]])
    torch.testing.assert_close(kept_weights(rows, 0.5), first_two)
    torch.testing.assert_close(kept_weights(rows, 1.0), torch.tensor(rows))
    # One at least; a half of three is one, rounded down.
    torch.testing.assert_close(kept_weights(rows, 0.01), first_two * torch.tensor([1, 0, 0, 0]))
    of_three = kept_weights(rows, 0.5, keys=3)
    torch.testing.assert_close(of_three[:, 0], torch.tensor([0.5 / 0.95, 0.1 / 0.6]))
    assert not of_three[:, 1:].any()


def test_what_padding_attends_to_keeps_no_key() -> None:
    rows = [[0.1, 0.2, 0.3, 0.4], [0.9, 0.05, 0.03, 0.02]]
    assert kept_weights(rows, 0.5, queries=1)[0].tolist() == pytest.approx([0, 0, 0.3, 0.4])
    # With the second query the sums are 1.0, 0.25, 0.33 and 0.42.
    assert kept_weights(rows, 0.5)[0].tolist() == pytest.approx([0.1, 0, 0, 0.4])


@pytest.mark.parametrize("keep_share", [0.0, 1.01, -1, "all"])
def test_a_share_of_keys_is_above_none_and_at_most_all(keep_share: object) -> None:
    with pytest.raises(InputError, match=f"fusion.keep_share: .* got {keep_share}"):
        KeySparseFusion(BOTH, keep_share=keep_share)  # type: ignore[arg-type]


def test_squeeze_and_excitation_by_hand() -> None:
    gate = SqueezeExcitation(2, reduction=2)
    set_weights(gate.squeeze, [[1.0, -1.0]], [0.5])
    set_weights(gate.excite, [[2.0], [-2.0]], [0.0, 1.0])
    given = frames([1.0, 0.0], [3.0, 2.0], [50.0, 50.0], real=2)
    # The mean of the real frames is (2, 1); squeezed 2 - 1 + 0.5 = 1.5, excited 3 and -2.
    scale = torch.sigmoid(torch.tensor([3.0, -2.0]))
    expected = torch.stack([scale * row for row in torch.tensor([[1.0, 0.0], [3.0, 2.0]])])
    torch.testing.assert_close(gate(given).frames[0, :2], expected)
    # Below zero the squeezed feature is cut: the gates are those of the biases.
    below = gate(frames([0.0, 9.0])).frames[0, 0]
    torch.testing.assert_close(below, torch.tensor([0.0, 9.0 * torch.sigmoid(torch.tensor(1.0))]))


def test_a_convolution_sees_neighbours_and_no_padding() -> None:
    context = ContextConvolution(1, context_frames=3)
    context.norm = nn.Identity()  # type: ignore[assignment]
    with torch.no_grad():
        context.convolution.weight.copy_(torch.tensor([[[1.0, 10.0, 100.0]]]))
        context.convolution.bias.zero_()  # type: ignore[union-attr]
    found = context(frames([1.0], [2.0], [7.0], real=2)).frames
    # 10 · 1 + 100 · 2, and 1 · 1 + 10 · 2; GELU leaves what is far above zero.
    assert found[0, :2, 0].tolist() == pytest.approx([1 + 210, 2 + 21])


def test_as_many_frames_before_as_behind() -> None:
    with pytest.raises(InputError, match="fusion.context_frames: expected an odd number.* got 4"):
        SqueezeExcitationFusion(BOTH, context_frames=4)


def test_attention_pooling_by_hand() -> None:
    pool = AttentionPooling(2)
    set_weights(pool.hidden, [[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0])
    with torch.no_grad():
        pool.score.weight.copy_(torch.tensor([[2.0, 1.0]]))
    found = pool(frames([1.0, 0.0], [0.0, 1.0], [9.0, 9.0], real=2))
    # Scores 2 tanh 1 and tanh 1.
    first, second = torch.softmax(torch.tensor([2.0, 1.0]) * torch.tanh(torch.tensor(1.0)), dim=0)
    torch.testing.assert_close(found[0], torch.stack([first, second]))


def untouched(fusion: LabelGuidedFusion) -> LabelGuidedFusion:
    """Frames come through projection and attention as they are."""
    for name in fusion.modalities:
        dim = fusion.bottleneck_dim
        set_weights(fusion.projections[name], torch.eye(dim).tolist(), [0.0] * dim)
        fusion.attentions[name].norm = nn.Identity()
        nn.init.zeros_(fusion.attentions[name].attention.out_proj.weight)
    return fusion.eval()


def test_frames_weigh_by_the_label_that_they_fit_best() -> None:
    fusion = untouched(
        LabelGuidedFusion({"text": FeatureDims(4, 4)}, num_classes=2, bottleneck_dim=4, num_heads=1)
    )
    with torch.no_grad():
        fusion.labels["text"].copy_(torch.tensor([[2.0, 0, 0, 0], [0, 4.0, 0, 0]]))
    tokens = torch.tensor([[[1.0, 0, 5, 0], [0, 1.0, 0, 5], [9.0, 9, 9, 9]]])
    given = Features(tokens, torch.tensor([[True, True, False]]), torch.zeros(1, 4))
    fused = fusion({"text": given})[0]
    # Over the root of D = 2 the tokens fit (1, 0) and (0, 2): at best 1 and 2.
    first, second = torch.softmax(torch.tensor([1.0, 2.0]), dim=0)
    expected = first * tokens[0, 0] + second * tokens[0, 1]
    torch.testing.assert_close(fused, torch.cat([expected, torch.stack([first, 2 * second])]))
    head = fusion.build_head(lambda dim: nn.Linear(dim, 2))
    set_weights(head.layers, torch.zeros(2, 4).tolist(), [10.0, 20.0])
    logits = head(fused[None])
    torch.testing.assert_close(logits[0], torch.stack([10 + first, 20 + 2 * second]))


def test_frames_attend_to_both_sets_of_labels() -> None:
    dims = {"audio": FeatureDims(1, 1), "text": FeatureDims(1, 1)}
    fusion = untouched(LabelGuidedFusion(dims, num_classes=1, bottleneck_dim=1, num_heads=1))
    with torch.no_grad():
        attention = fusion.attentions["audio"].attention
        attention.in_proj_weight.copy_(torch.ones(3, 1))
        attention.out_proj.weight.fill_(1.0)
        fusion.labels["audio"].fill_(2.0)
        fusion.labels["text"].fill_(-1.0)
    one = Features(torch.tensor([[[3.0]]]), torch.ones(1, 1, dtype=torch.bool), torch.zeros(1, 1))
    vectors = fusion({"audio": one, "text": one})[0]
    tonal, semantic = torch.softmax(torch.tensor([6.0, -3.0]), dim=0)
    heard = 3 + 2 * tonal - semantic
    # With one label: 2 of the sound's vector and -1 of the text's agree.
    torch.testing.assert_close(vectors, torch.stack([heard, torch.tensor(3.0), 2 * heard - 3]))


def test_the_classifier_tells_how_many_classes_there_are() -> None:
    audio, text = LogMelEncoder(width=8), ScratchTextEncoder(300, width=8, num_heads=2)
    fusion = partial(LabelGuidedFusion, bottleneck_dim=8)
    classifier = EmotionClassifier(audio, text, fusion, num_classes=7)  # type: ignore[arg-type]
    assert {tuple(labels.shape) for labels in classifier.fusion.labels.values()} == {(7, 8)}


@pytest.mark.parametrize("kind", [CrossAttentionFusion, KeySparseFusion, SqueezeExcitationFusion])
def test_each_modality_changes_what_the_other_becomes(kind: type[FrameFusion]) -> None:
    torch.manual_seed(0)
    fusion = kind(BOTH, bottleneck_dim=8).eval()  # type: ignore[call-arg]
    given = random_features()
    plain = fusion(given)
    parts = {"audio": slice(0, 8), "text": slice(8, 16)}
    for name in BOTH:
        features = given[name]
        assert isinstance(features, Features)
        moved = Features(features.frames.flip(2), features.mask, features.pooled)
        change = (fusion({**given, name: moved}) - plain).abs()
        assert all(change[:, part].amax() > 1e-3 for part in parts.values())


def paired_task(num_utterances: int, seed: int) -> tuple[dict[str, Features], Tensor]:
    """One of two kinds of frame somewhere in sound, and in text; the class is whether they agree.

    Neither modality alone tells anything.
    """
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.randint(0, 2, (num_utterances, 2), generator=generator)
    features = {}
    for index, (name, dims) in enumerate(BOTH.items()):
        num_frames = 5 if name == "audio" else 4
        lengths = torch.randint(2, num_frames + 1, (num_utterances,), generator=generator)
        made = 0.1 * torch.randn(num_utterances, num_frames, dims.frames, generator=generator)
        place = (torch.rand(num_utterances, generator=generator) * lengths).long()
        made[torch.arange(num_utterances), place, kinds[:, index]] += 2.0
        mask = torch.arange(num_frames) < lengths[:, None]
        features[name] = Features(made, mask, torch.zeros(num_utterances, dims.pooled))
    return features, (kinds[:, 0] == kinds[:, 1]).long()


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_FRAMES)
def test_the_pairing_of_sound_and_words_is_learnt(name: str) -> None:
    torch.manual_seed(0)
    shallow = {"num_blocks": 1, "num_deep_layers": 1} if name == "key_sparse" else {}
    model = Classifier(OF_FRAMES[name](BOTH, bottleneck_dim=16, **shallow))
    model.head = model.fusion.build_head(
        lambda dim: nn.Sequential(nn.Linear(dim, 16), nn.ReLU(), nn.Linear(16, 3))
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    features, classes = paired_task(256, seed=1)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(features), classes).backward()
        optimizer.step()
    held_out, expected = paired_task(256, seed=2)
    with torch.no_grad():
        accuracy = (model.eval()(held_out).argmax(dim=1) == expected).float().mean()
    assert accuracy > 0.95
