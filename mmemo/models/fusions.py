"""Further fusions: gated, late, and cross-attention."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmemo.errors import InputError
from mmemo.models import pooling
from mmemo.models.fusion import (
    FrameStandardisation,
    Fusion,
    ModalityVectors,
    Standardisation,
    build_projections,
    check_at_least_one,
)
from mmemo.models.protocols import EncodedModality, FeatureDims, Features


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


class CrossAttentionFusion(Fusion):
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

    needs_frames = True
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
        super().__init__(input_dims, modality_dropout)
        check_at_least_one(bottleneck_dim=bottleneck_dim, num_heads=num_heads)
        if bottleneck_dim % num_heads:
            raise InputError(
                f"fusion.bottleneck_dim: expected a multiple of fusion.num_heads ({num_heads}), "
                f"got {bottleneck_dim}"
            )
        dims = {name: sizes.frames for name, sizes in input_dims.items()}
        self.standardisations = nn.ModuleDict(
            {name: FrameStandardisation(dim) for name, dim in dims.items()} if standardise else {}
        )
        self.projections = nn.ModuleDict({n: nn.Linear(d, bottleneck_dim) for n, d in dims.items()})
        querying = dims if len(dims) > 1 else ()
        self.attentions = nn.ModuleDict(
            {
                name: nn.MultiheadAttention(bottleneck_dim, num_heads, dropout, batch_first=True)
                for name in querying
            }
        )
        self.norms = nn.ModuleDict({name: nn.LayerNorm(bottleneck_dim) for name in dims})
        self.bottleneck_dim = bottleneck_dim
        self.output_dim = bottleneck_dim * len(dims)

    def fuse(self, features: Mapping[str, EncodedModality], present: Tensor) -> Tensor:
        """Fuse frames (B, F_m, D_m) into (B, D)."""
        frames: dict[str, Tensor] = {}
        masks: dict[str, Tensor] = {}
        for name, is_there in zip(self.modalities, present.unbind(dim=1), strict=True):
            if name in features:
                frames[name], masks[name] = self._project(name, features[name])
                masks[name] = masks[name] & is_there[:, None]
        nothing = torch.zeros(len(present), self.bottleneck_dim, device=present.device)
        pooled = []
        for name in self.modalities:
            if name in frames:
                mixed = frames[name] + self._attend(name, frames, masks)
                pooled.append(pooling.mean(self.norms[name](mixed), masks[name]).to(mixed.dtype))
            else:
                pooled.append(nothing)
        return torch.cat(pooled, dim=1)

    def _project(self, name: str, encoded: EncodedModality) -> tuple[Tensor, Tensor]:
        if not isinstance(encoded, Features):
            raise TypeError(f"expected frames of {name}, got {type(encoded).__name__} without any")
        frames = encoded.frames
        if name in self.standardisations:
            frames = self.standardisations[name](frames, encoded.mask)
        return self.projections[name](frames), encoded.mask

    def _attend(
        self, name: str, frames: Mapping[str, Tensor], masks: Mapping[str, Tensor]
    ) -> Tensor:
        """What a modality's frames take from the others', (B, F, D); zeros where there is none."""
        others = [other for other in frames if other != name]
        if not others:
            return torch.zeros_like(frames[name])
        keys = torch.cat([frames[other] for other in others], dim=1)
        key_mask = torch.cat([masks[other] for other in others], dim=1)
        has_keys = key_mask.any(dim=1, keepdim=True)
        # Attention over nothing is not a number: such rows attend to anything and drop it.
        padding = ~key_mask & has_keys
        attended, _ = self.attentions[name](
            frames[name], keys, keys, key_padding_mask=padding, need_weights=False
        )
        return torch.where(has_keys[:, :, None], attended, 0.0)
