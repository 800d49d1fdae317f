"""Training with one modality left out at random, so that the model answers without it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def leave_one_out(present: Tensor, probability: float) -> Tensor:
    """Leave out one modality of some utterances, each with the same chance.

    An utterance with one modality keeps it.

    Args:
        present: (B, M), True where the utterance has the modality.
        probability: Of leaving one out, for each utterance.

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
        missing: Tensor = self[name].expand(len(present), -1)
        return missing if vectors is None else torch.where(present[:, None], vectors, missing)
