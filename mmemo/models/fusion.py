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
    """

    def __init__(self, input_dims: Mapping[str, int], bottleneck_dim: int = 256) -> None:
        super().__init__()
        self.projections = nn.ModuleDict(
            {name: nn.Linear(dim, bottleneck_dim) for name, dim in input_dims.items()}
        )
        self.output_dim = bottleneck_dim * len(input_dims)

    def forward(self, pooled: Mapping[str, Tensor]) -> Tensor:
        """Fuse {modality: (B, D_m)} into (B, D)."""
        return torch.cat(
            [projection(pooled[name]) for name, projection in self.projections.items()], dim=1
        )
