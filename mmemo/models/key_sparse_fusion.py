"""Transformers that keep the keys alone which are attended to most."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmemo.models.frame_attention import AttentionLayer, FrameAttention, LayerStack, MaskedFrames
from mmemo.models.frame_fusion import FrameFusion, by_name, others
from mmemo.models.fusion import check_at_least_one
from mmemo.models.protocols import FeatureDims
from mmemo.values import check_real


class KeySparseFusion(FrameFusion):
    """Transformers whose queries keep the most important keys alone, in three modules.

    Source: Chen et al. 2022 (ICASSP), "Key-Sparse Transformer for Multimodal Speech Emotion
    Recognition", section 2, and the authors' repository where the text is silent:

    - feature extraction: ordinary transformer layers over each modality (5 in the paper);
    - modality interaction: cascaded cross-attention blocks (3), which take their keys from the
      other modality's extracted features each time, with a skip connection around all of them;
    - deep fusion: key-sparse layers over each modality (2), the mean over its real frames, and
      concatenation.

    The attention is ``KeySparseAttention``. Other than there: fewer layers by default; no
    positions; one size for both modalities; GELU in place of ReLU.

    Args:
        input_dims: Sizes of each modality's features, by its name.
        bottleneck_dim: Features of a projected frame; a multiple of ``num_heads``.
        num_heads: Attention heads (8 in the paper).
        keep_share: Share of an utterance's keys that are kept.
        num_layers: Ordinary layers of each modality.
        num_blocks: Cross-attention blocks of each modality.
        num_deep_layers: Key-sparse layers of each modality behind them.
        dropout: Share of attention weights, and of feed-forward features, left out in training.
        standardise: Bring each feature of the frames to zero mean and unit variance over training
            batches first: for frozen encoders.
        modality_dropout: Share of training utterances that lose a modality; its frames are
            masked out then.

    Raises:
        InputError: If a number is out of range.
    """

    trains_every_weight = True

    def __init__(
        self,
        input_dims: Mapping[str, FeatureDims],
        bottleneck_dim: int = 256,
        num_heads: int = 4,
        keep_share: float = 0.5,
        num_layers: int = 1,
        num_blocks: int = 3,
        num_deep_layers: int = 2,
        dropout: float = 0.1,
        standardise: bool = False,
        modality_dropout: float = 0.0,
    ) -> None:
        super().__init__(input_dims, bottleneck_dim, num_heads, standardise, modality_dropout)
        check_at_least_one(
            num_layers=num_layers, num_blocks=num_blocks, num_deep_layers=num_deep_layers
        )
        sizes = bottleneck_dim, num_heads, dropout

        def sparse() -> AttentionLayer:
            return AttentionLayer(KeySparseAttention(*sizes, keep_share), dropout)

        def stack(build: Callable[[], nn.Module], count: int) -> Callable[[], nn.Module]:
            return lambda: LayerStack(build() for _ in range(count))

        self.extraction = by_name(
            self.modalities,
            stack(lambda: AttentionLayer(FrameAttention(*sizes), dropout), num_layers),
        )
        self.interaction = by_name(
            self.querying,
            stack(lambda: CascadedCrossAttention(sparse(), sparse()), num_blocks),
        )
        self.deep = by_name(self.modalities, stack(sparse, num_deep_layers))

    def fuse_frames(self, given: Mapping[str, MaskedFrames]) -> Tensor:
        """Fuse frames (B, F_m, D) into (B, M D)."""
        extracted = {name: self.extraction[name](own) for name, own in given.items()}
        pooled = []
        for name, own in extracted.items():
            frames = own.frames
            if name in self.interaction:
                mixed = self.interaction[name](own, others(extracted, name))
                frames = frames + mixed.frames
            pooled.append(self.deep[name](MaskedFrames(frames, own.mask)).mean())
        return torch.cat(pooled, dim=1)


class CascadedCrossAttention(nn.Module):
    """A layer from one modality to the other, then one over what came of it.

    Source: the CCAB of Chen et al. 2022, figure 4.

    Args:
        cross: From the queries to the other modality.
        own: From the result to itself.
    """

    def __init__(self, cross: AttentionLayer, own: AttentionLayer) -> None:
        super().__init__()
        self.cross = cross
        self.own = own

    def forward(self, queries: MaskedFrames, keys: MaskedFrames) -> MaskedFrames:
        """(B, F, D) and (B, S, D) to (B, F, D)."""
        mixed = self.cross(queries, keys)
        found: MaskedFrames = self.own(mixed, mixed)
        return found


class KeySparseAttention(FrameAttention):
    """Attention to the keys alone that all queries together attend to most.

    Source: Chen et al. 2022 (ICASSP), "Key-Sparse Transformer for Multimodal Speech Emotion
    Recognition", section 2, the key-sparse attention of figure 3: the importance s_z of a key is
    the sum of its weights over all queries, the mask M_z is 1 where s_z is at least the k-th
    largest, else 0, and the weights of the keys that are kept stay as they are, so that they sum
    to less than 1. Here only real queries count, and k is ``keep_share`` of the utterance's own
    real keys, rounded down, at least one: neither hangs on what it is batched with. Which keys
    are kept has no gradient.

    Args:
        dim: Features D; a multiple of ``num_heads``.
        num_heads: H; each head keeps keys of its own.
        dropout: Share of attention weights that are left out in training.
        keep_share: Share of the keys that are kept, above 0 and at most 1 (0.5 in the paper).

    Raises:
        InputError: If the share is out of range.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float, keep_share: float) -> None:
        super().__init__(dim, num_heads, dropout)
        check_share("fusion.keep_share", keep_share)
        self.keep_share = keep_share

    def weights(self, scores: Tensor, query_mask: Tensor, key_mask: Tensor) -> Tensor:
        """Attention weights (B, H, F, S), zero for the keys that are not kept."""
        weights = super().weights(scores, query_mask, key_mask)
        importance = torch.where(query_mask[:, None, :, None], weights, 0.0).sum(dim=2)
        # A product that misses a whole number by rounding counts as that.
        num_kept = (self.keep_share * key_mask.sum(dim=1) + 1e-3).floor().clamp(min=1).long()
        last_kept = (num_kept - 1)[:, None, None].expand(-1, self.num_heads, -1)
        ordered = importance.sort(dim=2, descending=True).values
        is_kept = importance >= ordered.gather(2, last_kept)
        return torch.where(is_kept[:, :, None], weights, 0.0)


def check_share(setting: str, value: object) -> None:
    """Refuse what is no share above 0 and at most 1.

    Raises:
        InputError: If so.
    """
    check_real(setting, value, 0, above=True, below=1 if value != 1 else 2)
