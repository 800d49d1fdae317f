"""Explains predictions of a model by the chosen methods."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from mmemo.explanation.baselines import TextBaseline, WaveformBaseline, draw_baselines
from mmemo.explanation.cost import MODALITIES, num_passes
from mmemo.explanation.explained_output import PREDICTED, TRUE, check_target, get_output
from mmemo.explanation.explained_utterance import ExplainedUtterance, ready_for_explanation
from mmemo.explanation.explanation import MAX_RELATIVE_DELTA, Convergence, Explanation
from mmemo.explanation.inputs import GivenInput
from mmemo.explanation.integrated_gradients import Gradients, IntegratedGradients, summed
from mmemo.explanation.occlusion import Occlusion
from mmemo.explanation.passes import Passes
from mmemo.explanation.shapley import modality_shapley
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
        shapley: Whether to compute the modalities' Shapley values.
        output: What of the target's logit is explained, see ``get_output``.
        seed: Of the baseline's draws.

    Raises:
        InputError: If the output is unknown.
    """

    classes: Sequence[str]
    waveform_baseline: WaveformBaseline
    text_baseline: TextBaseline
    integrated_gradients: IntegratedGradients | None
    occlusion: Occlusion | None
    shapley: bool = True
    output: str = "log_odds"
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the name of the output."""
        get_output(self.output)

    def explained(
        self,
        classifier: EmotionClassifier,
        given: GivenInput,
        target: str = PREDICTED,
        progress: Callable[[int], None] | None = None,
    ) -> ExplainedUtterance:
        """The utterance before the model, which is made ready for it in place.

        Args:
            classifier: The model; afterwards in evaluation mode, its parameters without gradients.
            given: The utterance.
            target: "predicted", "true" or the name of a class.
            progress: Called with the number of passes just done.

        Raises:
            InputError: If there is no such class, or the model has no such baseline.
            ExplanationError: If the model's answer is not finite.
        """
        ready_for_explanation(classifier)
        index = self._target(target, given)
        device = next((p.device for p in classifier.parameters()), torch.device("cpu"))
        given = given.to(device)
        baselines = draw_baselines(
            given, classifier.text_encoder, self.waveform_baseline, self.text_baseline, self.seed
        )
        return ExplainedUtterance(classifier, given, baselines, index, self.output, progress)

    def explain(
        self,
        classifier: EmotionClassifier,
        given: GivenInput,
        target: str = PREDICTED,
        progress: Callable[[int], None] | None = None,
    ) -> Explanation:
        """Explain one answer; arguments and errors as of ``explained``.

        Raises:
            ExplanationError: Also if an attribution is not finite or memory does not suffice.
        """
        utterance = self.explained(classifier, given, target, progress)
        given = utterance.given
        gradients, notes = self._gradients(utterance)
        occlusion = self.occlusion.attribute(utterance) if self.occlusion is not None else None
        shapley = modality_shapley(utterance) if self.shapley else None
        done = utterance.passes.done
        return Explanation(
            key=given.key,
            classes=tuple(self.classes),
            probabilities=utterance.probabilities,
            predicted=self.classes[utterance.predicted],
            true=self.classes[given.true],
            target=self.classes[utterance.target],
            output=self.output,
            sound=None if given.sound is None else given.sound.cpu().numpy(),
            sample_rate=given.sample_rate,
            transcript=given.transcript,
            words=given.words,
            integrated_gradients=None if gradients is None else summed(gradients, utterance),
            convergence=None if gradients is None else gradients.convergence,
            occlusion=occlusion,
            shapley=shapley,
            forward_passes=done.forward,
            backward_passes=done.backward,
            settings=self.settings(),
            seed=self.seed,
            notes=tuple(notes),
        )

    def _gradients(self, utterance: ExplainedUtterance) -> tuple[Gradients | None, list[str]]:
        """Integrated Gradients, if wanted and possible, and what is to be said of them."""
        if self.integrated_gradients is None:
            return None, []
        reasons = utterance.no_gradient.items()
        notes = [f"no Integrated Gradients of {name}: {reason}" for name, reason in reasons]
        gradients = self.integrated_gradients.attribute(utterance)
        if gradients is not None:
            notes += [*gradients.notes, *convergence_notes(gradients.convergence)]
        return gradients, notes

    def cost(self, given: GivenInput, with_gradient: Collection[str] = MODALITIES) -> Passes:
        """Passes that the explanation of an utterance takes.

        Args:
            given: The utterance.
            with_gradient: Modalities whose encoder can be differentiated: those not in
                ``ExplainedUtterance.no_gradient``, which one utterance tells for all.
        """
        draws = self.waveform_baseline.num_draws
        return num_passes(
            given, self.integrated_gradients, self.occlusion, self.shapley, draws, with_gradient
        )

    def without_shapley(self) -> Explainer:
        """The same for attributions alone."""
        return replace(self, shapley=False)

    def settings(self) -> dict[str, Any]:
        """What decides the numbers, beside model, utterance, target and seed; JSON-able."""
        named = ("waveform_baseline", "text_baseline", "integrated_gradients", "occlusion")
        parts = {name: getattr(self, name) for name in named}
        return {
            "output": self.output,
            "shapley": self.shapley,
            **{
                name: None if part is None else {"name": type(part).__name__, **asdict(part)}
                for name, part in parts.items()
            },
        }

    def _target(self, target: str, given: GivenInput) -> int | None:
        if target == PREDICTED:
            return None
        if target == TRUE:
            return given.true
        check_target(target, self.classes)
        return list(self.classes).index(target)


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
