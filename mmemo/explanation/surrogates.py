"""Linear models that stand in for the classifier around one utterance: LIME and Kernel SHAP."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from captum import attr
from captum._utils.models.linear_model import SkLearnLinearRegression, SkLearnRidge
from captum.attr._core.lime import get_exp_kernel_similarity_function
from numpy.typing import NDArray
from sklearn.metrics import r2_score
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from mmemo.explanation.baselines import utterance_seed
from mmemo.explanation.explanation import METHODS, Attribution
from mmemo.explanation.frames import FRAME_MS, frame_samples
from mmemo.explanation.inputs import UtteranceInput
from mmemo.explanation.methods import Attributed, check_finite
from mmemo.explanation.passes import Passes, with_smaller_batches
from mmemo.explanation.perturbation import PerturbedUtterance
from mmemo.values import check_real, check_whole

Floats = NDArray[np.float64]

FAITHFUL = 0.5
"""Share of F's variance below which a surrogate is said to describe the model badly."""


@dataclass(frozen=True)
class Parts:
    """What of an utterance is there or not: stretches of sound in order, then the words read.

    Args:
        stretches: (F,), the stretch of each frame of 20 ms; empty without sound.
        words: Indices of the words that the model has read.
        num_words: W, all words of the utterance.
    """

    stretches: NDArray[np.int64]
    words: tuple[int, ...]
    num_words: int

    @classmethod
    def of(cls, inputs: UtteranceInput, stretch_ms: float) -> Parts:
        """Cut the sound into stretches that differ by a frame at most."""
        num_frames = 0
        if inputs.waveform is not None:
            num_frames = -(-inputs.waveform.shape[1] // frame_samples(inputs.sample_rate))
        num_stretches = min(max(1, round(num_frames * FRAME_MS / stretch_ms)), num_frames)
        stretches = np.arange(num_frames) * num_stretches // max(1, num_frames)
        stretches = stretches.astype(np.int64)
        read = tuple(i for i, word in enumerate(inputs.words) if word.is_read)
        return cls(stretches, read, len(inputs.words))

    @property
    def num_stretches(self) -> int:
        """Of the sound."""
        return int(self.stretches[-1]) + 1 if len(self.stretches) else 0

    def __len__(self) -> int:
        """All parts."""
        return self.num_stretches + len(self.words)

    def output(self, utterance: PerturbedUtterance, present: Tensor) -> Tensor:
        """F (N,) with only those parts that are above 0 in (N, P), the others at the baseline."""
        is_there = present > 0
        waveform = embeddings = None
        if self.num_stretches:
            frames = is_there[:, : self.num_stretches][:, torch.from_numpy(self.stretches)]
            waveform = utterance.masked_waveform(frames)
        if self.words:
            words = torch.ones(len(present), self.num_words, dtype=torch.bool)
            words[:, list(self.words)] = is_there[:, self.num_stretches :]
            embeddings = utterance.masked_embeddings(words)
        return utterance.output(waveform, embeddings)

    def attribution(self, weights: Floats, utterance: PerturbedUtterance) -> Attribution:
        """Weights (P,) as frames, which share their stretch's, and words; those not read have 0."""
        frames: Floats | None = None
        words: Floats | None = None
        if utterance.waveform is not None:
            counts = np.bincount(self.stretches)
            frames = (weights[: self.num_stretches] / counts)[self.stretches]
        if utterance.embeddings is not None:
            words = np.zeros(self.num_words)
            words[list(self.words)] = weights[self.num_stretches :]
        return Attribution(frames, words)


@dataclass(frozen=True)
class Surrogate(ABC):
    """A linear model of F, fitted to the utterance with random parts at their baselines.

    Parts are the words that are read and equal stretches of the sound, both modalities at once.
    The first draw of the sound's baseline is used. Draws are the same for the same seed and key,
    on any device, whatever the size of a batch.

    Args:
        num_samples: Perturbed utterances that the linear model is fitted to.
        stretch_ms: Length of a stretch of sound, about; whole frames of 20 ms.
        batch_size: Perturbed utterances that are computed at a time; halved where memory does not
            suffice.
        seed: Of the draws.

    Raises:
        InputError: If a number is out of its range.
    """

    num_samples: int = 500
    stretch_ms: float = 200.0
    batch_size: int = 16
    seed: int = 0

    name = ""

    def __post_init__(self) -> None:
        """Check the settings."""
        check_whole(f"{self.name}.num_samples", self.num_samples, 3)
        check_real(f"{self.name}.stretch_ms", self.stretch_ms, FRAME_MS)
        check_whole(f"{self.name}.batch_size", self.batch_size, 1)

    def attribute(self, utterance: PerturbedUtterance) -> Attributed:
        """Attribute F to parts.

        Raises:
            ExplanationError: If a value is not finite, or memory does not suffice.
        """
        parts, key = Parts.of(utterance.inputs, self.stretch_ms), utterance.inputs.key
        if not len(parts):
            return Attributed(parts.attribution(np.zeros(0), utterance))

        def output(present: Tensor) -> Tensor:
            return parts.output(utterance, present).cpu()

        def compute(batch_size: int) -> tuple[Floats, tuple[str, ...]]:
            with _seeded(utterance_seed(self.seed, key)), torch.no_grad():
                return self._fit(output, len(parts), batch_size)

        (weights, notes), _ = with_smaller_batches(compute, self.batch_size, key)
        attribution = parts.attribution(weights, utterance)
        check_finite(self.name, attribution, key)
        if self.num_samples < 2 * len(parts):
            notes = (
                f"{METHODS[self.name]}: {self.num_samples} samples are few for {len(parts)} parts "
                f"of this utterance; raise {self.name}.num_samples",
                *notes,
            )
        return Attributed(attribution, notes)

    def cost(self, inputs: UtteranceInput) -> Passes:
        """A forward pass for each sample."""
        return Passes(self._num_passes(len(Parts.of(inputs, self.stretch_ms))), 0)

    def _num_passes(self, num_parts: int) -> int:
        return self.num_samples if num_parts else 0

    @abstractmethod
    def _fit(self, output: Any, num_parts: int, batch_size: int) -> tuple[Floats, tuple[str, ...]]:  # noqa: ANN401
        """Weights (P,), and what is to be said of them."""


@dataclass(frozen=True)
class Lime(Surrogate):
    """LIME, by captum: a ridge regression weighted by nearness to the utterance.

    Source: Ribeiro, Singh and Guestrin 2016, "Why Should I Trust You?", equation 1, with the
    kernel and the ridge of the authors' package for text: exp(-D² / 2 width²), D the cosine
    distance of what is there to what could be. Each part is there with probability 1/2. Weights
    do not sum to a difference of F.

    Args:
        kernel_width: Of the kernel; the larger, the less local.
        ridge: Weight of the penalty on the size of weights; 0 for none.
    """

    kernel_width: float = 0.25
    ridge: float = 1.0

    name = "lime"

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        check_real("lime.kernel_width", self.kernel_width, 0.01)
        check_real("lime.ridge", self.ridge, 0)

    def _fit(self, output: Any, num_parts: int, batch_size: int) -> tuple[Floats, tuple[str, ...]]:  # noqa: ANN401
        model = _Ridge(self.ridge)
        kernel = get_exp_kernel_similarity_function("cosine", self.kernel_width)
        found = attr.Lime(output, model, kernel).attribute(
            torch.ones(1, num_parts),
            baselines=0,
            n_samples=self.num_samples,
            perturbations_per_eval=batch_size,
        )
        notes: tuple[str, ...] = ()
        if model.explained < FAITHFUL:
            notes = (
                f"LIME's linear model explains {max(0.0, model.explained):.0%} of the variance of "
                "F around this utterance: its weights describe the model badly",
            )
        return found[0].double().numpy(), notes


@dataclass(frozen=True)
class KernelShap(Surrogate):
    """Shapley values of parts, estimated by a linear regression, by captum.

    Source: Lundberg and Lee 2017, "A Unified Approach to Interpreting Model Predictions", theorem
    2. Two of the samples are the utterance and its baseline, which the regression has to meet:
    values sum to F of the utterance minus F of the baseline.
    """

    name = "kernel_shap"

    def _num_passes(self, num_parts: int) -> int:
        return {0: 0, 1: 2}.get(num_parts, self.num_samples)

    def _fit(self, output: Any, num_parts: int, batch_size: int) -> tuple[Floats, tuple[str, ...]]:  # noqa: ANN401
        if num_parts == 1:
            ends = output(torch.tensor([[1.0], [0.0]])).double()
            return (ends[:1] - ends[1:]).numpy(), ()
        method = attr.KernelShap(output)
        method.interpretable_model = _Regression()
        found = method.attribute(
            torch.ones(1, num_parts),
            baselines=0,
            n_samples=self.num_samples,
            perturbations_per_eval=batch_size,
        )
        return found[0].double().numpy(), ()


class _Ridge(SkLearnRidge):  # type: ignore[misc]
    """In float64; ``explained`` is the weighted share of the variance that it explains."""

    explained = 0.0

    def __init__(self, ridge: float) -> None:
        super().__init__(alpha=ridge)

    def fit(self, train_data: DataLoader[Any], **kwargs: object) -> Any:  # noqa: ANN401
        """Fit to what captum has drawn."""
        data = _double(train_data)
        statistics = super().fit(data, **kwargs)
        present, outputs, weights = data.dataset.tensors  # type: ignore[attr-defined]
        fitted = self(present.to(self.representation().dtype)).detach().flatten()
        # Where F is the same whatever is there, weights of zero say so.
        is_flat = float(outputs.max() - outputs.min()) <= 1e-6 * float(outputs.abs().max())
        self.explained = 1.0 if is_flat else float(r2_score(outputs, fitted, sample_weight=weights))
        return statistics


class _Regression(SkLearnLinearRegression):  # type: ignore[misc]
    """In float64: two of the samples weigh a million times more than the others."""

    def fit(self, train_data: DataLoader[Any], **kwargs: object) -> Any:  # noqa: ANN401
        """Fit to what captum has drawn."""
        return super().fit(_double(train_data), **kwargs)


def _double(train_data: DataLoader[Any]) -> DataLoader[Any]:
    tensors = train_data.dataset.tensors  # type: ignore[attr-defined]
    return DataLoader(TensorDataset(*(t.double() for t in tensors)), batch_size=len(tensors[0]))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draws of torch on the CPU from a seed, and from where they were afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
