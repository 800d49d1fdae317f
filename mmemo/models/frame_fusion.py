"""What fusions of frames and tokens share: projection to one size, masks, missing modalities.

Each published system is its fusion alone: what its paper has in front of it, recurrent or
pretrained, is the encoder that one chooses. Frames get no positions: transformers' carry them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from mmemo.models.frame_attention import MaskedFrames, join_frames
from mmemo.models.fusion import FrameStandardisation, Fusion, check_heads
from mmemo.models.protocols import EncodedModality, FeatureDims, Features


class FrameFusion(Fusion):
    """A fusion of frames: each modality's are projected to one size, then ``fuse_frames``.

    ``output_dim`` is ``bottleneck_dim`` for each modality, unless a fusion says otherwise.
    ``querying`` are the modalities that have another one to attend to.

    Args:
        input_dims: Sizes of each modality's features, by its name.
        bottleneck_dim: Features D of a projected frame; a multiple of ``num_heads``.
        num_heads: Attention heads.
        standardise: Bring each feature of the frames to zero mean and unit variance over training
            batches first: for frozen encoders.
        modality_dropout: Share of training utterances that lose a modality; its frames are
            masked out then.

    Raises:
        InputError: If the heads do not divide the features.
    """

    needs_frames = True

    def __init__(
        self,
        input_dims: Mapping[str, FeatureDims],
        bottleneck_dim: int,
        num_heads: int,
        standardise: bool,
        modality_dropout: float,
    ) -> None:
        super().__init__(input_dims, modality_dropout)
        check_heads(bottleneck_dim, num_heads)
        dims = {name: sizes.frames for name, sizes in input_dims.items()}
        self.standardisations = nn.ModuleDict(
            {name: FrameStandardisation(dim) for name, dim in dims.items()} if standardise else {}
        )
        self.projections = nn.ModuleDict({n: nn.Linear(d, bottleneck_dim) for n, d in dims.items()})
        self.bottleneck_dim = bottleneck_dim
        self.output_dim = bottleneck_dim * len(dims)
        self.querying = self.modalities if len(dims) > 1 else ()

    @abstractmethod
    def fuse_frames(self, given: Mapping[str, MaskedFrames]) -> Tensor:
        """Fuse projected frames (B, F_m, D) of every modality into (B, D_out).

        One that the whole batch lacks has a single frame, which is not real.
        """

    def fuse(self, features: Mapping[str, EncodedModality], present: Tensor) -> Tensor:
        """Fuse frames (B, F_m, D_m) into (B, D_out)."""
        return self.fuse_frames(
            {
                name: self._project(name, features.get(name), is_there)
                for name, is_there in zip(self.modalities, present.unbind(dim=1), strict=True)
            }
        )

    def _project(
        self, name: str, encoded: EncodedModality | None, is_there: Tensor
    ) -> MaskedFrames:
        if encoded is None:
            nothing = torch.zeros_like(is_there)[:, None]
            frames = nothing[:, :, None].expand(-1, -1, self.bottleneck_dim)
            return MaskedFrames(frames.to(next(self.parameters()).dtype), nothing)
        if not isinstance(encoded, Features):
            raise TypeError(f"expected frames of {name}, got {type(encoded).__name__} without any")
        frames = encoded.frames
        if name in self.standardisations:
            frames = self.standardisations[name](frames, encoded.mask)
        return MaskedFrames(self.projections[name](frames), encoded.mask & is_there[:, None])


def others(given: Mapping[str, MaskedFrames], name: str) -> MaskedFrames:
    """The frames of all modalities but one, one behind the other."""
    return join_frames(frames for other, frames in given.items() if other != name)


def by_name(names: Iterable[str], build: Callable[[], nn.Module]) -> nn.ModuleDict:
    """A module for each name."""
    return nn.ModuleDict({name: build() for name in names})
