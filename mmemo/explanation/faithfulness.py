"""All checks of one explanation from the model that it explains, made random too."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mmemo.errors import InputError
from mmemo.explanation.chance import Chance, chance_correlations, rank_correlation
from mmemo.explanation.checks import ExplanationChecks, RandomisedStage
from mmemo.explanation.explainer import Explainer
from mmemo.explanation.explanation import METHODS, MODALITIES, Explanation
from mmemo.explanation.inputs import UtteranceInput
from mmemo.explanation.passes import Passes
from mmemo.explanation.perturbation import PerturbedUtterance
from mmemo.explanation.perturbation_curves import SHARES
from mmemo.models.classical import EstimatorHead
from mmemo.models.classifier import EmotionClassifier
from mmemo.models.trainable import transformer_layers

Floats = NDArray[np.float64]
Units = tuple[str, str, Floats]
"""Method, modality and attribution (U,) of its frames or words."""


@dataclass(frozen=True)
class Faithfulness:
    """How explanations are checked.

    Args:
        num_orders: Random orders that deletion and insertion are held against. A set is judged by
            all of them; one utterance has a verdict from 39 on.
        num_randomised: Utterances whose explanation is repeated with random layers: each costs
            as many explanations as the deeper encoder has layers, and three more.
        batch_size: Perturbed utterances that are computed at a time; halved where memory does not
            suffice.
        seed: Of random orders, random parameters and unrelated attributions.

    Raises:
        InputError: If there is no random order or a batch is empty.
    """

    num_orders: int = 5
    num_randomised: int = 3
    batch_size: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the settings."""
        for name, least in (("num_orders", 1), ("num_randomised", 0), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise InputError(
                    f"faithfulness_checks.{name}: expected at least {least}, got "
                    f"{getattr(self, name)}"
                )

    def check(self, utterance: PerturbedUtterance, explanation: Explanation) -> ExplanationChecks:
        """Check an explanation against its model, the loudness, and each method with the others.

        Args:
            utterance: What was explained, before its model, with the explanation's target.
            explanation: What is checked.

        Raises:
            ExplanationError: If memory does not suffice.
        """
        checks = ExplanationChecks(explanation.key)
        if explanation.convergence is not None:
            checks.add_convergence(explanation.convergence.relative_delta)
        found = list(attributed_units(explanation))
        for method, modality, values in found:
            name = "frames" if modality == "audio" else "words"
            score = partial(_score, utterance, name, self.batch_size, _read_words(explanation))
            checks.add_order(method, modality, values, score, self.num_orders, self.seed)
            if modality == "audio" and explanation.sound is not None:
                sound = explanation.sound.astype(np.float64)
                size = explanation.frame_samples
                checks.add_loudness(method, values, sound, size, self.seed)
        for modality in MODALITIES:
            of_one = [(method, values) for method, of, values in found if of == modality]
            for (first, a), (second, b) in combinations(of_one, 2):
                checks.add_methods((first, second), modality, a, b, self.seed)
        return checks

    def add_randomised(
        self,
        checks: ExplanationChecks,
        explanation: Explanation,
        explainer: Explainer,
        classifier: EmotionClassifier,
        inputs: UtteranceInput,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Explain again with ever more random parameters, and note what is left.

        Args:
            checks: Of the explanation; added to.
            explanation: By the trained model.
            explainer: That made it.
            classifier: The trained model, which stays as it is.
            inputs: The utterance.
            progress: Called with the number of passes just done.

        Raises:
            ExplanationError: If a random model cannot be explained.
        """
        again = explainer.without_shapley()
        original = {(method, of): values for method, of, values in attributed_units(explanation)}
        stages: dict[tuple[str, str], list[RandomisedStage]] = {place: [] for place in original}
        for name, model in randomised_models(classifier, model_stages(classifier), self.seed):
            if not isinstance(model, EmotionClassifier):
                raise TypeError(f"expected a copy of the classifier, got {type(model).__name__}")
            changed = again.explain(model, inputs, explanation.target, progress)
            for method, of, values in attributed_units(changed):
                before = original[method, of]
                stage = randomised_stage(name, before, values, self.seed, of == "audio")
                stages[method, of].append(stage)
        for (method, of), found in stages.items():
            checks.add_randomisation(method, of, found)

    def add_seeds(
        self, checks: ExplanationChecks, explanation: Explanation, others: Sequence[Explanation]
    ) -> None:
        """Compare with explanations of the same utterance and class by models of other seeds."""
        by_run = [
            {(method, of): values for method, of, values in attributed_units(one)}
            for one in (explanation, *others)
        ]
        for place, values in by_run[0].items():
            known = [run[place] for run in by_run if place in run]
            same = [other for other in known if other.shape == values.shape]
            if len(same) > 1:
                checks.add_seeds(*place, same, self.seed)

    def max_passes(
        self,
        explainer: Explainer,
        classifier: nn.Module,
        inputs: UtteranceInput,
        is_randomised: bool,
    ) -> Passes:
        """Passes that the checks of one utterance take at most: some masks may be the same."""
        num_methods = len([name for name in METHODS if getattr(explainer, name) is not None])
        num_modalities = (inputs.audio is not None) + bool(inputs.words)
        masks = 2 + 2 * (len(SHARES) - 2) * (1 + self.num_orders)
        passes = Passes(1 + num_methods * num_modalities * masks, 0)
        if is_randomised:
            once = explainer.without_shapley().cost(inputs)
            for _ in model_stages(classifier):
                passes += once
        return passes


def attributed_units(explanation: Explanation) -> Iterator[Units]:
    """What an explanation attributes, by method and modality; what is empty is left out."""
    for method, attribution in explanation.attributions.items():
        words = attribution.words
        if words is not None:
            words = words[_read_words(explanation)]
        for modality, values in (("audio", attribution.frames), ("text", words)):
            if values is not None and len(values) > 0:
                yield method, modality, values


def model_stages(classifier: nn.Module) -> list[tuple[str, list[nn.Module]]]:
    """A model's stages from the output down; an encoder without layers is in the last one."""
    layers: dict[str, Sequence[nn.Module]] = {}
    for modality in MODALITIES:
        encoder = getattr(classifier, f"{modality}_encoder")
        if encoder is None:
            continue
        try:
            layers[modality] = list(transformer_layers(encoder, f"{modality}_encoder"))
        except InputError:
            continue
    return randomisation_stages(classifier, layers)


def _score(
    utterance: PerturbedUtterance,
    name: str,
    batch_size: int,
    is_read: NDArray[np.bool_],
    masks: NDArray[np.bool_],
) -> Floats:
    if name == "frames":
        return utterance.masked_probabilities(masks, None, batch_size)
    words = np.ones((len(masks), len(is_read)), dtype=bool)
    words[:, is_read] = masks
    return utterance.masked_probabilities(None, words, batch_size)


def _read_words(explanation: Explanation) -> NDArray[np.bool_]:
    """Which words (W,) the model has read: the others cannot matter to it."""
    return np.array([word.is_read for word in explanation.words], dtype=bool)


def randomisation_stages(
    classifier: nn.Module, layers: dict[str, Sequence[nn.Module]]
) -> list[tuple[str, list[nn.Module]]]:
    """A dual encoder's stages from the output down: head, fusion, each encoder layer, the rest.

    Args:
        classifier: With ``head`` and ``fusion``.
        layers: Each encoder's layers, bottom first, by modality; of several encoders the layers
            at the same distance from the top are randomised together.
    """
    stages: list[tuple[str, list[nn.Module]]] = [
        ("head", [classifier.get_submodule("head")]),
        ("fusion", [classifier.get_submodule("fusion")]),
    ]
    for depth in range(1, max((len(stack) for stack in layers.values()), default=0) + 1):
        deep = {name: len(stack) - depth for name, stack in layers.items() if depth <= len(stack)}
        name = ", ".join(f"{modality} layer {place}" for modality, place in deep.items())
        stages.append((name, [layers[modality][place] for modality, place in deep.items()]))
    return [*stages, ("everything", [classifier])]


def randomised_models(
    model: nn.Module, stages: Sequence[tuple[str, Sequence[nn.Module]]], seed: int
) -> Iterator[tuple[str, nn.Module]]:
    """One copy of a model, more random from stage to stage.

    It is the same copy every time: each stage has to be looked at before the next. An attribution
    that stays as it was does not tell about the model.

    Source: Adebayo et al. 2018, "Sanity Checks for Saliency Maps", the cascading test.

    Args:
        model: The trained model, which stays as it is.
        stages: Names and modules of the model, from the output down.
        seed: Of the random parameters.
    """
    names = {id(module): name for name, module in model.named_modules()}
    randomised = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    done: set[str] = set()
    for stage, modules in stages:
        for module in modules:
            _randomise(randomised, names[id(module)], done, generator)
        yield stage, randomised


def randomised_stage(
    name: str, original: Floats, changed: Floats, seed: int, is_sound: bool
) -> RandomisedStage:
    """What a stage has left of the size of an attribution (U,).

    Signs are left out, because the sign of a random model's answer means nothing.

    Args:
        name: The stage's.
        original: Of the trained model.
        changed: Of the random one.
        seed: Of the unrelated attributions that the correlation is held against.
        is_sound: Whether the units are frames.
    """
    sizes = [np.abs(original), np.abs(changed)]
    correlation = rank_correlation(*sizes)
    if correlation is None:
        return RandomisedStage(name, None)
    by_chance = chance_correlations(sizes, seed, is_sound)
    p, least_p = (Chance.of(value, by_chance).p for value in (correlation, 1.0))
    return RandomisedStage(name, correlation, p, least_p)


def _randomise(model: nn.Module, inside: str, done: set[str], generator: torch.Generator) -> None:
    """Draw each parameter again, from the normal distribution of its own mean and deviation.

    All kinds of layers are served alike, and activations keep their scale. An estimator, which has
    none, is fitted on shuffled classes: the same source's test of random labels.
    """
    for name, module in model.get_submodule(inside).named_modules(prefix=inside):
        if isinstance(module, EstimatorHead) and name not in done:
            done.add(name)
            module.shuffle_targets(generator)
    for name, parameter in _parameters(model, inside):
        if name in done:
            continue
        done.add(name)
        with torch.no_grad():
            noise = torch.randn(parameter.shape, generator=generator)
            spread = parameter.std() if parameter.numel() > 1 else parameter.abs().sum()
            parameter.copy_(parameter.mean() + spread * noise.to(parameter))


def _parameters(model: nn.Module, inside: str) -> Iterator[tuple[str, nn.Parameter]]:
    return model.get_submodule(inside).named_parameters(prefix=inside)
