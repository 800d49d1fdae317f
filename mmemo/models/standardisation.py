"""Zero mean and unit variance, for features whose sizes differ by orders of magnitude."""

from __future__ import annotations

import torch
from torch import Tensor, nn


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
    """The same over the real frames of a batch; the others become zeros."""

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        """(B, F, D) and (B, F) to (B, F, D)."""
        standardised = torch.zeros_like(frames)
        standardised[mask] = super().forward(frames[mask]).to(frames.dtype)
        return standardised
