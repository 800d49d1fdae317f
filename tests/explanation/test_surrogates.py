"""LIME and Kernel SHAP where they are known in closed form, and what they are asked to keep."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mmemo.errors import InputError
from mmemo.explanation.baselines import PadText, ZeroWaveform
from mmemo.explanation.explainer import Explainer
from mmemo.explanation.explanation import Attribution, Explanation
from mmemo.explanation.inputs import UtteranceInput
from mmemo.explanation.surrogates import KernelShap, Lime, Parts, Surrogate
from mmemo.models.classifier import EmotionClassifier
from mmemo.models.logmel_encoder import LogMelEncoder
from tests.explanation.linear_models import WeighedSamples, classifier, given, saved
from tests.explanation.test_closed_form import CLASSES, SOUND, WEIGHTS, letters
from tests.explanation.test_real_models import build, explainer, scratch
from tests.explanation.test_real_models import given as spoken

LINEAR = [Lime(num_samples=40, stretch_ms=20, ridge=0), KernelShap(num_samples=40, stretch_ms=20)]


def explain(
    model: EmotionClassifier, utterance: UtteranceInput, method: Surrogate
) -> tuple[Explanation, Attribution]:
    how = Explainer(
        CLASSES,
        ZeroWaveform(),
        PadText(),
        shapley=False,
        output="logit",
        **{method.name: method},  # type: ignore[arg-type]
    )
    found = how.explain(model, utterance, "for")
    assert found.forward_passes == how.cost(utterance).forward
    return found, found.attributions[method.name]


@pytest.mark.parametrize("method", LINEAR)
def test_of_a_linear_model_they_are_its_weights(method: Surrogate) -> None:
    encoder = letters()
    model = classifier(WeighedSamples(WEIGHTS), encoder)
    found, attribution = explain(model, given(SOUND, encoder, "ab c  dda", 30), method)
    products = (WEIGHTS * SOUND).numpy()
    frames = [products[:20].sum(), products[20:40].sum(), products[40:].sum()]
    np.testing.assert_allclose(attribution.frames, frames, rtol=1e-4)
    np.testing.assert_allclose(attribution.words, [1.0, 6.0, 13.0], rtol=1e-4)
    assert found.notes == ()


@pytest.mark.parametrize("method", LINEAR)
def test_a_stretch_is_shared_by_its_frames(method: Surrogate) -> None:
    model = classifier(WeighedSamples(torch.ones(60)), None)
    _, attribution = explain(
        model, given(torch.ones(60), None), replace(method, stretch_ms=30, num_samples=12)
    )
    # Two stretches of two frames and of one; a sample of one is worth one.
    np.testing.assert_allclose(attribution.frames, [20.0, 20.0, 20.0], rtol=1e-4)
    assert attribution.words is None


def test_shapley_values_of_a_product_by_hand() -> None:
    encoder = letters()
    model = classifier(WeighedSamples(torch.ones(4)), encoder, product=True)
    utterance = given(torch.full((4,), 0.5), encoder, "a")
    _, attribution = explain(model, utterance, KernelShap(num_samples=1000))
    # As of the modalities: 0 without sound, 56 with it alone, 62 with the word too. Samples are
    # drawn: that with the sound alone is not quite as frequent as that with the word alone.
    assert attribution.frames is not None
    assert attribution.words is not None
    assert attribution.frames[0] == pytest.approx(59.0, abs=0.4)
    assert attribution.frames[0] + attribution.words[0] == pytest.approx(62.0, abs=1e-3)


def test_one_part_has_all() -> None:
    encoder = letters()
    model = classifier(None, encoder)
    _, attribution = explain(model, given(None, encoder, "ab"), KernelShap())
    assert attribution.frames is None
    np.testing.assert_allclose(attribution.words, [1.0])


@pytest.mark.parametrize("method", LINEAR)
def test_a_text_without_words(method: Surrogate) -> None:
    encoder = letters()
    _, attribution = explain(classifier(None, encoder), given(None, encoder, "  "), method)
    assert attribution.words is not None
    assert attribution.words.shape == (0,)


def test_a_penalty_makes_weights_smaller() -> None:
    encoder = letters()
    model, utterance = classifier(None, encoder), given(None, encoder, "ab c dda")
    _, found = explain(model, utterance, Lime(num_samples=40, ridge=10))
    assert found.words is not None
    assert 0 < found.words[2] < 13
    assert np.linalg.norm(found.words) < np.linalg.norm([1.0, 6.0, 13.0])


def test_parts_are_equal_stretches_and_the_words_that_are_read() -> None:
    encoder = letters()
    utterance = given(torch.ones(190), encoder, "ab c")
    words = (utterance.words[0], replace(utterance.words[1], is_read=False))
    parts = Parts.of(replace(utterance, words=words), 60)
    # Ten frames of 20 ms, in stretches of about three.
    assert list(np.bincount(parts.stretches)) == [4, 3, 3]
    assert (parts.num_stretches, parts.words, len(parts)) == (3, (0,), 4)


def test_a_bad_surrogate_and_few_samples_are_told() -> None:
    encoder = letters()
    model = classifier(WeighedSamples(WEIGHTS), encoder, product=True)
    found, _ = explain(
        model, given(SOUND, encoder, "a b c d"), Lime(num_samples=6, stretch_ms=20, ridge=1e4)
    )
    assert found.notes[0].startswith("LIME: 6 samples are few for 7 parts of this utterance; raise")
    assert found.notes[1].startswith("LIME's linear model explains 0% of the variance of F")


@pytest.mark.parametrize("kind", [Lime, KernelShap])
def test_the_same_seed_gives_the_same_file_whatever_the_batch(
    kind: type[Surrogate], tmp_path: Path
) -> None:
    model = build(LogMelEncoder(num_mels=8, width=4), scratch())
    utterance = spoken(model)

    def found(batch_size: int, seed: int = 0) -> Explanation:
        method = kind(num_samples=30, batch_size=batch_size, seed=seed)
        how = explainer(integrated_gradients=None, occlusion=None, **{method.name: method})
        return how.explain(model, utterance)

    state = torch.random.get_rng_state()
    found(8).save(tmp_path / "a")
    assert torch.random.get_rng_state().equal(state)
    torch.manual_seed(5)
    found(8).save(tmp_path / "b")
    assert saved(tmp_path / "a") == saved(tmp_path / "b")
    (one,), (many,), (other,) = (found(*how).attributions.values() for how in ((1,), (30,), (8, 1)))
    np.testing.assert_allclose(one.frames, many.frames, atol=1e-4)
    np.testing.assert_allclose(one.words, many.words, atol=1e-4)
    assert not np.array_equal(one.words, other.words)


def test_settings_are_checked() -> None:
    with pytest.raises(InputError, match="lime.num_samples: expected at least 3, got 2"):
        Lime(num_samples=2)
    with pytest.raises(InputError, match="kernel_shap.stretch_ms: expected at least 20"):
        KernelShap(stretch_ms=5)
    with pytest.raises(InputError, match="lime.ridge: expected at least 0"):
        Lime(ridge=-1)
