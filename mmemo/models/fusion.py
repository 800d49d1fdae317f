"""From the encoders' vectors to one embedding for each utterance."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class BottleneckFusion(nn.Module):
    """Project each modality to a bottleneck and concatenate.

    Source: Pandey et al. 2025, J. Intell. 13(12):159: 768 to 256 for each modality, 512 together.
    With one modality it is a unimodal baseline.

    Args:
        input_dims: Features D_m of each modality, by its name.
        bottleneck_dim: Features that each is projected to.
        standardise: Bring each of the D_m features to zero mean and unit variance over training
            batches first (Ioffe and Szegedy 2015, without scale and shift): what frozen encoders
            need, whose features differ in size by orders of magnitude.
    """

    def __init__(
        self, input_dims: Mapping[str, int], bottleneck_dim: int = 256, standardise: bool = False
    ) -> None:
        super().__init__()
        self.projections = nn.ModuleDict()
        for name, dim in input_dims.items():
            projection = nn.Linear(dim, bottleneck_dim)
            self.projections[name] = (
                nn.Sequential(_Standardisation(dim), projection) if standardise else projection
            )
        self.output_dim = bottleneck_dim * len(input_dims)

    def forward(self, pooled: Mapping[str, Tensor]) -> Tensor:
        """Fuse {modality: (B, D_m)} into (B, D)."""
        return torch.cat(
            [projection(pooled[name]) for name, projection in self.projections.items()], dim=1
        )


class _Standardisation(nn.BatchNorm1d):
    """Batch normalisation without parameters, which takes a last batch of one utterance too."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, affine=False)

    def forward(self, features: Tensor) -> Tensor:
        """(B, D) to (B, D)."""
        if self.training and len(features) == 1:
            return nn.functional.batch_norm(features, self.running_mean, self.running_var)
        return super().forward(features)
