"""Gated fusion: for each feature, a learned gate says how much of which modality."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmemo.models.fusion import Fusion, check_at_least_one
from mmemo.models.protocols import EncodedModality, FeatureDims
from mmemo.models.standardisation import Standardisation


class GatedFusion(Fusion):
    """The gated multimodal unit.

    Source: Arevalo et al. 2017, "Gated Multimodal Units for Information Fusion", section 3.1:
    h_m = tanh(W_m x_m), z = sigmoid(W_z [x_1, x_2]), h = z h_1 + (1 - z) h_2. With one modality
    there is no gate: h = tanh(W x).

    Args:
        input_dims: Sizes of each modality's features, by its name.
        bottleneck_dim: Features of each h_m and of h.
        standardise: Bring each feature to zero mean and unit variance over training batches
            first: for frozen encoders.
        modality_dropout: Share of training utterances that lose a modality; a learned vector
            stands for its x_m then, so that the gate sees that it is missing.
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
        dims = {name: sizes.pooled for name, sizes in input_dims.items()}
        self.standardisations = nn.ModuleDict(
            {n: Standardisation(d) if standardise else nn.Identity() for n, d in dims.items()}
        )
        self.projections = nn.ModuleDict({n: nn.Linear(d, bottleneck_dim) for n, d in dims.items()})
        self.missing = self._missing_vectors(dims)
        num_gates = len(dims) - 1
        self.gate = nn.Linear(sum(dims.values()), num_gates * bottleneck_dim) if num_gates else None
        self.output_dim = bottleneck_dim

    def fuse(self, features: Mapping[str, EncodedModality], present: Tensor) -> Tensor:
        """Fuse pooled vectors (B, D_m) into (B, D)."""
        inputs, hidden = [], []
        for name, is_there in zip(self.modalities, present.unbind(dim=1), strict=True):
            given = features.get(name)
            vectors = None if given is None else self.standardisations[name](given.pooled)
            inputs.append(self.missing.fill(name, vectors, is_there))
            hidden.append(torch.tanh(self.projections[name](inputs[-1])))
        if self.gate is None:
            return hidden[0]
        scores = self.gate(torch.cat(inputs, dim=1)).unflatten(1, (-1, self.output_dim))
        # The last modality's score is 0: of two, softmax then gives sigmoid(z) and 1 - sigmoid(z).
        weights = torch.softmax(nn.functional.pad(scores, (0, 0, 0, 1)), dim=1)
        return (weights * torch.stack(hidden, dim=1)).sum(dim=1)
