"""Grad-CAM by hand, and of the spectrogram CNN."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmemo.data.batch import AudioInput
from mmemo.explanation.frames import frames_between
from mmemo.explanation.grad_cam import GradCam
from mmemo.explanation.passes import ExplanationError
from mmemo.models.audio_encoders import PretrainedAudioEncoder
from mmemo.models.logmel_encoder import LogMelEncoder
from mmemo.models.protocols import Features
from tests.explanation.linear_models import RATE, WeighedSamples, classifier, given
from tests.explanation.test_real_models import build, explainer, scratch
from tests.explanation.test_real_models import given as spoken

ALONE = {"integrated_gradients": None, "occlusion": None, "shapley": False, "output": "logit"}
CLASS = "anger"


class TwoMaps(nn.Module):
    """One feature of two maps over ten samples each: their sum in time, weighed and squared."""

    sample_rate, min_samples, fixed_samples, frozen = RATE, 1, None, False
    frame_dim = output_dim = 1

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(1, 2, kernel_size=10, stride=10, bias=False)
        weights = torch.tensor([0.1, -0.2])[:, None, None].repeat(1, 1, 10)
        self.convolution.weight = nn.Parameter(weights)
        self.maps = nn.Identity()

    def forward(self, audio: AudioInput) -> Features:
        maps = self.maps(self.convolution(audio.waveform[:, None]))
        pooled = (maps.sum(dim=2) * torch.tensor([3.0, 1.0])).square().sum(dim=1, keepdim=True)
        return Features(pooled[:, None], torch.ones_like(pooled, dtype=torch.bool), pooled)


@pytest.mark.parametrize("relu", [False, True])
def test_by_hand(relu: bool) -> None:
    model = classifier(TwoMaps(), None)
    # Means of ten samples: 1, 2, 0, -1 and 4, which sum to 6; the second map has -2 times that.
    sound = torch.tensor([1.0, 2.0, 0.0, -1.0, 4.0]).repeat_interleave(10)
    how = explainer(grad_cam=GradCam(relu), **ALONE)
    found = how.explain(model, given(sound, None), CLASS)
    # Gradients of (3 * 6)^2 and (-12)^2: 2 * 9 * 6 = 108 and 2 * -12 = -24 in all places.
    weight = 108 * 1 + -24 * -2
    maps = weight * np.array([1.0, 2.0, 0.0, 0.0 if relu else -1.0, 4.0])
    # Frames have 20 samples, the last one 10.
    expected = [(maps[0] + maps[1]) / 2, (maps[2] + maps[3]) / 2, maps[4]]
    np.testing.assert_allclose(found.attributions["grad_cam"].frames, expected, rtol=1e-5)
    assert found.attributions["grad_cam"].words is None
    cost = how.cost(given(sound, None))
    assert (found.forward_passes, found.backward_passes) == (cost.forward, cost.backward)


def test_of_the_spectrogram_cnn() -> None:
    model = build(LogMelEncoder(num_mels=8, width=4), scratch())
    utterance = spoken(model, num_samples=8000)
    found = explainer(grad_cam=GradCam(), **ALONE).explain(model, utterance, CLASS)
    kept: list[Tensor] = []

    def keep(module: nn.Module, args: object, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[-1]

    assert utterance.audio is not None
    assert model.audio_encoder is not None
    assert model.text_encoder is not None
    handle = model.audio_encoder.maps.register_forward_hook(keep)  # type: ignore[attr-defined]
    features = {
        "audio": model.audio_encoder(utterance.audio),
        "text": model.text_encoder(utterance.text),
    }
    handle.remove()
    (gradient,) = torch.autograd.grad(model.classify(features)[0, 0], kept[0])
    maps = (gradient.mean(dim=2, keepdim=True) * kept[0]).sum(dim=1)[0].detach().double().numpy()
    frames = found.attributions["grad_cam"].frames
    np.testing.assert_allclose(frames, frames_between(maps, 8000, 16_000), rtol=1e-4)
    assert frames is not None
    assert len(frames) == 25


def test_in_between_is_a_straight_line() -> None:
    # Middles of the two halves of 80 samples are 20 and 60, those of frames 10, 30, 50 and 70.
    found = frames_between(np.array([1.0, 3.0]), 80, 1000)
    np.testing.assert_allclose(found, [1.0, 1.5, 2.5, 3.0])


def test_what_has_no_maps_is_told(tiny_wavlm: object) -> None:
    how = explainer(grad_cam=GradCam(), **ALONE)
    model = build(PretrainedAudioEncoder(str(tiny_wavlm)), None)
    with pytest.raises(ExplanationError, match="PretrainedAudioEncoder has no maps of a spectr"):
        how.explain(model, spoken(model))
    words = build(None, scratch())
    with pytest.raises(ExplanationError, match="no Grad-CAM: the model hears nothing"):
        how.explain(words, spoken(words))
    plain = classifier(WeighedSamples(torch.ones(40)), None)
    with pytest.raises(ExplanationError, match="WeighedSamples has no maps"):
        how.explain(plain, given(torch.ones(40), None))
