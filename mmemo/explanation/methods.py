"""What every way to attribute an answer gives, beside Integrated Gradients and Occlusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mmemo.explanation.explanation import METHODS, Attribution
from mmemo.explanation.inputs import UtteranceInput
from mmemo.explanation.passes import ExplanationError, Passes
from mmemo.explanation.perturbation import PerturbedUtterance


@dataclass(frozen=True)
class Attributed:
    """What a method has found of one utterance.

    Args:
        attribution: None where the method does not fit the model.
        notes: Sentences about what could not be done, or what to be careful about.
    """

    attribution: Attribution | None
    notes: tuple[str, ...] = ()


class AttributionMethod(Protocol):
    """A way to attribute an answer to frames of sound and to words: a dataclass of its settings."""

    def attribute(self, utterance: PerturbedUtterance) -> Attributed:
        """Attribute F, or say why that cannot be done.

        Raises:
            ExplanationError: If a value is not finite, or memory does not suffice.
        """
        ...

    def cost(self, inputs: UtteranceInput) -> Passes:
        """Passes that an utterance takes, where the method fits the model."""
        ...


def check_finite(name: str, attribution: Attribution, key: str) -> None:
    """Refuse an attribution that has no meaning.

    Args:
        name: Of the method.
        attribution: What it has found.
        key: The utterance's.

    Raises:
        ExplanationError: If a value is not finite.
    """
    for unit, values in (("frames", attribution.frames), ("words", attribution.words)):
        if values is not None and not np.isfinite(values).all():
            raise ExplanationError(
                f"{key}: expected finite values of {METHODS[name]}, got "
                f"{int((~np.isfinite(values)).sum())} of {len(values)} {unit} that are not; leave "
                f"the method out with methods=[…] or try another baseline"
            )
