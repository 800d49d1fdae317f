"""Between fusion and head: what an utterance is told by the others of its dialogue."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from mmemo.data.dialogues import Dialogues
from mmemo.models.frame_attention import masked_softmax
from mmemo.values import check_whole


class ContextModel(nn.Module, ABC):
    """From each utterance's own vector (B, D) to one that knows of its dialogue (B, D').

    One of your own sets ``output_dim``, D', and writes ``in_dialogues``. It is built with D, the
    size of what the fusion gives. One that gives each trained weight a gradient in every step, also
    where each dialogue has one utterance, sets ``trains_every_weight``.
    """

    trains_every_weight: bool = False
    output_dim: int

    def forward(self, vectors: Tensor, dialogues: Dialogues) -> Tensor:
        """(B, D) to (B, D'), in the batch's order."""
        by_dialogue = self.in_dialogues(
            dialogues.arranged(vectors), dialogues.mask, dialogues.speaker
        )
        return dialogues.flattened(by_dialogue)

    @abstractmethod
    def in_dialogues(self, vectors: Tensor, mask: Tensor, speaker: Tensor) -> Tensor:
        """Go through G dialogues of at most N utterances.

        Args:
            vectors: (G, N, D), in order; zeros behind a dialogue's end.
            mask: (G, N), True where there is an utterance.
            speaker: (G, N), who speaks, numbered from 0 as they appear in each dialogue.

        Returns:
            (G, N, D'); what stands behind a dialogue's end is not read.
        """


class BilinearAttention(nn.Module):
    """softmax(x W y_j) over the y_j that may be looked at.

    Args:
        query_dim: Features of x.
        key_dim: Features of each y.
        among_themselves: Whether x is one of the y. W then begins as the identity, so that each
            looks at itself and its like first. Of random weights all shares are about equal: what
            is attended is one mean of the dialogue, by which its utterances cannot be told apart,
            and encoders that begin untrained are taught nothing through it.
    """

    def __init__(self, query_dim: int, key_dim: int, among_themselves: bool = False) -> None:
        super().__init__()
        self.weight = nn.Linear(query_dim, key_dim, bias=False)
        if among_themselves:
            nn.init.eye_(self.weight.weight)

    def forward(self, queries: Tensor, keys: Tensor, allowed: Tensor) -> Tensor:
        """Shares (G, M, N), zeros where nothing may be looked at.

        Args:
            queries: (G, M, D_x).
            keys: (G, N, D_y).
            allowed: (G, M, N), True where a query may look at a key.
        """
        scores = self.weight(queries) @ keys.transpose(1, 2)
        return masked_softmax(scores, allowed)


def reversed_in_dialogues(sequence: Tensor, mask: Tensor) -> Tensor:
    """(G, N, …) with each dialogue's utterances in reverse; what is behind its end stays there."""
    positions = torch.arange(mask.shape[1], device=mask.device)
    last = mask.sum(dim=1, keepdim=True) - 1
    turned = torch.where(mask, last - positions, positions)
    return torch.take_along_dim(sequence, turned.view(*mask.shape, *[1] * (sequence.dim() - 2)), 1)


def check_sizes(**sizes: int) -> None:
    """Check sizes of a context model.

    Raises:
        InputError: If one is no whole number above 0.
    """
    for name, size in sizes.items():
        check_whole(f"context.{name}", size, 1)
