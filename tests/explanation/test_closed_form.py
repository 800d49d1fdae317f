"""Attributions of models that have them in closed form."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from mmemo.errors import InputError
from mmemo.explanation.baselines import MaskText, MeanWaveform, NoiseWaveform, PadText, ZeroWaveform
from mmemo.explanation.explainer import Explainer
from mmemo.explanation.explanation import Explanation
from mmemo.explanation.inputs import UtteranceInput
from mmemo.explanation.integrated_gradients import IntegratedGradients
from mmemo.explanation.removal import Occlusion, shapley_values
from mmemo.explanation.selection import get_output
from mmemo.models.classifier import EmotionClassifier
from tests.explanation.linear_models import Letters, WeighedSamples, classifier, given

CLASSES = ("for", "against")
NUM_SAMPLES = 50
SOUND = torch.linspace(-0.4, 1.0, NUM_SAMPLES)
WEIGHTS = torch.linspace(1.0, -0.5, NUM_SAMPLES)
# Padding, the first token, then a, b, c and d.
EMBEDDINGS = torch.tensor([[0.5, 0.0], [9.0, 9.0], [1.0, 2.0], [0.0, -1.0], [3.0, 1.0], [2.0, 2.0]])
TEXT_WEIGHTS = torch.tensor([2.0, 1.0])
# Of a, b, c and d minus padding, times the weights: 4 - 1, -1 - 1, 7 - 1, 6 - 1.
LETTER_VALUES = {"a": 3.0, "b": -2.0, "c": 6.0, "d": 5.0}


def letters(mask_token_id: int | None = None) -> Letters:
    return Letters(EMBEDDINGS, TEXT_WEIGHTS, mask_token_id)


def explain(
    model: EmotionClassifier, utterance: UtteranceInput, target: str = "for", **changes: object
) -> Explanation:
    settings: dict[str, object] = {
        "waveform_baseline": ZeroWaveform(),
        "text_baseline": PadText(),
        "integrated_gradients": IntegratedGradients(n_steps=3, internal_batch_size=2),
        "occlusion": Occlusion(window_ms=20, stride_ms=10, batch_size=4),
        "output": "logit",
    }
    explainer = Explainer(CLASSES, **{**settings, **changes})  # type: ignore[arg-type]
    explanation = explainer.explain(model, utterance, target)
    cost = explainer.cost(utterance)
    counted = explanation.forward_passes, explanation.backward_passes
    assert counted == (cost.forward, cost.backward)
    return explanation


@pytest.mark.parametrize("num_padded", [0, 30])
def test_integrated_gradients_are_weight_times_difference(num_padded: int) -> None:
    encoder = letters()
    model = classifier(WeighedSamples(WEIGHTS), encoder)
    found = explain(model, given(SOUND, encoder, "ab c  dda", num_padded))
    products = (WEIGHTS * SOUND).numpy()
    gradients = found.integrated_gradients
    assert gradients is not None
    assert gradients.frames is not None
    assert gradients.words is not None
    expected = [products[:20].sum(), products[20:40].sum(), products[40:].sum()]
    np.testing.assert_allclose(gradients.frames, expected, rtol=1e-5)
    np.testing.assert_allclose(gradients.words, [3.0 - 2.0, 6.0, 5.0 + 5.0 + 3.0], rtol=1e-5)
    assert [word.text for word in found.words] == ["ab", "c", "dda"]
    convergence = found.convergence
    assert convergence is not None
    total = products.sum() + 20.0
    assert convergence.given - convergence.baseline == pytest.approx(total, rel=1e-5)
    assert convergence.delta == pytest.approx(0, abs=1e-4)
    assert convergence.converged
    assert found.notes == ()
    assert found.sound is not None
    assert len(found.sound) == NUM_SAMPLES


def test_the_other_class_sees_nothing() -> None:
    found = explain(classifier(WeighedSamples(WEIGHTS), None), given(SOUND, None), target="against")
    assert found.integrated_gradients is not None
    assert found.integrated_gradients.words is None
    np.testing.assert_array_equal(found.integrated_gradients.frames, np.zeros(3))
    assert found.convergence is not None
    assert found.convergence.relative_delta is None
    assert found.convergence.converged


@pytest.mark.parametrize(
    ("baseline", "expected"), [(ZeroWaveform(), 0.0), (MeanWaveform(), float(SOUND.mean()))]
)
def test_occlusion_by_hand(baseline: ZeroWaveform | MeanWaveform, expected: float) -> None:
    encoder = letters()
    model = classifier(WeighedSamples(WEIGHTS), encoder)
    found = explain(model, given(SOUND, encoder, "ab c"), waveform_baseline=baseline).occlusion
    products = (WEIGHTS * (SOUND - expected)).double().numpy()
    # Windows of 20 samples begin at 0, 10, 20 and 30.
    lost = [products[start : start + 20].sum() for start in range(0, 40, 10)]
    tens = [lost[0], lost[0] + lost[1], lost[1] + lost[2], lost[2] + lost[3], lost[3]]
    by_ten = np.array(tens) / [1, 2, 2, 2, 1]
    frames = [by_ten[:2].mean(), by_ten[2:4].mean(), by_ten[4]]
    assert found is not None
    np.testing.assert_allclose(found.frames, frames, rtol=1e-4)
    np.testing.assert_allclose(found.words, [1.0, 6.0], rtol=1e-5)


def test_the_last_window_reaches_over_the_end() -> None:
    model = classifier(WeighedSamples(torch.ones(45)), None)
    occlusion = Occlusion(window_ms=20, stride_ms=20)
    found = explain(model, given(torch.ones(45), None), occlusion=occlusion).occlusion
    assert occlusion.num_windows(45, 1000) == 3
    assert found is not None
    np.testing.assert_allclose(found.frames, [20.0, 20.0, 5.0])


def test_sound_shorter_than_a_window() -> None:
    model = classifier(WeighedSamples(torch.ones(7)), None)
    found = explain(model, given(torch.ones(7), None)).occlusion
    assert found is not None
    np.testing.assert_allclose(found.frames, [7.0])


def test_a_text_without_words() -> None:
    encoder = letters()
    found = explain(classifier(WeighedSamples(WEIGHTS), encoder), given(SOUND, encoder, "  "))
    assert found.words == ()
    assert found.occlusion is not None
    assert found.occlusion.words is not None
    assert found.occlusion.words.shape == (0,)
    assert found.shapley is not None
    assert found.shapley.values["text"] == 0


def test_shapley_of_a_sum_is_what_each_adds() -> None:
    encoder = letters()
    found = explain(classifier(WeighedSamples(WEIGHTS), encoder), given(SOUND, encoder, "cd"))
    assert found.shapley is not None
    assert found.shapley.values["audio"] == pytest.approx(float((WEIGHTS * SOUND).sum()), rel=1e-5)
    assert found.shapley.values["text"] == pytest.approx(11.0)


def test_shapley_of_a_product_by_hand() -> None:
    encoder = letters()
    model = classifier(WeighedSamples(torch.ones(4)), encoder, product=True)
    found = explain(model, given(torch.full((4,), 0.5), encoder, "a"))
    # Sound: 2, at its baseline 0. Text: [CLS] 27 and 4, at its baseline 27 and 1.
    outputs = {"none": 0.0, "audio": 56.0, "text": 0.0, "audio+text": 62.0}
    assert found.shapley is not None
    assert found.shapley.outputs == pytest.approx(outputs)
    assert found.shapley.values == pytest.approx({"audio": (56 + 62) / 2, "text": (0 + 6) / 2})
    assert sum(found.shapley.values.values()) == pytest.approx(62.0)


def test_shapley_of_three_players_by_hand() -> None:
    # Two of a glove's buyers: a left hand's seller is in every coalition that is worth something.
    worth = {"a+b", "a+c", "a+b+c"}
    names = ("none", "a", "b", "c", "a+b", "a+c", "b+c", "a+b+c")
    values = shapley_values(("a", "b", "c"), {name: float(name in worth) for name in names})
    assert values == pytest.approx({"a": 2 / 3, "b": 1 / 6, "c": 1 / 6})


def test_one_modality_has_the_whole_difference() -> None:
    encoder = letters()
    found = explain(classifier(None, encoder), given(None, encoder, "ab"))
    assert found.shapley is not None
    assert found.shapley.values == pytest.approx({"text": 1.0})
    assert found.occlusion is not None
    assert found.occlusion.frames is None
    assert (found.sound, found.duration_s) == (None, 0.0)


def test_the_mask_token_as_baseline() -> None:
    encoder = letters(mask_token_id=5)
    found = explain(classifier(None, encoder), given(None, encoder, "ab"), text_baseline=MaskText())
    assert found.shapley is not None
    # Mask is d here: 6 for each; a and b are 4 and -1.
    assert found.shapley.values == pytest.approx({"text": 3.0 - 12.0})


def test_no_mask_token() -> None:
    encoder = letters()
    with pytest.raises(InputError, match="expected a tokenizer with a mask token"):
        explain(classifier(None, encoder), given(None, encoder, "ab"), text_baseline=MaskText())


def test_noise_is_averaged_over_draws() -> None:
    model = classifier(WeighedSamples(WEIGHTS), None)
    baseline = NoiseWaveform(level_db=-20, num_draws=3)
    found = explain(model, given(SOUND, None), waveform_baseline=baseline)
    explainer = Explainer(CLASSES, baseline, PadText(), None, None)
    draws = explainer.prepare(model, given(SOUND, None)).baselines.waveforms
    assert draws is not None
    expected = (WEIGHTS * (SOUND - draws.mean(dim=0))).double().numpy()
    assert found.integrated_gradients is not None
    np.testing.assert_allclose(
        found.integrated_gradients.frames,
        [expected[:20].sum(), expected[20:40].sum(), expected[40:].sum()],
        rtol=1e-4,
    )
    level = float(draws.square().mean().sqrt() / SOUND.square().mean().sqrt())
    assert level == pytest.approx(0.1, rel=0.3)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("logit", 1.0),
        ("probability", math.e / (math.e + 2)),
        ("log_probability", 1 - math.log(math.e + 2)),
        ("log_odds", 1 - math.log(2)),
    ],
)
def test_outputs_by_hand(name: str, expected: float) -> None:
    logits: Tensor = torch.tensor([[0.0, 1.0, 0.0]])
    assert float(get_output(name)(logits, 1)) == pytest.approx(expected)


def test_log_odds_are_not_moved_by_what_lifts_all_classes() -> None:
    logits = torch.tensor([[0.3, -1.0, 2.0]])
    log_odds = get_output("log_odds")
    torch.testing.assert_close(log_odds(logits, 2), log_odds(logits + 7, 2))


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match="output: expected one of log_odds"):
        get_output("odds")
    with pytest.raises(InputError, match="target: expected predicted, true or one of for, against"):
        explain(classifier(WeighedSamples(WEIGHTS), None), given(SOUND, None), target="joy")


@pytest.mark.parametrize(("target", "expected"), [("predicted", "for"), ("true", "against")])
def test_the_target(target: str, expected: str) -> None:
    found = explain(classifier(WeighedSamples(-WEIGHTS), None), given(SOUND, None), target=target)
    assert (found.target, found.predicted, found.true) == (expected, "for", "against")
    logit = -float((WEIGHTS * SOUND).sum())
    assert found.probabilities[0] == pytest.approx(1 / (1 + math.exp(-logit)), rel=1e-5)
