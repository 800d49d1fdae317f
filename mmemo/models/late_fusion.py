"""Late fusion: each modality answers for itself, and the answers are averaged."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmemo.models.fusion import Fusion, ModalityVectors, build_projections, check_at_least_one
from mmemo.models.protocols import EncodedModality, FeatureDims


class LateFusion(Fusion):
    """Average the logits of unimodal classifiers, over the modalities that are there.

    Each modality has the projection and the head that it has as a unimodal baseline of
    ``BottleneckFusion``.

    Args:
        input_dims: Sizes of each modality's features, by its name.
        bottleneck_dim: Features that each is projected to.
        standardise: Bring each feature to zero mean and unit variance over training batches
            first: for frozen encoders.
        modality_dropout: Share of training utterances that lose a modality; the other answers
            alone then.
    """

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
        self.output_dim = bottleneck_dim

    def fuse(self, features: Mapping[str, EncodedModality], present: Tensor) -> ModalityVectors:
        """Project pooled vectors (B, D_m) to (B, M, D); a missing modality's are zeros."""
        projected = {
            name: self.projections[name](encoded.pooled) for name, encoded in features.items()
        }
        nothing = torch.zeros_like(next(iter(projected.values())))
        vectors = [projected.get(name, nothing) for name in self.modalities]
        return ModalityVectors(torch.stack(vectors, dim=1), present)

    def build_head(self, layers: Callable[[int], nn.Module]) -> nn.Module:
        """A head for each modality."""
        return AveragedHeads({name: layers(self.output_dim) for name in self.modalities})


class AveragedHeads(nn.ModuleDict):
    """Heads of modalities, by name; their mean logits are over the modalities that are there."""

    def forward(self, fused: ModalityVectors) -> Tensor:
        """(B, M, D) to logits (B, C)."""
        vectors = fused.vectors.unbind(dim=1)
        logits = torch.stack(
            [head(vector) for head, vector in zip(self.values(), vectors, strict=True)], dim=1
        )
        present = fused.present[:, :, None]
        return torch.where(present, logits, 0.0).sum(dim=1) / present.sum(dim=1)
