"""Attributions of tiny random models of every kind, by the path that a run takes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmemo.data.batch import Collator, Example, TextInput
from mmemo.explanation.baselines import NoiseWaveform, PadText
from mmemo.explanation.explainer import Explainer
from mmemo.explanation.explanation import Explanation
from mmemo.explanation.inputs import UtteranceInput, read_words
from mmemo.explanation.integrated_gradients import IntegratedGradients
from mmemo.explanation.removal import Occlusion
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
from tests.explanation.linear_models import saved

CLASSES = ("anger", "joy", "neutral")
TRANSCRIPT = "You are here, my friend!"
NUM_SAMPLES = 1500
FUSIONS = {
    "bottleneck": partial(BottleneckFusion, bottleneck_dim=8),
    "gated": partial(GatedFusion, bottleneck_dim=8),
    "cross_attention": partial(CrossAttentionFusion, bottleneck_dim=8, num_heads=2),
    "late": partial(LateFusion, bottleneck_dim=8),
    "hybrid_attention": partial(HybridAttentionFusion, bottleneck_dim=8, num_heads=2),
    "key_sparse": partial(KeySparseFusion, bottleneck_dim=8, num_heads=2),
    "label_guided": partial(LabelGuidedFusion, bottleneck_dim=8, num_heads=2),
    "squeeze_excitation": partial(SqueezeExcitationFusion, bottleneck_dim=8, num_heads=2),
}


def sound(num_samples: int = NUM_SAMPLES, seed: int = 0) -> torch.Tensor:
    times = torch.arange(num_samples) / 16_000
    noise = torch.randn(num_samples, generator=torch.Generator().manual_seed(seed))
    return 0.1 * torch.sin(2 * torch.pi * 200 * times) + 0.02 * noise


def build(
    audio: nn.Module | None, text: nn.Module | None, fusion: str = "bottleneck"
) -> EmotionClassifier:
    torch.manual_seed(1)
    return EmotionClassifier(audio, text, FUSIONS[fusion], num_classes=3, hidden_dim=16)  # type: ignore[arg-type]


def example(model: EmotionClassifier, waveform: torch.Tensor, *texts: str) -> Example:
    """An utterance with its context: the transcript, and what is said before."""
    audio, text = model.audio_encoder, model.text_encoder
    tokens = text and text.tokenize(texts[0], texts[1:])
    return Example(
        "test/dia0_utt0",
        2,
        audio and audio.preprocess(waveform),
        tokens and torch.tensor(tokens.ids),
        own_tokens=tokens and tokens.own,
    )


def collator(model: EmotionClassifier) -> Collator:
    audio, text = model.audio_encoder, model.text_encoder
    return Collator(
        audio.min_samples if audio else 1,
        audio.fixed_samples if audio else None,
        text.pad_token_id if text else 0,
    )


def given(model: EmotionClassifier, *texts: str, num_samples: int = NUM_SAMPLES) -> UtteranceInput:
    waveform = sound(num_samples)
    texts = texts or (TRANSCRIPT,)
    batch = collator(model)([example(model, waveform, *texts)])
    words, token_words = (), torch.zeros(0, 0, dtype=torch.bool)
    if model.text_encoder is not None:
        assert isinstance(batch.text, TextInput)
        words, token_words = read_words(model.text_encoder, texts[0], batch.text)
    return UtteranceInput(
        batch.keys[0],
        2,
        batch.audio,  # type: ignore[arg-type]
        waveform if batch.audio else None,
        16_000,
        batch.text,  # type: ignore[arg-type]
        texts[0],
        words,
        token_words,
    )


def explainer(n_steps: int = 60, batch_size: int = 16, **changes: object) -> Explainer:
    settings: dict[str, object] = {
        "waveform_baseline": NoiseWaveform(level_db=-20, num_draws=2),
        "text_baseline": PadText(),
        "integrated_gradients": IntegratedGradients(n_steps, batch_size),
        "occlusion": Occlusion(batch_size=batch_size),
    }
    return Explainer(CLASSES, **{**settings, **changes})  # type: ignore[arg-type]


def vectors(found: Explanation) -> np.ndarray:
    """All attributions of both methods, one behind the other."""
    methods = [found.integrated_gradients, found.occlusion]
    parts = [part for m in methods if m is not None for part in (m.frames, m.words)]
    return np.concatenate([part for part in parts if part is not None])


@pytest.fixture
def dual(tiny_wavlm: Path, tiny_roberta: Path) -> EmotionClassifier:
    return build(PretrainedAudioEncoder(str(tiny_wavlm)), PretrainedTextEncoder(str(tiny_roberta)))


def scratch(texts: Sequence[str] = (TRANSCRIPT,)) -> ScratchTextEncoder:
    torch.manual_seed(0)
    encoder = ScratchTextEncoder(vocab_size=300, width=16, num_heads=2)
    encoder.fit(texts)
    return encoder


def test_attributions_are_complete(dual: EmotionClassifier) -> None:
    found = explainer().explain(dual, given(dual))
    convergence, gradients = found.convergence, found.integrated_gradients
    assert convergence is not None
    assert gradients is not None
    assert gradients.frames is not None
    assert gradients.words is not None
    assert convergence.relative_delta is not None
    assert convergence.relative_delta < 0.02
    total = gradients.frames.sum() + gradients.words.sum()
    assert total == pytest.approx(convergence.given - convergence.baseline, rel=0.02)
    assert found.shapley is not None
    assert sum(found.shapley.values.values()) == pytest.approx(
        convergence.given - convergence.baseline, rel=1e-5
    )
    assert len(gradients.frames) == 5  # 1500 samples in frames of 320
    assert [word.text for word in found.words] == ["You", "are", "here,", "my", "friend!"]


@dataclass(frozen=True)
class Scaled:
    """The waveform itself at some levels in place of noise."""

    levels: tuple[float, ...]

    @property
    def num_draws(self) -> int:
        return len(self.levels)

    def __call__(self, waveform: Tensor, generator: torch.Generator) -> Tensor:
        return torch.tensor(self.levels)[:, None] * waveform.flip(0)


def test_delta_is_that_of_the_worst_draw_where_errors_would_cancel(
    dual: EmotionClassifier,
) -> None:
    def with_levels(*levels: float) -> Explanation:
        how = explainer(2, waveform_baseline=Scaled(levels), occlusion=None, shapley=False)
        return how.explain(dual, given(dual), "joy")

    first, second, both = with_levels(0.1), with_levels(-0.5), with_levels(0.1, -0.5)
    deltas = [one.convergence.delta for one in (first, second) if one.convergence]
    assert both.convergence is not None
    assert both.convergence.delta == pytest.approx(max(deltas, key=abs), rel=1e-4)
    baselines = [one.convergence.baseline for one in (first, second) if one.convergence]
    assert both.convergence.baseline == pytest.approx(np.mean(baselines), rel=1e-5)
    np.testing.assert_allclose(
        vectors(both), (vectors(first) + vectors(second)) / 2, atol=1e-6, rtol=1e-4
    )


def test_batch_sizes_do_not_matter(dual: EmotionClassifier) -> None:
    utterance = given(dual)
    by_one, by_many = (explainer(8, size).explain(dual, utterance, "joy") for size in (1, 100))
    np.testing.assert_allclose(vectors(by_one), vectors(by_many), atol=1e-5)


def test_what_is_explained_is_the_models_answer_in_any_batch(dual: EmotionClassifier) -> None:
    examples = [example(dual, sound(), TRANSCRIPT), example(dual, sound(4000, 1), "I'm fine. " * 4)]
    found = explainer(4).explain(dual, given(dual), "true")
    with torch.no_grad():
        probabilities = dual(collator(dual)(examples)).double().softmax(dim=1)
    np.testing.assert_allclose(found.probabilities, probabilities[0], atol=1e-5)
    expected = float(probabilities[0, 2].logit())
    assert found.convergence is not None
    assert found.convergence.given == pytest.approx(expected, abs=1e-5)


def test_the_same_seed_gives_the_same_files(dual: EmotionClassifier, tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        explainer(4, seed=seed).explain(dual, given(dual)).save(tmp_path / name)
    assert saved(tmp_path / "a") == saved(tmp_path / "b")
    assert saved(tmp_path / "a").keys() == {"explanation.npz", "explanation.json"}
    different = Explanation.load(tmp_path / "c")
    assert not np.array_equal(vectors(different), vectors(Explanation.load(tmp_path / "a")))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion(fusion: str) -> None:
    # A hundred steps converge for most random weights, and not for all.
    torch.manual_seed(2)
    model = build(LogMelEncoder(width=8), scratch(), fusion)
    found = explainer(100, output="logit").explain(model, given(model))
    assert found.convergence is not None
    assert found.convergence.relative_delta is not None
    if fusion == "key_sparse":
        # The keys that are kept change in jumps, which no gradient adds up: it says so.
        assert not found.convergence.converged
    else:
        assert found.convergence.relative_delta < 0.05
    with torch.no_grad():
        logits = model(collator(model)([example(model, sound(), TRANSCRIPT)]))
    assert found.convergence.given == pytest.approx(float(logits.max()), abs=1e-5)


def test_integrated_gradients_miss_the_jumps_of_the_keys_that_are_kept() -> None:
    """Slopes add up where every key is kept; else steps of any number leave what jumps."""
    deltas = {}
    for share, num_steps in ((1.0, 100), (0.5, 100), (0.5, 400)):
        torch.manual_seed(1)
        sparse = partial(FUSIONS["key_sparse"], keep_share=share)
        model = EmotionClassifier(LogMelEncoder(width=8), scratch(), sparse, 3, hidden_dim=16)
        found = explainer(num_steps, output="logit").explain(model, given(model)).convergence
        assert found is not None
        assert found.relative_delta is not None
        deltas[share, num_steps] = found.relative_delta
    assert deltas[1.0, 100] < 0.05
    assert min(deltas[0.5, 100], deltas[0.5, 400]) > 0.05


@pytest.mark.parametrize("left_out", ["audio", "text"])
def test_unimodal_models(left_out: str) -> None:
    model = build(
        None if left_out == "audio" else LogMelEncoder(width=8),
        None if left_out == "text" else scratch(),
    )
    found = explainer(100).explain(model, given(model))
    assert found.convergence is not None
    assert found.convergence.converged
    for method in (found.integrated_gradients, found.occlusion):
        assert method is not None
        assert (method.frames is None, method.words is None) == (
            left_out == "audio",
            left_out == "text",
        )


def test_a_fixed_length_is_explained_up_to_the_true_end(tiny_whisper: Path) -> None:
    encoder = PretrainedAudioEncoder(str(tiny_whisper), padding="fixed")
    assert encoder.fixed_samples == 32_000
    model = build(encoder, None)
    found = explainer(8).explain(model, given(model))
    assert found.integrated_gradients is not None
    assert found.occlusion is not None
    for frames in (found.integrated_gradients.frames, found.occlusion.frames):
        assert frames is not None
        assert len(frames) == 5
    assert found.duration_s == NUM_SAMPLES / 16_000
    with torch.no_grad():
        logits = model(collator(model)([example(model, sound())]))
    np.testing.assert_allclose(found.probabilities, logits[0].double().softmax(0), atol=1e-5)


def test_sound_below_the_encoders_least_is_padded_and_not_shown() -> None:
    model = build(LogMelEncoder(width=8), None)
    found = explainer(4).explain(model, given(model, num_samples=500))
    assert found.occlusion is not None
    assert found.occlusion.frames is not None
    assert len(found.occlusion.frames) == 2


def test_bfloat16_is_close(dual: EmotionClassifier) -> None:
    exact, fast = (
        explainer(integrated_gradients=IntegratedGradients(20, precision=precision)).explain(
            dual, given(dual)
        )
        for precision in ("float32", "bfloat16")
    )
    a, b = (vectors(found) for found in (exact, fast))
    assert np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b) > 0.95
    assert not np.array_equal(a, b)
    assert not any("bfloat16" in note for note in fast.notes)
    assert exact.convergence is not None
    assert fast.convergence is not None
    assert fast.convergence.given == exact.convergence.given


def test_bfloat16_is_not_used_where_it_is_slower(tiny_wavlm: Path) -> None:
    model = build(PretrainedAudioEncoder(str(tiny_wavlm), attention="eager"), None)
    exact, asked = (
        explainer(integrated_gradients=IntegratedGradients(4, precision=precision)).explain(
            model, given(model)
        )
        for precision in ("float32", "bfloat16")
    )
    np.testing.assert_array_equal(vectors(exact), vectors(asked))
    assert asked.notes[0].startswith("integrated_gradients.precision: bfloat16 was not used")


def test_context_stays_as_it_is(dual: EmotionClassifier) -> None:
    utterance = given(dual, "my friend!", "You are here,", "You are here,")
    encoder = dual.text_encoder
    assert encoder is not None
    assert utterance.text is not None
    own = utterance.token_words.any(dim=1)
    assert utterance.text.own is not None
    assert torch.equal(own[None], utterance.text.own)
    assert utterance.text.input_ids[0, own].tolist() == encoder.own_tokens("my friend!").ids
    assert [word.text for word in utterance.words] == ["my", "friend!"]
    before = explainer().prepare(dual, utterance)
    assert before.embeddings is not None
    assert before.baselines.embeddings is not None
    same = (before.embeddings == before.baselines.embeddings).all(dim=2)[0]
    assert torch.equal(same, ~own)


def test_words_that_are_cut_off_have_no_attribution(tiny_roberta: Path) -> None:
    model = build(None, PretrainedTextEncoder(str(tiny_roberta), max_tokens=6))
    found = explainer(4).explain(model, given(model))
    read = [word.is_read for word in found.words]
    assert read == sorted(read, reverse=True)
    assert 0 < sum(read) < 5
    assert found.integrated_gradients is not None
    assert found.occlusion is not None
    for words in (found.integrated_gradients.words, found.occlusion.words):
        assert words is not None
        np.testing.assert_array_equal(words != 0, read)


def test_masked_probabilities(dual: EmotionClassifier) -> None:
    utterance = given(dual)
    before = explainer().prepare(dual, utterance, "joy")
    frames, words = np.ones((3, 5), dtype=bool), np.ones((3, 5), dtype=bool)
    frames[1], words[1] = False, False
    frames[2, 4] = False
    found = before.masked_probabilities(frames, words, batch_size=2)
    assert found[0] == pytest.approx(before.probabilities[1], abs=1e-6)
    assert before.waveform is not None
    assert before.baselines.waveforms is not None
    replaced = torch.cat([before.waveform[:, :1280], before.baselines.waveforms[:1, 1280:]], dim=1)
    with torch.no_grad():
        last = before.replaced_logits(replaced, None)
        none = before.replaced_logits(before.baselines.waveforms[:1], before.baselines.embeddings)
    assert found[2] == pytest.approx(float(last.softmax(1)[0, 1]), abs=1e-6)
    assert found[1] == pytest.approx(float(none.softmax(1)[0, 1]), abs=1e-6)
    alone = before.masked_probabilities(None, words[1:2])
    with torch.no_grad():
        text_gone = before.replaced_logits(None, before.baselines.embeddings)
    assert alone[0] == pytest.approx(float(text_gone.softmax(1)[0, 1]), abs=1e-6)


def test_progress_tells_every_pass(dual: EmotionClassifier) -> None:
    done: list[int] = []
    method, utterance = explainer(4), given(dual)
    found = method.explain(dual, utterance, progress=done.append)
    cost = method.cost(utterance)
    assert sum(done) == cost.forward + cost.backward
    assert (found.forward_passes, found.backward_passes) == (cost.forward, cost.backward)
    alone = replace(method, integrated_gradients=None, shapley=False)
    windows = 1 + 1  # 94 ms are less than a window: one, and the utterance as it is
    assert alone.cost(utterance).forward == 1 + windows + 1 + 5


def test_egemaps_has_no_gradient_and_is_occluded() -> None:
    pytest.importorskip("opensmile")
    from mmemo.models.egemaps_encoder import EgemapsEncoder

    model = build(EgemapsEncoder(), scratch())
    found = explainer(8).explain(model, given(model, num_samples=4000))
    assert found.notes[0].startswith("no Integrated Gradients of audio: what EgemapsEncoder")
    assert found.integrated_gradients is not None
    assert found.integrated_gradients.frames is None
    assert found.integrated_gradients.words is not None
    assert found.occlusion is not None
    assert found.occlusion.frames is not None
    assert np.ptp(found.occlusion.frames) > 0
