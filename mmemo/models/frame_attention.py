"""Attention between frames with masks: over nothing it gives zeros, and padding changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mmemo.models import pooling


class MaskedFrames(NamedTuple):
    """``frames`` (B, F, D); ``mask`` (B, F), True where a frame is real."""

    frames: Tensor
    mask: Tensor

    def mean(self) -> Tensor:
        """Mean of the real frames (B, D); zeros where there is none."""
        return pooling.mean(self.frames, self.mask).to(self.frames.dtype)


def join_frames(parts: Iterable[MaskedFrames]) -> MaskedFrames:
    """Sequences one behind the other, (B, F1 + F2 + …, D)."""
    frames, masks = zip(*parts, strict=True)
    return MaskedFrames(torch.cat(frames, dim=1), torch.cat(masks, dim=1))


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the last dimension where the mask is True; zeros elsewhere.

    Where nothing is real all weights are zero.
    """
    lowest = torch.finfo(scores.dtype).min
    weights = scores.masked_fill(~mask, lowest).softmax(dim=-1)
    return torch.where(mask, weights, 0.0)


class FrameAttention(nn.MultiheadAttention):
    """Scaled dot-product attention of several heads, from frames to frames.

    Source: Vaswani et al. 2017, "Attention Is All You Need", section 3.2. Parameters are those of
    ``nn.MultiheadAttention``; it is written out, so that a graph can be traced for any length.

    Args:
        dim: Features D; a multiple of ``num_heads``.
        num_heads: H.
        dropout: Share of attention weights that are left out in training.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__(dim, num_heads, dropout, batch_first=True)

    def forward(self, queries: MaskedFrames, keys: MaskedFrames) -> Tensor:  # type: ignore[override]
        """What queries (B, F, D) take from keys (B, S, D): (B, F, D); zeros where none is real."""
        query = self._heads(queries.frames, 0)
        key, value = (self._heads(keys.frames, part) for part in (1, 2))
        scores = query @ key.transpose(2, 3) / self.head_dim**0.5
        weights = self.weights(scores, queries.mask, keys.mask)
        weights = nn.functional.dropout(weights, self.dropout, self.training)
        attended: Tensor = self.out_proj((weights @ value).transpose(1, 2).flatten(2))
        has_keys = keys.mask.any(dim=1)[:, None, None]
        return torch.where(has_keys, attended, 0.0)

    def weights(self, scores: Tensor, query_mask: Tensor, key_mask: Tensor) -> Tensor:
        """Attention weights (B, H, F, S) of scores (B, H, F, S)."""
        return masked_softmax(scores, key_mask[:, None, None])

    def _heads(self, frames: Tensor, part: int) -> Tensor:
        """(B, F, D) to (B, H, F, D / H): queries, keys or values, by their part of the weights."""
        weight, bias = self.in_proj_weight.chunk(3)[part], self.in_proj_bias.chunk(3)[part]
        projected = nn.functional.linear(frames, weight, bias)
        heads = projected.reshape(*projected.shape[:2], self.num_heads, self.head_dim)
        return heads.transpose(1, 2)


class ResidualAttention(nn.Module):
    """Attention, added to the queries, and layer normalisation: LN(q + attention(q, k)).

    Args:
        attention: From queries to keys.
    """

    def __init__(self, attention: FrameAttention) -> None:
        super().__init__()
        self.attention = attention
        self.norm = nn.LayerNorm(attention.embed_dim)

    def forward(self, queries: MaskedFrames, keys: MaskedFrames) -> MaskedFrames:
        """(B, F, D) and (B, S, D) to (B, F, D)."""
        frames = self.norm(queries.frames + self.attention(queries, keys))
        return MaskedFrames(frames, queries.mask)


class AttentionLayer(nn.Module):
    """A transformer layer whose keys may be another sequence than its queries.

    Source: Vaswani et al. 2017, section 3.1, normalised behind each sum as there; the inner layer
    has twice the features, not four times.

    Args:
        attention: From queries to keys.
        dropout: Behind the feed-forward network's first layer.
    """

    def __init__(self, attention: FrameAttention, dropout: float) -> None:
        super().__init__()
        dim = attention.embed_dim
        self.attended = ResidualAttention(attention)
        self.feed_forward = nn.Sequential(
            nn.Linear(dim, 2 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * dim, dim)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, queries: MaskedFrames, keys: MaskedFrames) -> MaskedFrames:
        """(B, F, D) and (B, S, D) to (B, F, D)."""
        frames = self.attended(queries, keys).frames
        return MaskedFrames(self.norm(frames + self.feed_forward(frames)), queries.mask)


class LayerStack(nn.ModuleList):
    """Layers one behind the other, each of which attends to the same keys or to what comes in."""

    def forward(self, frames: MaskedFrames, keys: MaskedFrames | None = None) -> MaskedFrames:
        """(B, F, D), and keys (B, S, D) or none, to (B, F, D)."""
        for layer in self:
            frames = layer(frames, frames if keys is None else keys)
        return frames
