"""Attention within modalities, between them, and over all frames: MER-HAN."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmemo.models.frame_attention import (
    FrameAttention,
    MaskedFrames,
    ResidualAttention,
    join_frames,
    masked_softmax,
)
from mmemo.models.frame_fusion import FrameFusion, by_name, others
from mmemo.models.protocols import FeatureDims


class HybridAttentionFusion(FrameFusion):
    """Attention within each modality, between both, and over all frames of both.

    Source: Zhang et al. 2023, "Multimodal emotion recognition based on audio and text by using
    hybrid attention networks" (MER-HAN), Biomedical Signal Processing and Control 85, 105052. Its
    three blocks are those of the abstract, beyond which the article is not open:

    - local intra-modal attention: h_m = LN(x_m + attention(x_m, x_m)), over all frames of the
      modality (a window is not named);
    - cross-modal attention: c_m = LN(h_m + attention(h_m, h_other));
    - global inter-modal attention over the frames of both: ``AttentionPooling``.

    Open there, and chosen here: several heads, residual connections and norms; how the global
    attention scores a frame.

    Args:
        input_dims: Sizes of each modality's features, by its name.
        bottleneck_dim: Features of a projected frame, and of the answer; a multiple of
            ``num_heads``.
        num_heads: Attention heads.
        dropout: Share of attention weights that are left out in training.
        standardise: Bring each feature of the frames to zero mean and unit variance over training
            batches first: for frozen encoders.
        modality_dropout: Share of training utterances that lose a modality; its frames are
            masked out then.
    """

    trains_every_weight = True

    def __init__(
        self,
        input_dims: Mapping[str, FeatureDims],
        bottleneck_dim: int = 256,
        num_heads: int = 4,
        dropout: float = 0.1,
        standardise: bool = False,
        modality_dropout: float = 0.0,
    ) -> None:
        super().__init__(input_dims, bottleneck_dim, num_heads, standardise, modality_dropout)

        def attention() -> nn.Module:
            return ResidualAttention(FrameAttention(bottleneck_dim, num_heads, dropout))

        self.local = by_name(self.modalities, attention)
        self.cross = by_name(self.querying, attention)
        self.overall = AttentionPooling(bottleneck_dim)
        self.output_dim = bottleneck_dim

    def fuse_frames(self, given: Mapping[str, MaskedFrames]) -> Tensor:
        """Fuse frames (B, F_m, D) into (B, D)."""
        heard = {name: self.local[name](own, own) for name, own in given.items()}
        mixed = [
            self.cross[name](own, others(heard, name)) if name in self.cross else own
            for name, own in heard.items()
        ]
        pooled: Tensor = self.overall(join_frames(mixed))
        return pooled


class AttentionPooling(nn.Module):
    """The frames' sum, weighed by a learned score: α = softmax(u · tanh(W x + b)) over real ones.

    Source: Yang et al. 2016, "Hierarchical Attention Networks for Document Classification",
    equations 5 to 7.

    Args:
        dim: Features D.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(dim, dim)
        self.score = nn.Linear(dim, 1, bias=False)

    def forward(self, given: MaskedFrames) -> Tensor:
        """(B, F, D) to (B, D)."""
        scores = self.score(torch.tanh(self.hidden(given.frames)))[:, :, 0]
        weights = masked_softmax(scores, given.mask)
        return (weights[:, :, None] * given.frames).sum(dim=1)
