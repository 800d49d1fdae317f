"""Convolutions over context, a gate for each feature, and a crossmodal transformer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmemo.errors import InputError
from mmemo.models.frame_attention import AttentionLayer, FrameAttention, LayerStack, MaskedFrames
from mmemo.models.frame_fusion import FrameFusion, by_name, others
from mmemo.models.fusion import check_at_least_one
from mmemo.models.protocols import FeatureDims


class SqueezeExcitationFusion(FrameFusion):
    """A crossmodal transformer behind convolutions over context and a gate for each feature.

    For each modality: a convolution over neighbouring frames (``ContextConvolution``), squeeze and
    excitation over its features (``SqueezeExcitation``), crossmodal transformer layers whose
    queries are its frames and whose keys are the other's, the mean over real frames; then
    concatenation.

    Sources: Tsai et al. 2019, "Multimodal Transformer for Unaligned Multimodal Language
    Sequences", section 3, where convolutions stand before crossmodal transformers too; Hu et al.
    2018, "Squeeze-and-Excitation Networks", section 3. That the three go together for emotions is
    told of Li et al. 2022, whose text was not at hand: the order of the parts and their sizes are
    chosen here.

    Args:
        input_dims: Sizes of each modality's features, by its name.
        bottleneck_dim: Features of a projected frame; a multiple of ``num_heads``.
        num_heads: Attention heads.
        num_layers: Crossmodal layers of each modality.
        context_frames: Frames that a convolution sees, an odd number.
        reduction: The squeezed features are fewer by this factor.
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
        num_layers: int = 2,
        context_frames: int = 3,
        reduction: int = 4,
        dropout: float = 0.1,
        standardise: bool = False,
        modality_dropout: float = 0.0,
    ) -> None:
        super().__init__(input_dims, bottleneck_dim, num_heads, standardise, modality_dropout)
        check_at_least_one(num_layers=num_layers, reduction=reduction)
        self.contexts = by_name(
            self.modalities, lambda: ContextConvolution(bottleneck_dim, context_frames)
        )
        self.gates = by_name(self.modalities, lambda: SqueezeExcitation(bottleneck_dim, reduction))
        self.crossmodal = by_name(
            self.querying,
            lambda: LayerStack(
                AttentionLayer(FrameAttention(bottleneck_dim, num_heads, dropout), dropout)
                for _ in range(num_layers)
            ),
        )

    def fuse_frames(self, given: Mapping[str, MaskedFrames]) -> Tensor:
        """Fuse frames (B, F_m, D) into (B, M D)."""
        gated = {name: self.gates[name](self.contexts[name](own)) for name, own in given.items()}
        pooled = []
        for name, own in gated.items():
            mixed = own
            if name in self.crossmodal:
                mixed = self.crossmodal[name](own, others(gated, name))
            pooled.append(mixed.mean())
        return torch.cat(pooled, dim=1)


class ContextConvolution(nn.Module):
    """What neighbouring frames say is added to each: LN(x + GELU(convolution(x))).

    Frames that are not real are zeros to it.

    Args:
        dim: Features D.
        context_frames: Frames that it sees, an odd number.

    Raises:
        InputError: If it is none.
    """

    def __init__(self, dim: int, context_frames: int) -> None:
        super().__init__()
        check_at_least_one(context_frames=context_frames)
        if context_frames % 2 == 0:
            raise InputError(
                "fusion.context_frames: expected an odd number, as many frames before as behind, "
                f"got {context_frames}"
            )
        self.convolution = nn.Conv1d(dim, dim, context_frames, padding=context_frames // 2)
        self.norm = nn.LayerNorm(dim)

    def forward(self, given: MaskedFrames) -> MaskedFrames:
        """(B, F, D) to (B, F, D)."""
        real = torch.where(given.mask[:, :, None], given.frames, 0.0)
        context = nn.functional.gelu(self.convolution(real.transpose(1, 2)).transpose(1, 2))
        return MaskedFrames(self.norm(real + context), given.mask)


class SqueezeExcitation(nn.Module):
    """Each feature of an utterance's frames times a gate that the mean over them decides.

    Source: Hu et al. 2018, equations 2 to 4: z = mean over frames, s = sigmoid(W_2 ReLU(W_1 z)),
    x' = s x. The mean is over real frames.

    Args:
        dim: Features D.
        reduction: W_1 has D / reduction rows, at least one.
    """

    def __init__(self, dim: int, reduction: int) -> None:
        super().__init__()
        squeezed = max(1, dim // reduction)
        self.squeeze = nn.Linear(dim, squeezed)
        self.excite = nn.Linear(squeezed, dim)

    def forward(self, given: MaskedFrames) -> MaskedFrames:
        """(B, F, D) to (B, F, D)."""
        gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(given.mean()))))
        return MaskedFrames(gate[:, None] * given.frames, given.mask)
