"""Whether an attribution depends on what the model has learnt."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mmemo.explanation.agreement import chance_correlations, rank_correlation
from mmemo.explanation.unrelated import Chance

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RandomisedStage:
    """What is left of an attribution when the model is random from the output down to a stage.

    Args:
        name: The stage, such as "head" or "audio layer 11".
        correlation: Spearman's, of the size of the attribution with that of the trained model;
            None where it is not defined.
        p: How likely unrelated attributions have as much; None where that is not asked.
        least_p: The same of a perfect one.
    """

    name: str
    correlation: float | None
    p: float | None = None
    least_p: float | None = None


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

    All kinds of layers are served alike, and activations keep their scale.
    """
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
