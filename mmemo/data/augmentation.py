"""Perturbed sound in training: which perturbations, and what their draws depend on."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmemo.audio.denoisers import Samples
from mmemo.audio.perturbations import Perturbation


@dataclass(frozen=True, slots=True)
class Draw:
    """An utterance as a training epoch draws it.

    Args:
        index: Of the utterance, in its split.
        epoch: From 0.
        number: Which of the epoch's draws it is, from 0: an utterance may be drawn twice.
    """

    index: int
    epoch: int
    number: int


class Augmentation:
    """Applies perturbations one after the other, each with its own probability.

    What is drawn depends on the seed, the epoch, the draw's number and the perturbation's name
    alone: not on which process loads it, nor on what was loaded before. A resumed run repeats an
    undisturbed one's draws, and one perturbation more does not change those of the others.

    Args:
        perturbations: By name, in the order in which they are applied.
        seed: The run's seed.
    """

    def __init__(self, perturbations: Mapping[str, Perturbation], seed: int) -> None:
        self.perturbations = dict(perturbations)
        self.seed = seed

    def use_sounds(self, sounds: Sequence[Samples]) -> None:
        """Hand the training split's sounds to those that are made of them."""
        for perturbation in self.perturbations.values():
            if hasattr(perturbation, "use_sounds"):
                perturbation.use_sounds(sounds)

    def __call__(self, waveform: Tensor, sample_rate: int, draw: Draw) -> Tensor:
        """Perturb one utterance, (T,) to (S,) float32, at its rate in Hz."""
        samples = waveform.numpy()
        for name, perturbation in self.perturbations.items():
            entropy = [self.seed, draw.epoch, draw.number, zlib.crc32(name.encode())]
            rng = np.random.default_rng(entropy)
            if rng.random() < getattr(perturbation, "probability", 1.0):
                samples = perturbation(samples, sample_rate, rng)
        # A copy where nothing was done to it either: the waveform may be somebody else's.
        return torch.from_numpy(np.array(samples, dtype=np.float32))


def check_perturbations(perturbations: Mapping[str, Any]) -> None:
    """Find out what a perturbation would fail by in training.

    Raises:
        InputError: If a package is not installed, or noises are not there.
    """
    for perturbation in perturbations.values():
        if hasattr(perturbation, "check"):
            perturbation.check()
