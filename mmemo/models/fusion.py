"""From the encoders' features to one embedding: what fusions share, and the default one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mmemo.errors import InputError
from mmemo.models.protocols import EncodedModality, FeatureDims


class ModalityVectors(NamedTuple):
    """Modalities side by side: ``vectors`` (B, M, D); ``present`` (B, M), True where given."""

    vectors: Tensor
    present: Tensor


def embedding_of(fused: Tensor | ModalityVectors) -> Tensor:
    """What a head is given as one vector for each utterance: (B, D)."""
    return fused if isinstance(fused, Tensor) else fused.vectors.flatten(1)


class Fusion(nn.Module, ABC):
    """What fusions share: which modalities there are, and which of them an utterance has.

    A fusion of one's own calls this constructor, sets ``output_dim`` and writes ``fuse``. One
    that takes frames, not pooled vectors alone, sets ``needs_frames``: features that were pooled
    and kept are not handed to it. One that gives each trained weight a gradient in every step
    sets ``trains_every_weight``, which spares several processes a search in each step.

    Args:
        input_dims: Sizes of each modality's features, by its name.
        modality_dropout: In training, the share of utterances that lose one modality, drawn at
            random, and never their only one. Above 0 the model also answers where a whole batch
            lacks a modality.

    Raises:
        InputError: If the share is not between 0 and 1.
    """

    needs_frames: bool = False
    trains_every_weight: bool = False
    output_dim: int

    def __init__(self, input_dims: Mapping[str, FeatureDims], modality_dropout: float) -> None:
        super().__init__()
        if not 0 <= modality_dropout <= 1:
            raise InputError(
                "fusion.modality_dropout: expected a share of utterances from 0 to 1, got "
                f"{modality_dropout}"
            )
        self.modalities = tuple(input_dims)
        self.modality_dropout = modality_dropout

    def forward(self, features: Mapping[str, EncodedModality]) -> Tensor | ModalityVectors:
        """Fuse the features of the modalities that a batch has into (B, D).

        Raises:
            InputError: If one is missing that the model was not trained to do without.
        """
        present = self._presence(features)
        if self.training and self.modality_dropout > 0:
            present = leave_one_out(present, self.modality_dropout)
        return self.fuse(features, present)

    @abstractmethod
    def fuse(
        self, features: Mapping[str, EncodedModality], present: Tensor
    ) -> Tensor | ModalityVectors:
        """Fuse into (B, D), or into what the fusion's own head takes.

        Args:
            features: Features of each modality that the batch has.
            present: (B, M), in the order of ``modalities``; False where an utterance has to be
                answered without that modality, whatever its features are.
        """

    @property
    def embedding_dim(self) -> int:
        """Features of ``embedding_of`` what ``fuse`` gives."""
        return self.output_dim

    def build_head(self, layers: Callable[[int], nn.Module]) -> nn.Module:
        """The head over what ``fuse`` gives, from what builds its layers for D features."""
        return layers(self.output_dim)

    def _presence(self, features: Mapping[str, EncodedModality]) -> Tensor:
        is_present = [name in features for name in self.modalities]
        if not all(is_present) and (self.modality_dropout == 0 or not any(is_present)):
            raise InputError(
                f"expected features of {' and '.join(self.modalities)}, got "
                f"{' and '.join(features) or 'none'}; only a model of both modalities that was "
                "trained with fusion.modality_dropout above 0 answers with one of them"
            )
        pooled = next(iter(features.values())).pooled
        # As a size of the tensor, and not as a number: a graph takes any batch.
        return torch.tensor(is_present, device=pooled.device).expand(pooled.shape[0], -1)

    def _missing_vectors(self, dims: Mapping[str, int]) -> MissingVectors:
        """Learned vectors of those sizes, where a modality can be missing."""
        can_be_missing = self.modality_dropout > 0 and len(dims) > 1
        return MissingVectors(dims if can_be_missing else {})


def check_at_least_one(**sizes: int) -> None:
    """Check sizes of a fusion.

    Raises:
        InputError: If one is no whole number above 0.
    """
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise InputError(f"fusion.{name}: expected a whole number, at least 1, got {size}")


def check_heads(bottleneck_dim: int, num_heads: int) -> None:
    """Check sizes of a fusion whose heads share the features.

    Raises:
        InputError: If one is no whole number above 0, or the heads do not divide the features.
    """
    check_at_least_one(bottleneck_dim=bottleneck_dim, num_heads=num_heads)
    if bottleneck_dim % num_heads:
        raise InputError(
            f"fusion.bottleneck_dim: expected a multiple of fusion.num_heads ({num_heads}), got "
            f"{bottleneck_dim}"
        )


def build_projections(
    input_dims: Mapping[str, FeatureDims], bottleneck_dim: int, standardise: bool
) -> nn.ModuleDict:
    """A linear layer from each modality's pooled features, standardised first or not."""
    projections = nn.ModuleDict()
    for name, dims in input_dims.items():
        projection = nn.Linear(dims.pooled, bottleneck_dim)
        projections[name] = (
            nn.Sequential(Standardisation(dims.pooled), projection) if standardise else projection
        )
    return projections


def leave_one_out(present: Tensor, probability: float) -> Tensor:
    """Leave out one modality of some utterances, each with the same chance.

    An utterance with one modality keeps it.

    Args:
        present: (B, M), True where the utterance has the modality.
        probability: Chance of leaving one out, for each utterance.

    Returns:
        (B, M), True where the modality is still there.
    """
    drawn = torch.rand(len(present), device=present.device, dtype=torch.float32) < probability
    chosen = torch.multinomial(present.float(), num_samples=1)
    left_out = torch.zeros_like(present).scatter_(1, chosen, True)
    return present & ~(left_out & (drawn & (present.sum(dim=1) > 1))[:, None])


class MissingVectors(nn.ParameterDict):
    """A learned vector for each modality, which stands for it where an utterance lacks it.

    Args:
        dims: Features D_m of each modality that can be missing.
    """

    def __init__(self, dims: Mapping[str, int]) -> None:
        super().__init__({name: nn.Parameter(torch.zeros(dim)) for name, dim in dims.items()})

    def fill(self, name: str, vectors: Tensor | None, present: Tensor) -> Tensor:
        """Put the modality's learned vector where it is missing.

        Args:
            name: The modality.
            vectors: (B, D_m), or None where the whole batch lacks it.
            present: (B,), True where the utterance has it.

        Returns:
            (B, D_m).
        """
        if vectors is not None and name not in self:
            return vectors
        missing: Tensor = self[name].expand(present.shape[0], -1)
        return missing if vectors is None else torch.where(present[:, None], vectors, missing)


class Standardisation(nn.BatchNorm1d):
    """Batch normalisation without scale and shift, which takes a batch of one vector too.

    Source: Ioffe and Szegedy 2015. What frozen encoders need, which cannot learn another size.

    Args:
        dim: Features D.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim, affine=False)

    def forward(self, features: Tensor) -> Tensor:
        """(N, D) to (N, D)."""
        if self.training and len(features) < 2:
            return nn.functional.batch_norm(features, self.running_mean, self.running_var)
        return super().forward(features)


class FrameStandardisation(Standardisation):
    """Standardisation over the real frames of a batch; the others become zeros."""

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        """(B, F, D) and (B, F) to (B, F, D)."""
        standardised = torch.zeros_like(frames)
        standardised[mask] = super().forward(frames[mask]).to(frames.dtype)
        return standardised


class BottleneckFusion(Fusion):
    """Project each modality to a bottleneck and concatenate.

    Source: Pandey et al. 2025, J. Intell. 13(12):159: 768 to 256 for each modality, 512 together.
    With one modality it is a unimodal baseline.

    Args:
        input_dims: Sizes of each modality's features, by its name.
        bottleneck_dim: Features that each is projected to.
        standardise: Bring each feature to zero mean and unit variance over training batches
            first: for frozen encoders.
        modality_dropout: Share of training utterances that lose a modality; a learned vector
            stands for its projection then.
    """

    trains_every_weight = True

    def __init__(
        self,
        input_dims: Mapping[str, FeatureDims],
        bottleneck_dim: int = 256,
        standardise: bool = False,
        modality_dropout: float = 0.0,
    ) -> None:
        super().__init__(input_dims, modality_dropout)
        check_at_least_one(bottleneck_dim=bottleneck_dim)
        self.projections = build_projections(input_dims, bottleneck_dim, standardise)
        self.missing = self._missing_vectors(dict.fromkeys(input_dims, bottleneck_dim))
        self.output_dim = bottleneck_dim * len(input_dims)

    def fuse(self, features: Mapping[str, EncodedModality], present: Tensor) -> Tensor:
        """Fuse pooled vectors (B, D_m) into (B, D)."""
        projected = []
        for (name, projection), is_there in zip(
            self.projections.items(), present.unbind(dim=1), strict=True
        ):
            vectors = projection(features[name].pooled) if name in features else None
            projected.append(self.missing.fill(name, vectors, is_there))
        return torch.cat(projected, dim=1)
