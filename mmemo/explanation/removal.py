"""Explanations by removing parts: Occlusion of windows and words, Shapley values of modalities."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import factorial

import numpy as np
import torch
from captum import attr
from numpy.typing import NDArray
from torch import Tensor

from mmemo.errors import InputError
from mmemo.explanation.explanation import Attribution, ModalityShapley
from mmemo.explanation.frames import frame_means
from mmemo.explanation.inputs import UtteranceInput
from mmemo.explanation.passes import ExplanationError, with_smaller_batches
from mmemo.explanation.perturbation import PerturbedUtterance

Floats = NDArray[np.float64]

NOTHING = "none"
"""Name of the coalition without any modality."""


@dataclass(frozen=True)
class Occlusion:
    """F of the utterance minus F with a part occluded, by captum.

    Source: Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks",
    section 4.2. A sample has the mean over the windows that cover it; windows overlap, so the
    values do not sum to a difference of F. The first draw of the sound's baseline is used.

    Args:
        window_ms: Length of a window; 100 ms are the paper's 1600 samples at 16 kHz.
        stride_ms: Step from window to window; the paper's 800 samples are 50 ms.
        batch_size: Occluded utterances that are computed at a time; halved where memory does not
            suffice.

    Raises:
        InputError: If a length is not above 0, windows leave gaps, or a batch is empty.
    """

    window_ms: float = 100.0
    stride_ms: float = 50.0
    batch_size: int = 16

    def __post_init__(self) -> None:
        """Check the settings."""
        if not 0 < self.stride_ms <= self.window_ms:
            raise InputError(
                "occlusion.stride_ms: expected more than 0 and at most occlusion.window_ms "
                f"({self.window_ms:g} ms), got {self.stride_ms:g} ms"
            )
        if self.batch_size < 1:
            raise InputError(f"occlusion.batch_size: expected at least 1, got {self.batch_size}")

    def num_windows(self, num_samples: int, sample_rate: int) -> int:
        """How many windows there are over a sound; the last may reach over its end."""
        window, stride = self._samples(num_samples, sample_rate)
        return -(-(num_samples - window) // stride) + 1

    def num_passes(self, inputs: UtteranceInput) -> int:
        """Windows and words, and for each of both the utterance as it is, to compare with."""
        count = 0
        if inputs.waveform is not None:
            count += 1 + self.num_windows(inputs.waveform.shape[1], inputs.sample_rate)
        num_read = sum(word.is_read for word in inputs.words)
        return count + (1 + num_read if num_read else 0)

    def attribute(self, utterance: PerturbedUtterance) -> Attribution:
        """Attribute F to frames of 20 ms and to words; those that are not read have 0.

        Raises:
            ExplanationError: If a value is not finite, or memory does not suffice.
        """
        found = Attribution(self._frames(utterance), self._words(utterance))
        for name, values in (("frames", found.frames), ("words", found.words)):
            if values is not None and not np.isfinite(values).all():
                raise ExplanationError(
                    f"{utterance.inputs.key}: expected finite losses of F, got "
                    f"{int((~np.isfinite(values)).sum())} of {len(values)} {name} that are not; "
                    "try another baseline"
                )
        return found

    def _frames(self, utterance: PerturbedUtterance) -> Floats | None:
        waveform, baselines = utterance.waveform, utterance.baselines.waveforms
        if waveform is None or baselines is None:
            return None
        rate = utterance.inputs.sample_rate
        window, stride = self._samples(waveform.shape[1], rate)

        def compute(batch_size: int) -> Tensor:
            occlusion = attr.Occlusion(lambda occluded: utterance.output(occluded, None))
            lost: Tensor = occlusion.attribute(
                waveform,
                sliding_window_shapes=(window,),
                strides=(stride,),
                baselines=baselines[:1],
                perturbations_per_eval=batch_size,
            )
            return lost

        samples, _ = with_smaller_batches(compute, self.batch_size, utterance.inputs.key)
        return frame_means(samples[0].double().cpu().numpy(), rate)

    def _words(self, utterance: PerturbedUtterance) -> Floats | None:
        if utterance.embeddings is None:
            return None
        words = utterance.inputs.words
        read = [index for index, word in enumerate(words) if word.is_read]
        lost = np.zeros(len(words))
        if not read:
            return lost
        places = torch.tensor(read, device=utterance.embeddings.device)

        def output(kept: Tensor) -> Tensor:
            is_kept = torch.ones(len(kept), len(words), dtype=torch.bool, device=kept.device)
            is_kept[:, places] = kept > 0
            return utterance.output(None, utterance.masked_embeddings(is_kept))

        def compute(batch_size: int) -> Tensor:
            present = torch.ones(1, len(read), device=places.device)
            found: Tensor = attr.FeatureAblation(output).attribute(
                present, baselines=0, perturbations_per_eval=batch_size
            )
            return found

        found, _ = with_smaller_batches(compute, self.batch_size, utterance.inputs.key)
        lost[read] = found[0].double().cpu().numpy()
        return lost

    def _samples(self, num_samples: int, sample_rate: int) -> tuple[int, int]:
        """Window and stride in samples, at most the whole sound."""
        window = min(max(round(self.window_ms * sample_rate / 1000), 1), num_samples)
        stride = min(max(round(self.stride_ms * sample_rate / 1000), 1), window)
        return window, stride


def coalition(modalities: set[str]) -> str:
    """Name of a set of modalities that are as given: "audio+text", or "none"."""
    return "+".join(sorted(modalities)) or NOTHING


def modality_shapley(utterance: PerturbedUtterance) -> ModalityShapley:
    """Exact Shapley values of the modalities of an utterance.

    Source: Shapley 1953. The value of a coalition is F with its modalities as given and the
    others at their baselines, the mean over draws: four of two modalities. A modality's value is
    the mean of what it adds, over the orders in which they can come; together they are F of the
    utterance minus F of the baselines.
    """
    everyone = utterance.modalities
    outputs = {}
    for size in range(len(everyone) + 1):
        for present in combinations(everyone, size):
            replaced = set(everyone) - set(present)
            outputs[coalition(set(present))] = _output(utterance, replaced)
    return ModalityShapley(shapley_values(everyone, outputs), outputs)


def _output(utterance: PerturbedUtterance, replaced: set[str]) -> float:
    if not replaced:
        return utterance.undisturbed_output
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
            for present in combinations(others, size):
                added = outputs[coalition({*present, player})] - outputs[coalition(set(present))]
                values[player] += weight * added
    return values
