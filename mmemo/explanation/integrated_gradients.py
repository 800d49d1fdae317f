"""Integrated Gradients, jointly on the waveform and on the tokens' embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from captum import attr
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers.models.wavlm.modeling_wavlm import WavLMAttention

from mmemo.errors import InputError
from mmemo.explanation.explanation import Attribution, Convergence
from mmemo.explanation.frames import frame_sums
from mmemo.explanation.inputs import word_sums
from mmemo.explanation.passes import ExplanationError, with_smaller_batches
from mmemo.explanation.perturbation import PerturbedUtterance

Floats = NDArray[np.float64]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Gradients:
    """Integrated Gradients of one utterance.

    Args:
        samples: (T,), of the real samples; None where the sound has none.
        tokens: (L,), summed over the embedding; None where the text has none. Tokens that the
            baseline leaves as they are have exactly 0.
        convergence: Whether they sum to the difference of the outputs.
        notes: What was done otherwise than asked for.
    """

    samples: Floats | None
    tokens: Floats | None
    convergence: Convergence
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class IntegratedGradients:
    """Gradients of F on the straight path from the baseline to the input, both modalities at once.

    Source: Sundararajan, Taly and Yan 2017, "Axiomatic Attribution for Deep Networks", equation
    1, by captum with Gauss-Legendre quadrature. A modality whose encoder has no gradient stays as
    it is, and the other one's attribution sums to what it alone changes.

    Args:
        n_steps: Points on the path from each draw of the baseline.
        internal_batch_size: Points computed at a time; halved where memory does not suffice.
        precision: "float32", or "bfloat16" for the passes on the path alone, in autocast, which
            is faster on machines that have it; the two ends are in float32 always.

    Raises:
        InputError: If a number is below 1 or the precision is unknown.
    """

    n_steps: int = 50
    internal_batch_size: int = 10
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        """Check the settings."""
        for name in ("n_steps", "internal_batch_size"):
            if getattr(self, name) < 1:
                raise InputError(
                    f"integrated_gradients.{name}: expected at least 1, got {getattr(self, name)}"
                )
        if self.precision not in ("float32", "bfloat16"):
            raise InputError(
                "integrated_gradients.precision: expected float32 or bfloat16, got "
                f"'{self.precision}'"
            )

    def attribute(self, utterance: PerturbedUtterance) -> Gradients | None:
        """Attribute F to samples and tokens; None where no modality has a gradient.

        Raises:
            ExplanationError: If a value is not finite, or memory does not suffice.
        """
        names = [name for name in utterance.modalities if name not in utterance.no_gradient]
        if not names:
            return None
        inputs = {"audio": utterance.waveform, "text": utterance.embeddings}
        explained = tuple(tensor for n in names if (tensor := inputs[n]) is not None)
        path = _Path(utterance, names, self._dtype(utterance.classifier))
        batch_size = self.internal_batch_size
        totals = [torch.zeros_like(tensor, dtype=torch.float64) for tensor in explained]
        draw_sums = []
        ends = _baseline_ends(utterance, names)
        for end in ends:

            def compute(size: int, end: tuple[Tensor, ...] = end) -> tuple[Tensor, ...]:
                parts: tuple[Tensor, ...] = attr.IntegratedGradients(path).attribute(
                    explained, end, n_steps=self.n_steps, internal_batch_size=size
                )
                return parts

            found, batch_size = with_smaller_batches(compute, batch_size, utterance.inputs.key)
            for total, values in zip(totals, found, strict=True):
                total += values.double() / len(ends)
            draw_sums.append(float(sum(values.double().sum() for values in found)))
        sums = dict(zip(names, totals, strict=True))
        return self._gradients(utterance, sums, draw_sums, batch_size, path.dtype)

    def _gradients(
        self,
        utterance: PerturbedUtterance,
        sums: dict[str, Tensor],
        draw_sums: Sequence[float],
        batch_size: int,
        dtype: torch.dtype,
    ) -> Gradients:
        key = utterance.inputs.key
        for name, values in sums.items():
            if not values.isfinite().all():
                num_bad = int((~values.isfinite()).sum())
                raise ExplanationError(
                    f"{key}: expected finite attributions, got {num_bad} of {values.numel()} of "
                    f"{name} that are not; try integrated_gradients.precision=float32 or another "
                    "baseline"
                )
        notes = []
        if batch_size < self.internal_batch_size:
            notes.append(
                "memory did not suffice for integrated_gradients.internal_batch_size="
                f"{self.internal_batch_size}; {batch_size} was used, with the same result"
            )
        if self.precision == "bfloat16" and dtype != torch.bfloat16:
            notes.append(
                "integrated_gradients.precision: bfloat16 was not used, with which WavLM's eager "
                "attention is slower; audio_encoder.attention=sdpa gains by it"
            )
        audio, text = sums.get("audio"), sums.get("text")
        return Gradients(
            samples=None if audio is None else audio[0].cpu().numpy(),
            tokens=None if text is None else text[0].sum(dim=-1).cpu().numpy(),
            convergence=_convergence(utterance, set(sums), draw_sums),
            notes=tuple(notes),
        )

    def _dtype(self, classifier: nn.Module) -> torch.dtype:
        # Exactly that class: the faster one inherits from it.
        is_eager = any(type(module) is WavLMAttention for module in classifier.modules())
        return torch.bfloat16 if self.precision == "bfloat16" and not is_eager else torch.float32


def _convergence(
    utterance: PerturbedUtterance, replaced: set[str], draw_sums: Sequence[float]
) -> Convergence:
    """From the sum of all attributions of each draw of the baseline."""
    undisturbed, is_all = utterance.undisturbed_output, replaced == set(utterance.modalities)
    baselines = utterance.baseline_outputs if is_all else utterance.replaced_outputs(replaced)
    deltas = [s - (undisturbed - b) for s, b in zip(draw_sums, baselines, strict=True)]
    return Convergence.of(undisturbed, float(np.mean(baselines)), max(deltas, key=abs))


class _Path:
    """F of batches of points on the path, of the modalities that are replaced."""

    def __init__(self, utterance: PerturbedUtterance, names: list[str], dtype: torch.dtype) -> None:
        self.utterance = utterance
        self.names = names
        self.dtype = dtype

    def __call__(self, *points: Tensor) -> Tensor:
        """F (N,)."""
        replaced = dict(zip(self.names, points, strict=True))
        enabled = self.dtype == torch.bfloat16
        with torch.autocast(points[0].device.type, dtype=torch.bfloat16, enabled=enabled):
            output = self.utterance.output(replaced.get("audio"), replaced.get("text"))
        if output.requires_grad:
            output.register_hook(self._count)  # type: ignore[no-untyped-call]
        return output

    def _count(self, gradient: Tensor) -> None:
        self.utterance.passes.count(backward=len(gradient))


def _baseline_ends(utterance: PerturbedUtterance, names: list[str]) -> list[tuple[Tensor, ...]]:
    """Where the paths begin: the baselines of the modalities, for each draw of the sound's."""
    baselines = utterance.baselines
    num_draws = baselines.num_draws if "audio" in names else 1
    ends = []
    for draw in range(num_draws):
        at = {
            "audio": None if baselines.waveforms is None else baselines.waveforms[draw, None],
            "text": baselines.embeddings,
        }
        ends.append(tuple(tensor for name in names if (tensor := at[name]) is not None))
    return ends


def summed(gradients: Gradients, utterance: PerturbedUtterance) -> Attribution:
    """Samples summed to frames of 20 ms and subwords to words, with their signs."""
    inputs = utterance.inputs
    frames: Floats | None = None
    words: Floats | None = None
    if gradients.samples is not None:
        frames = frame_sums(gradients.samples, inputs.sample_rate)
    if gradients.tokens is not None:
        words = word_sums(inputs.token_words, gradients.tokens)
    return Attribution(frames, words)
