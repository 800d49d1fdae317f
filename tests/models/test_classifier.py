from dataclasses import replace
from functools import partial

import pytest
import torch

from mmemo.data.batch import Batch, Collator, Example
from mmemo.errors import InputError
from mmemo.models import pooling
from mmemo.models.classifier import EmotionClassifier
from mmemo.models.fusion import BottleneckFusion
from mmemo.models.layer_weights import LayerWeights
from mmemo.models.logmel_encoder import LogMelEncoder
from mmemo.models.scratch_text_encoder import ScratchTextEncoder

fusion = partial(BottleneckFusion, bottleneck_dim=256)


@pytest.fixture
def batch() -> Batch:
    waveforms = [torch.randn(n, generator=torch.Generator().manual_seed(n)) for n in (4000, 7000)]
    tokens = [torch.tensor([2, 5, 6]), torch.tensor([2, 7])]
    return Collator()(
        [Example(str(i), i, w, t) for i, (w, t) in enumerate(zip(waveforms, tokens, strict=True))]
    )


def test_head_has_the_papers_shape() -> None:
    model = EmotionClassifier(LogMelEncoder(), ScratchTextEncoder(), fusion, num_classes=5)
    dropout, first, relu, last = model.head
    assert isinstance(dropout, torch.nn.Dropout)
    assert isinstance(relu, torch.nn.ReLU)
    assert (dropout.p, first.weight.shape, last.weight.shape) == (0.2, (256, 512), (5, 256))


@pytest.mark.parametrize(("audio", "text"), [(True, True), (True, False), (False, True)])
def test_one_encoder_left_out_is_a_unimodal_baseline(batch: Batch, audio: bool, text: bool) -> None:
    torch.manual_seed(0)
    model = EmotionClassifier(
        LogMelEncoder(width=8) if audio else None,
        ScratchTextEncoder(width=16, num_heads=2) if text else None,
        fusion,
        num_classes=3,
    ).eval()
    logits = model(batch)
    assert logits.shape == (2, 3)
    louder = Collator()(
        [
            Example("0", 0, torch.ones(4000), torch.tensor([2, 5, 6])),
            Example("1", 1, torch.ones(7000), torch.tensor([2, 7])),
        ]
    )
    assert torch.equal(model(louder), logits) == (not audio), "sound matters if and only if heard"


def test_parameters_of_the_papers_model_keep_their_names() -> None:
    model = EmotionClassifier(LogMelEncoder(), ScratchTextEncoder(), fusion, num_classes=5)
    names = [n for n, _ in model.named_parameters() if not n.startswith(("audio_", "text_"))]
    parts = ("fusion.projections.audio", "fusion.projections.text", "head.1", "head.3")
    assert names == [f"{part}.{kind}" for part in parts for kind in ("weight", "bias")]


@pytest.mark.parametrize("lacking", ["audio", "text"])
def test_a_batch_without_a_modality_needs_modality_dropout(batch: Batch, lacking: str) -> None:
    encoders = LogMelEncoder(width=8), ScratchTextEncoder(width=16, num_heads=2)
    without = replace(batch, **{lacking: None})
    with pytest.raises(InputError, match="got (audio|text); .*fusion.modality_dropout above 0"):
        EmotionClassifier(*encoders, fusion, num_classes=3)(without)
    model = EmotionClassifier(*encoders, partial(fusion, modality_dropout=0.5), num_classes=3)
    model.eval()
    assert not torch.equal(model(without), model(batch))
    with pytest.raises(InputError, match="expected features of audio and text, got none"):
        model(replace(batch, audio=None, text=None))


def test_no_encoder_is_an_error() -> None:
    with pytest.raises(InputError, match="leave one of them out"):
        EmotionClassifier(None, None, fusion, num_classes=5)


def test_pooling_by_hand() -> None:
    frames = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [100.0, 100.0]]])
    mask = torch.tensor([[True, True, False]])
    torch.testing.assert_close(pooling.mean(frames, mask), torch.tensor([[2.0, 4.0]]))
    expected = torch.tensor([[2.0, 4.0, 1.0, 2.0]])
    torch.testing.assert_close(pooling.mean_std(frames, mask), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(pooling.first(frames, mask), torch.tensor([[1.0, 2.0]]))


def test_pooling_of_bfloat16_is_in_float32() -> None:
    """In bfloat16 399 frames would be counted as 400, and (a + b) / 2 be rounded."""
    ones = torch.ones(1, 400, 1, dtype=torch.bfloat16)
    mask = torch.arange(400)[None] < 399
    assert pooling.mean(ones, mask).tolist() == [[1.0]]
    frames = torch.tensor([[[1.0], [1.0 + 2**-7]]], dtype=torch.bfloat16)
    mask = torch.ones(1, 2, dtype=torch.bool)
    assert pooling.mean(frames, mask).tolist() == [[1.0 + 2**-8]]
    _, spread = pooling.mean_std(256 * frames, mask).unbind(dim=1)
    torch.testing.assert_close(spread, torch.tensor([1.0]))
    for pool in (pooling.mean, pooling.mean_std, pooling.first):
        assert pool(frames, mask).dtype == torch.float32
        assert pool(frames.double(), mask).dtype == torch.float64


def test_layers_of_bfloat16_are_weighed_in_float32() -> None:
    """Three equal layers are that layer: a third in bfloat16 is 0.334, three of them 1.002."""
    layers = LayerWeights(3)
    layer = torch.tensor([1.0], dtype=torch.bfloat16)
    torch.testing.assert_close(layers([layer] * 3), torch.tensor([1.0]))
    torch.testing.assert_close(layers.to(torch.bfloat16)([layer] * 3), torch.tensor([1.0]))
