"""Shapley values of the modalities: how much of the answer comes from which."""

from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np

from mmemo.explanation.explained_utterance import ExplainedUtterance
from mmemo.explanation.explanation import ModalityShapley

NOTHING = "none"


def coalition(modalities: set[str]) -> str:
    """Name of a set of modalities that are as given: "audio+text", or "none"."""
    return "+".join(sorted(modalities)) or NOTHING


def modality_shapley(utterance: ExplainedUtterance) -> ModalityShapley:
    """Exact Shapley values of the modalities of an utterance.

    Source: Shapley 1953. The value of a coalition is F with its modalities as given and the
    others at their baselines, the mean over draws: four of two modalities. A modality's value is
    the mean of what it adds, over the orders in which they can come; together they are F of the
    utterance minus F of the baselines.
    """
    everyone = utterance.modalities
    outputs = {}
    for size in range(len(everyone) + 1):
        for given in combinations(everyone, size):
            replaced = set(everyone) - set(given)
            outputs[coalition(set(given))] = _output(utterance, replaced)
    return ModalityShapley(shapley_values(everyone, outputs), outputs)


def _output(utterance: ExplainedUtterance, replaced: set[str]) -> float:
    if not replaced:
        return utterance.given_output
    if replaced == set(utterance.modalities):
        return float(np.mean(utterance.baseline_outputs))
    return float(np.mean(utterance.replaced_outputs(replaced)))


def shapley_values(players: tuple[str, ...], outputs: dict[str, float]) -> dict[str, float]:
    """Shapley values from the value of every coalition.

    Args:
        players: All of them.
        outputs: The value of each coalition, by its name.

    Returns:
        For each player the sum over coalitions S without it of |S|! (n - |S| - 1)! / n! times
        what it adds to S.
    """
    values = dict.fromkeys(players, 0.0)
    for player in players:
        others = [other for other in players if other != player]
        for size in range(len(players)):
            weight = factorial(size) * factorial(len(others) - size) / factorial(len(players))
            for given in combinations(others, size):
                added = outputs[coalition({*given, player})] - outputs[coalition(set(given))]
                values[player] += weight * added
    return values
