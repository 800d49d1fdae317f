"""Explains predictions by the chosen methods, and tells what that costs before it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace

import torch

from mmemo.errors import InputError
from mmemo.explanation.baselines import TextBaseline, WaveformBaseline, draw_baselines
from mmemo.explanation.explanation import (
    MAX_RELATIVE_DELTA,
    MODALITIES,
    Attribution,
    Convergence,
    ExplainerSettings,
    Explanation,
    Part,
)
from mmemo.explanation.inputs import UtteranceInput
from mmemo.explanation.integrated_gradients import Gradients, IntegratedGradients, summed
from mmemo.explanation.methods import AttributionMethod
from mmemo.explanation.passes import ExplanationError, Passes
from mmemo.explanation.perturbation import PerturbedUtterance, freeze_classifier
from mmemo.explanation.removal import Occlusion, modality_shapley
from mmemo.explanation.selection import PREDICTED, TRUE, check_target, get_output
from mmemo.models.classifier import EmotionClassifier


@dataclass(frozen=True)
class Explainer:
    """Methods, what they are measured against, and what of the model's answer they explain.

    Args:
        classes: Names of the model's classes, in the order of its logits.
        waveform_baseline: Makes sound that says nothing.
        text_baseline: Chooses the token that says nothing.
        integrated_gradients: None to leave it out.
        occlusion: None to leave it out.
        lime: None to leave it out.
        kernel_shap: None to leave it out.
        grad_cam: None to leave it out.
        attention_rollout: None to leave it out.
        shapley: Whether to compute the modalities' Shapley values.
        output: What of the target's logit is explained, see ``get_output``.
        seed: Of the baseline's draws.

    Raises:
        InputError: If the output is unknown.
    """

    classes: Sequence[str]
    waveform_baseline: WaveformBaseline
    text_baseline: TextBaseline
    integrated_gradients: IntegratedGradients | None = None
    occlusion: Occlusion | None = None
    lime: AttributionMethod | None = None
    kernel_shap: AttributionMethod | None = None
    grad_cam: AttributionMethod | None = None
    attention_rollout: AttributionMethod | None = None
    shapley: bool = True
    output: str = "log_odds"
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the name of the output."""
        get_output(self.output)

    def prepare(
        self,
        classifier: EmotionClassifier,
        inputs: UtteranceInput,
        target: str = PREDICTED,
        progress: Callable[[int], None] | None = None,
    ) -> PerturbedUtterance:
        """Put an utterance before the model, which is made ready for it in place.

        Args:
            classifier: The model; afterwards in evaluation mode, its parameters without gradients.
            inputs: The utterance.
            target: "predicted", "true" or the name of a class.
            progress: Called with the number of passes just done.

        Raises:
            InputError: If there is no such class, or the model has no such baseline.
            ExplanationError: If the model's answer is not finite.
        """
        freeze_classifier(classifier)
        index = self._target(target, inputs)
        device = next((p.device for p in classifier.parameters()), torch.device("cpu"))
        inputs = inputs.to(device)
        baselines = draw_baselines(
            inputs, classifier.text_encoder, self.waveform_baseline, self.text_baseline, self.seed
        )
        return PerturbedUtterance(classifier, inputs, baselines, index, self.output, progress)

    def explain(
        self,
        classifier: EmotionClassifier,
        inputs: UtteranceInput,
        target: str = PREDICTED,
        progress: Callable[[int], None] | None = None,
    ) -> Explanation:
        """Explain one answer; arguments and errors as of ``prepare``.

        Raises:
            ExplanationError: Also if an attribution is not finite, memory does not suffice, or no
                chosen method fits the model.
        """
        utterance = self.prepare(classifier, inputs, target, progress)
        inputs = utterance.inputs
        gradients, notes = self._gradients(utterance)
        attributions: dict[str, Attribution] = {}
        if gradients is not None:
            attributions["integrated_gradients"] = summed(gradients, utterance)
        if self.occlusion is not None:
            attributions["occlusion"] = self.occlusion.attribute(utterance)
        for name, method in self._further.items():
            found = method.attribute(utterance)
            notes += found.notes
            if found.attribution is not None:
                attributions[name] = found.attribution
        _check_any(inputs.key, attributions, notes)
        shapley = modality_shapley(utterance) if self.shapley else None
        done = utterance.passes.done
        return Explanation(
            key=inputs.key,
            classes=tuple(self.classes),
            probabilities=utterance.probabilities,
            predicted=self.classes[utterance.predicted],
            true=None if inputs.true is None else self.classes[inputs.true],
            target=self.classes[utterance.target],
            output=self.output,
            sound=None if inputs.sound is None else inputs.sound.cpu().numpy(),
            sample_rate=inputs.sample_rate,
            transcript=inputs.transcript,
            words=inputs.words,
            attributions=attributions,
            convergence=None if gradients is None else gradients.convergence,
            shapley=shapley,
            forward_passes=done.forward,
            backward_passes=done.backward,
            settings=self.settings(),
            seed=self.seed,
            notes=tuple(notes),
        )

    def _gradients(self, utterance: PerturbedUtterance) -> tuple[Gradients | None, list[str]]:
        """Integrated Gradients, if wanted and possible, and what is to be said of them."""
        if self.integrated_gradients is None:
            return None, []
        reasons = utterance.no_gradient.items()
        notes = [f"no Integrated Gradients of {name}: {reason}" for name, reason in reasons]
        gradients = self.integrated_gradients.attribute(utterance)
        if gradients is not None:
            notes += [*gradients.notes, *convergence_notes(gradients.convergence)]
        return gradients, notes

    @property
    def _further(self) -> dict[str, AttributionMethod]:
        """Methods that are chosen, beside the first two, by name."""
        found = {
            "lime": self.lime,
            "kernel_shap": self.kernel_shap,
            "grad_cam": self.grad_cam,
            "attention_rollout": self.attention_rollout,
        }
        return {name: method for name, method in found.items() if method is not None}

    def cost(self, inputs: UtteranceInput, with_gradient: Collection[str] = MODALITIES) -> Passes:
        """Passes that an explanation takes, where no batch is halved and each method fits.

        Args:
            inputs: The utterance.
            with_gradient: Modalities whose encoder can be differentiated: those not in
                ``PerturbedUtterance.no_gradient``, which one utterance tells for all.
        """
        by_modality = dict(zip(MODALITIES, (inputs.audio, inputs.text), strict=True))
        there = {name for name, part in by_modality.items() if part}
        total = Passes(forward=1, backward=0)
        explained = there & set(with_gradient)
        num_draws = self.waveform_baseline.num_draws
        is_baseline_known = False
        if self.integrated_gradients is not None and explained:
            draws = num_draws if "audio" in explained else 1
            path = draws * self.integrated_gradients.n_steps
            total += Passes(forward=path + draws, backward=path)
            is_baseline_known = explained == there
        if self.occlusion is not None:
            total += Passes(self.occlusion.num_passes(inputs), 0)
        for method in self._further.values():
            total += method.cost(inputs)
        if self.shapley:
            draws = num_draws if "audio" in there else 1
            nothing = 0 if is_baseline_known else draws
            single = 1 + num_draws if len(there) > 1 else 0
            total += Passes(nothing + single, 0)
        return total

    def without_shapley(self) -> Explainer:
        """The same for attributions alone."""
        return replace(self, shapley=False)

    def settings(self) -> ExplainerSettings:
        """What decides the numbers, beside model, utterance, target and seed."""
        return ExplainerSettings(
            output=self.output,
            shapley=self.shapley,
            waveform_baseline=_named(self.waveform_baseline),
            text_baseline=_named(self.text_baseline),
            integrated_gradients=_named(self.integrated_gradients),
            occlusion=_named(self.occlusion),
            lime=_named(self.lime),
            kernel_shap=_named(self.kernel_shap),
            grad_cam=_named(self.grad_cam),
            attention_rollout=_named(self.attention_rollout),
        )

    def _target(self, target: str, inputs: UtteranceInput) -> int | None:
        if target == PREDICTED:
            return None
        if target == TRUE:
            if inputs.true is None:
                raise InputError(
                    f"{inputs.key}: expected an annotated class to explain, nobody has annotated "
                    "it; name the class"
                )
            return inputs.true
        check_target(target, self.classes)
        return list(self.classes).index(target)


def _check_any(key: str, attributions: Mapping[str, Attribution], reasons: Sequence[str]) -> None:
    """Refuse an explanation without any of the methods that were chosen for it."""
    if reasons and not attributions:
        raise ExplanationError(
            f"{key}: expected at least one of methods=[…] that fits the model, got none: "
            f"{'; '.join(reasons)}; occlusion, lime and kernel_shap need no gradient"
        )


def convergence_notes(convergence: Convergence) -> list[str]:
    """A warning where Integrated Gradients have not converged."""
    if convergence.converged:
        return []
    relative = convergence.relative_delta
    share = "any share" if relative is None else f"{relative:.0%}"
    return [
        f"Integrated Gradients have not converged: delta {convergence.delta:+.3g} is {share} of "
        f"F(x) - F(baseline) = {convergence.given - convergence.baseline:+.3g}, more than "
        f"{MAX_RELATIVE_DELTA:.0%}; raise integrated_gradients.n_steps or choose another baseline"
    ]


def _named(part: object) -> Part:
    """Name and settings of a method or baseline, which name the folder of its explanations.

    Raises:
        TypeError: If it is no dataclass.
    """
    if part is None:
        return None
    if not is_dataclass(part) or isinstance(part, type):
        raise TypeError(f"{type(part).__name__}: expected a dataclass, whose fields are settings")
    return {"name": type(part).__name__, **asdict(part)}


@dataclass(frozen=True)
class PassTimes:
    """What one pass of one utterance takes.

    Args:
        forward_s: Without gradients.
        backward_s: What a gradient takes on top of that.
    """

    forward_s: float
    backward_s: float

    def total_s(self, passes: Passes) -> float:
        """Time of so many passes of utterances of the same length."""
        return passes.forward * self.forward_s + passes.backward * self.backward_s


def time_passes(utterance: PerturbedUtterance) -> PassTimes:
    """Time one pass of each kind, behind one that is not counted.

    Both modalities are computed in them; passes that replace one alone are faster, and so are
    several at a time.

    Args:
        utterance: One of middle length.
    """
    by_modality = {"audio": utterance.waveform, "text": utterance.embeddings}
    inputs = {
        name: tensor.detach().clone().requires_grad_(name not in utterance.no_gradient)
        for name, tensor in by_modality.items()
        if tensor is not None
    }

    def forward() -> torch.Tensor:
        return utterance.output(inputs.get("audio"), inputs.get("text"))

    def without_gradient() -> None:
        with torch.no_grad():
            forward()

    def with_gradient() -> None:
        output = forward()
        if output.requires_grad:
            output.sum().backward()  # type: ignore[no-untyped-call]

    without_gradient()
    forward_s = _time_s(without_gradient)
    return PassTimes(forward_s, max(0.0, _time_s(with_gradient) - forward_s))


def _time_s(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start
