"""Embeddings of the classes, which frames attend to and are weighed by."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmemo.models.frame_attention import (
    FrameAttention,
    MaskedFrames,
    ResidualAttention,
    masked_softmax,
)
from mmemo.models.frame_fusion import FrameFusion, by_name
from mmemo.models.protocols import FeatureDims


class LabelGuidedFusion(FrameFusion):
    """Frames attend to embeddings of the labels, which also say how much each frame counts.

    Every class c has two learned embeddings, one of what is said when it is felt (semantic, beside
    text) and one of how (tonal, beside audio): E_m (C, D).

    - Frames of both modalities attend to both sets: z_m = LN(x_m + attention(x_m, [E_a; E_t])).
    - A frame weighs as much as it fits the label of its own modality that it fits best:
      w_f = softmax over f of max over c of (z_f · e_c) / √D, and v_m = Σ_f w_f z_f.
    - To the head's logits of the concatenated v_m the agreement Σ_m (v_m · e_c) / √D is added,
      which ties the c-th embeddings to the c-th class.

    Source: the label embeddings beside frames and tokens of Wang P. et al. 2023 (Interspeech),
    "Leveraging Label Information for Multimodal Emotion Recognition", weighing by the best label
    as in Wang G. et al. 2018 (ACL), "Joint Embedding of Words and Labels for Text Classification",
    section 4. Semantic and tonal label embeddings are named after Wang et al. 2025, whose text was
    not at hand: what it begins the embeddings with (here random numbers) and whether it has a loss
    of its own (here the agreement in the logits) is open.

    Args:
        input_dims: Sizes of each modality's features, by its name.
        num_classes: C, given by the classifier.
        bottleneck_dim: Features of a projected frame; a multiple of ``num_heads``.
        num_heads: Attention heads.
        dropout: Share of attention weights that are left out in training.
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
        num_classes: int,
        bottleneck_dim: int = 256,
        num_heads: int = 4,
        dropout: float = 0.1,
        standardise: bool = False,
        modality_dropout: float = 0.0,
    ) -> None:
        super().__init__(input_dims, bottleneck_dim, num_heads, standardise, modality_dropout)
        self.num_classes = num_classes
        self.labels = nn.ParameterDict(
            {name: nn.Parameter(torch.randn(num_classes, bottleneck_dim)) for name in input_dims}
        )
        self.attentions = by_name(
            self.modalities,
            lambda: ResidualAttention(FrameAttention(bottleneck_dim, num_heads, dropout)),
        )

    def fuse_frames(self, given: Mapping[str, MaskedFrames]) -> Tensor:
        """Fuse frames (B, F_m, D) into (B, M D + C): vectors, then agreement with each class."""
        labels = self._labels_for(next(iter(given.values())).mask.shape[0])
        vectors, agreements = [], []
        for name, own in given.items():
            aware = self.attentions[name](own, labels)
            fits = aware.frames @ self.labels[name].T / self.bottleneck_dim**0.5
            weights = masked_softmax(fits.amax(dim=2), aware.mask)
            vectors.append((weights[:, :, None] * aware.frames).sum(dim=1))
            agreements.append((weights[:, :, None] * fits).sum(dim=1))
        return torch.cat([*vectors, torch.stack(agreements).sum(dim=0)], dim=1)

    @property
    def embedding_dim(self) -> int:
        """M D + C: the vectors and their agreement with each class."""
        return self.output_dim + self.num_classes

    def build_head(self, layers: Callable[[int], nn.Module]) -> nn.Module:
        """The head over the vectors, beside their agreement with each class."""
        return AgreementHead(layers(self.output_dim), self.output_dim)

    def _labels_for(self, num_utterances: int) -> MaskedFrames:
        """Embeddings of all sets as keys (B, M C, D)."""
        labels = torch.cat(list(self.labels.values()))
        keys = labels.expand(num_utterances, -1, -1)
        return MaskedFrames(keys, torch.ones_like(keys[:, :, 0], dtype=torch.bool))


class AgreementHead(nn.Module):
    """Logits of layers over vectors, and what agrees with each class added.

    Args:
        layers: From the vectors to logits.
        num_features: Of the vectors.
    """

    def __init__(self, layers: nn.Module, num_features: int) -> None:
        super().__init__()
        self.layers = layers
        self.num_features = num_features

    def forward(self, fused: Tensor) -> Tensor:
        """(B, D + C) to logits (B, C)."""
        logits: Tensor = self.layers(fused[:, : self.num_features])
        return logits + fused[:, self.num_features :]
