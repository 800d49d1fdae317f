"""Further fusions: gated, late, and cross-attention."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmemo.models.frame_attention import FrameAttention, MaskedFrames
from mmemo.models.frame_fusion import FrameFusion, by_name, others
from mmemo.models.fusion import (
    Fusion,
    ModalityVectors,
    Standardisation,
    build_projections,
    check_at_least_one,
)
from mmemo.models.protocols import EncodedModality, FeatureDims


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

    trains_every_weight = True

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


class LateFusion(Fusion):
    """Average the logits of unimodal classifiers, over the modalities that are there.

    Each modality has the projection and the head that it has as a unimodal baseline of
    ``BottleneckFusion``.

    Args:
        input_dims: Sizes of each modality's features, by its name.
        bottleneck_dim: Features that each is projected to.
        standardise: Bring each feature to zero mean and unit variance over training batches
            first: for frozen encoders.
        modality_dropout: Share of training utterances that lose a modality; the other answers
            alone then.
    """

    trains_every_weight = True

    def __init__(
        self,
        input_dims: Mapping[str, FeatureDims],
        bottleneck_dim: int = 256,
        standardise: bool = False,
        modality_dropout: float = 0.0,
    ) -> None:
        super().__init__(input_dims, modality_dropout)
        check_at_least_one(bottleneck_dim=bottleneck_dim)
        self.projections = build_projections(input_dims, bottleneck_dim, standardise)
        self.output_dim = bottleneck_dim

    def fuse(self, features: Mapping[str, EncodedModality], present: Tensor) -> ModalityVectors:
        """Project pooled vectors (B, D_m) to (B, M, D); a missing modality's are zeros."""
        projected = {
            name: self.projections[name](encoded.pooled) for name, encoded in features.items()
        }
        nothing = torch.zeros_like(next(iter(projected.values())))
        vectors = [projected.get(name, nothing) for name in self.modalities]
        return ModalityVectors(torch.stack(vectors, dim=1), present)

    @property
    def embedding_dim(self) -> int:
        """M D: the modalities' vectors side by side."""
        return len(self.modalities) * self.output_dim

    def build_head(self, layers: Callable[[int], nn.Module]) -> nn.Module:
        """A head for each modality."""
        return AveragedHeads({name: layers(self.output_dim) for name in self.modalities})


class AveragedHeads(nn.ModuleDict):
    """Heads of modalities, by name; their mean logits are over the modalities that are there."""

    def forward(self, fused: ModalityVectors) -> Tensor:
        """(B, M, D) to logits (B, C)."""
        vectors = fused.vectors.unbind(dim=1)
        logits = torch.stack(
            [head(vector) for head, vector in zip(self.values(), vectors, strict=True)], dim=1
        )
        present = fused.present[:, :, None]
        return torch.where(present, logits, 0.0).sum(dim=1) / present.sum(dim=1)


class CrossAttentionFusion(FrameFusion):
    """Each modality's frames query the other's; then mean over real frames and concatenation.

    Source: the crossmodal attention of Tsai et al. 2019, "Multimodal Transformer for Unaligned
    Multimodal Language Sequences", one layer in each direction, with a residual connection and
    layer normalisation behind it. Frames are projected to one size first. Where an utterance
    lacks the other modality, nothing is added to its frames; the missing one's part is zeros.
    The encoders' own pooling is not used.

    Args:
        input_dims: Sizes of each modality's features, by its name.
        bottleneck_dim: Features of a projected frame; a multiple of ``num_heads``.
        num_heads: Attention heads.
        dropout: Share of attention weights that are left out in training.
        standardise: Bring each feature of the frames to zero mean and unit variance over training
            batches first: for frozen encoders.
        modality_dropout: Share of training utterances that lose a modality; its frames are
            masked out then.

    Raises:
        InputError: If the heads do not divide the features.
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
        self.attentions = by_name(
            self.querying, lambda: FrameAttention(bottleneck_dim, num_heads, dropout)
        )
        self.norms = by_name(self.modalities, lambda: nn.LayerNorm(bottleneck_dim))

    def fuse_frames(self, given: Mapping[str, MaskedFrames]) -> Tensor:
        """Fuse frames (B, F_m, D) into (B, M D)."""
        pooled = []
        for name, own in given.items():
            frames = own.frames
            if name in self.attentions:
                frames = frames + self.attentions[name](own, others(given, name))
            pooled.append(MaskedFrames(self.norms[name](frames), own.mask).mean())
        return torch.cat(pooled, dim=1)
