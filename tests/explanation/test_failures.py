"""What is done where memory does not suffice, a value is not finite, or there is no gradient."""

import pytest
import torch
from torch import Tensor, nn

from mmemo.data.batch import AudioInput
from mmemo.errors import InputError
from mmemo.explanation.baselines import NoiseWaveform, PadText, ZeroWaveform
from mmemo.explanation.explainer import Explainer
from mmemo.explanation.integrated_gradients import IntegratedGradients
from mmemo.explanation.passes import ExplanationError, with_smaller_batches
from mmemo.explanation.removal import Occlusion
from mmemo.models.protocols import Features
from tests.explanation.linear_models import Letters, WeighedSamples, classifier, given

SOUND = torch.linspace(-0.4, 1.0, 60)
EMBEDDINGS = torch.tensor([[0.5], [9.0], [1.0], [0.0]])


class SmallMemory(WeighedSamples):
    """Holds a few utterances at a time."""

    def __init__(self, weights: Tensor, most: int) -> None:
        super().__init__(weights)
        self.most = most
        self.tried: list[int] = []

    def forward(self, audio: AudioInput) -> Features:
        self.tried.append(len(audio.waveform))
        if len(audio.waveform) > self.most:
            raise torch.OutOfMemoryError("out of memory. Tried to allocate 1 GiB.")
        return super().forward(audio)


class Counting(WeighedSamples):
    """Its answer has no gradient, as openSMILE's."""

    def forward(self, audio: AudioInput) -> Features:
        features = super().forward(AudioInput(audio.waveform.detach(), audio.mask))
        return Features(features.frames.detach(), features.mask, features.pooled.detach())


class Root(nn.Module):
    """The root of the first sample, whose slope at zero is infinite."""

    sample_rate, min_samples, fixed_samples, frozen = 1000, 1, None, False
    frame_dim = output_dim = 1

    def forward(self, audio: AudioInput) -> Features:
        pooled = (audio.waveform[:, :1] * 0).sqrt() + 1
        return Features(pooled[:, None], torch.ones_like(pooled, dtype=torch.bool), pooled)


def explainer(batch_size: int = 8, **changes: object) -> Explainer:
    settings: dict[str, object] = {
        "waveform_baseline": ZeroWaveform(),
        "text_baseline": PadText(),
        "integrated_gradients": IntegratedGradients(16, batch_size),
        "occlusion": Occlusion(20, 10, batch_size),
    }
    return Explainer(("for", "against"), **{**settings, **changes})  # type: ignore[arg-type]


def test_batches_are_halved_where_memory_does_not_suffice() -> None:
    weights = torch.linspace(1, -1, 60)
    plenty = explainer().explain(classifier(WeighedSamples(weights), None), given(SOUND, None))
    small = SmallMemory(weights, most=2)
    found = explainer().explain(classifier(small, None), given(SOUND, None))
    assert max(small.tried) == 8
    assert {8, 4, 2} <= set(small.tried)
    assert plenty.integrated_gradients is not None
    assert found.integrated_gradients is not None
    assert plenty.occlusion is not None
    assert found.occlusion is not None
    for given_plenty, given_little in (
        (plenty.integrated_gradients, found.integrated_gradients),
        (plenty.occlusion, found.occlusion),
    ):
        assert given_little.frames == pytest.approx(given_plenty.frames, rel=1e-5)
    assert found.notes == (
        "memory did not suffice for integrated_gradients.internal_batch_size=8; 2 was used, with "
        "the same result",
    )


def test_no_memory_at_all_names_the_utterance() -> None:
    model = SmallMemory(torch.ones(60), most=1)
    utterance = explainer().prepare(classifier(model, None), given(SOUND, None))
    model.most = 0
    method = IntegratedGradients(4, 4)
    with pytest.raises(ExplanationError, match="test/a: expected memory for one pass at a time"):
        method.attribute(utterance)
    assert model.tried[-3:] == [4, 2, 1]


def test_other_errors_are_not_taken_for_memory() -> None:
    def compute(batch_size: int) -> int:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        with_smaller_batches(compute, 4, "test/a")


def test_the_machines_memory_counts_too() -> None:
    def compute(batch_size: int) -> int:
        if batch_size > 1:
            raise RuntimeError("[enforce fail at x.cpp] DefaultCPUAllocator: can't allocate memory")
        return 7

    assert with_smaller_batches(compute, 4, "test/a") == (7, 1)


def test_attributions_that_are_not_finite_are_an_error_of_this_utterance() -> None:
    with pytest.raises(ExplanationError, match="test/a: expected finite attributions, got 1 of 60"):
        explainer().explain(classifier(Root(), None), given(SOUND, None))


def test_an_answer_that_is_not_finite_is_too() -> None:
    model = classifier(WeighedSamples(torch.full((60,), float("nan"))), None)
    with pytest.raises(ExplanationError, match="test/a: expected a finite answer"):
        explainer().explain(model, given(SOUND, None))


class LogEnergy(WeighedSamples):
    """As a log-mel without a floor: silence has no finite answer."""

    def forward(self, audio: AudioInput) -> Features:
        return super().forward(AudioInput(audio.waveform.square().log(), audio.mask))


def test_a_baseline_without_a_finite_answer_is_named() -> None:
    model = classifier(LogEnergy(torch.ones(60)), None)
    silent = explainer(waveform_baseline=ZeroWaveform(), integrated_gradients=None, occlusion=None)
    with pytest.raises(ExplanationError, match="with audio replaced.*choose another"):
        silent.explain(model, given(SOUND + 1.0, None))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.00 GB)"),
        MemoryError(),
    ],
)
def test_memory_is_short_in_many_words(error: Exception) -> None:
    tried: list[int] = []

    def compute(size: int) -> int:
        tried.append(size)
        if size > 2:
            raise error
        return size

    assert with_smaller_batches(compute, 9, "test/a") == (2, 2)
    assert tried == [9, 4, 2]


def test_without_a_gradient_of_the_sound_words_are_explained_and_all_is_occluded() -> None:
    letters = Letters(EMBEDDINGS, torch.tensor([2.0]))
    model = classifier(Counting(torch.ones(60)), letters)
    utterance = given(SOUND, letters, "ab")
    noise = explainer(waveform_baseline=NoiseWaveform(num_draws=3), output="logit")
    found = noise.explain(model, utterance, "for")
    gradients, convergence = found.integrated_gradients, found.convergence
    assert gradients is not None
    assert gradients.frames is None
    assert gradients.words == pytest.approx([1.0 - 1.0])
    assert convergence is not None
    assert convergence.given - convergence.baseline == pytest.approx(0.0, abs=1e-5)
    assert found.notes[0] == (
        "no Integrated Gradients of audio: what Counting computes of its input cannot be "
        "differentiated"
    )
    assert found.occlusion is not None
    assert found.occlusion.frames is not None
    assert found.occlusion.frames[-1] == pytest.approx(float(SOUND[40:].sum()), rel=0.2)
    cost = noise.cost(utterance, with_gradient=("text",))
    assert (found.forward_passes, found.backward_passes) == (cost.forward, cost.backward)
    assert found.backward_passes == 16


def test_without_any_gradient_there_is_occlusion() -> None:
    model = classifier(Counting(torch.ones(60)), None)
    found = explainer().explain(model, given(SOUND, None))
    assert (found.integrated_gradients, found.convergence) == (None, None)
    assert len(found.notes) == 1
    assert found.occlusion is not None
    assert found.shapley is not None
    cost = explainer().cost(given(SOUND, None), with_gradient=())
    assert (found.forward_passes, found.backward_passes) == (cost.forward, 0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: IntegratedGradients(n_steps=0), "integrated_gradients.n_steps: expected at least"),
        (lambda: IntegratedGradients(precision="half"), "precision: expected float32 or bfloat16"),  # type: ignore[arg-type]
        (lambda: Occlusion(50, 60), "occlusion.stride_ms: expected more than 0 and at most"),
        (lambda: Occlusion(batch_size=0), "occlusion.batch_size: expected at least 1, got 0"),
        (lambda: NoiseWaveform(num_draws=0), "waveform_baseline.num_draws: expected at least 1"),
    ],
)
def test_settings_that_cannot_be_used(build: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build()  # type: ignore[operator]
