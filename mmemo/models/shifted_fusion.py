"""A fusion in which one modality leads, and the other shifts what it says."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmemo.errors import InputError
from mmemo.models.fusion import Fusion, MissingVectors, build_projections, check_heads
from mmemo.models.protocols import EncodedModality, FeatureDims
from mmemo.values import check_real

SMALLEST = 1e-6


class ShiftedFusion(Fusion):
    """The leading modality's vector, moved a little by what the others say.

    Source: Yun et al. 2024, "TelME", NAACL, its attention-based modality shifting fusion; the gate
    and the bounded shift are those of Rahman et al. 2020, "Integrating Multimodal Information in
    Large Pretrained Transformers" (MAG), ACL. With F_T the teacher's vector and F_s those of the S
    students, each projected to D features:

    - A: multi-head self-attention over the students' vectors, side by side;
    - g = ReLU(W_1 [F_T, A] + b_1);
    - displacement H = g (W_2 A + b_2);
    - Z = F_T + lambda H, lambda = min(theta |F_T| / |H|, 1).

    The paper has two students, sound and pictures. mmemo has sound alone, to which attention has
    nothing else to attend: of it the two projections of values and output are left.

    With one modality Z is its own vector. Without a student's modality an utterance is not
    shifted; without the teacher's, a learned vector is.

    Args:
        input_dims: Sizes of each modality's features, by its name.
        bottleneck_dim: D, that each is projected to.
        teacher: The modality that leads.
        threshold: theta, how long a shift may be beside the teacher's vector.
        num_heads: Of the attention.
        standardise: Bring each feature to zero mean and unit variance over training batches
            first: for frozen encoders.
        modality_dropout: Share of training utterances that lose a modality.

    Raises:
        InputError: If a number is out of its range, or there are students without their teacher.
    """

    trains_every_weight = True

    def __init__(
        self,
        input_dims: Mapping[str, FeatureDims],
        bottleneck_dim: int = 256,
        teacher: str = "text",
        threshold: float = 0.1,
        num_heads: int = 4,
        standardise: bool = False,
        modality_dropout: float = 0.0,
    ) -> None:
        super().__init__(input_dims, modality_dropout)
        check_heads(bottleneck_dim, num_heads)
        check_real("fusion.threshold", threshold, 0, above=True)
        if len(input_dims) > 1 and teacher not in input_dims:
            raise InputError(
                f"fusion.teacher: expected one of {', '.join(input_dims)}, got {teacher}"
            )
        self.teacher = teacher if teacher in input_dims else self.modalities[0]
        self.students = tuple(name for name in self.modalities if name != self.teacher)
        self.threshold = threshold
        self.projections = build_projections(input_dims, bottleneck_dim, standardise)
        can_be_missing = modality_dropout > 0 and bool(self.students)
        self.missing = MissingVectors({self.teacher: bottleneck_dim} if can_be_missing else {})
        self.output_dim = bottleneck_dim
        if not self.students:
            return
        said = bottleneck_dim * len(self.students)
        self.attention = nn.MultiheadAttention(bottleneck_dim, num_heads, batch_first=True)
        self.gate = nn.Linear(bottleneck_dim + said, bottleneck_dim)
        self.displacement = nn.Linear(said, bottleneck_dim)

    def fuse(self, features: Mapping[str, EncodedModality], present: Tensor) -> Tensor:
        """Fuse pooled vectors (B, D_m) into (B, D)."""
        is_there = dict(zip(self.modalities, present.unbind(dim=1), strict=True))
        given = features.get(self.teacher)
        vectors = None if given is None else self.projections[self.teacher](given.pooled)
        leading = self.missing.fill(self.teacher, vectors, is_there[self.teacher])
        if not self.students:
            return leading
        said = []
        for name in self.students:
            # What is missing is not looked at, whatever its features are.
            there = is_there[name][:, None]
            vectors = self.projections[name](features[name].pooled) if name in features else None
            said.append(torch.zeros_like(leading) if vectors is None else vectors * there)
        heard = torch.stack([is_there[name] for name in self.students], dim=1)
        shift = self.shift(leading, torch.stack(said, dim=1), heard)
        return leading + torch.where(heard.any(dim=1, keepdim=True), shift, 0)

    def shift(self, leading: Tensor, students: Tensor, present: Tensor) -> Tensor:
        """Lambda H (B, D) of F_T (B, D) and the students' vectors (B, S, D), where present (B, S).

        What it gives for an utterance of no student means nothing.
        """
        # Attention over nothing would be no number.
        hidden = ~(present | ~present.any(dim=1, keepdim=True))
        attended, _ = self.attention(
            students, students, students, key_padding_mask=hidden, need_weights=False
        )
        said = (attended * present[:, :, None]).flatten(1)
        gate = torch.relu(self.gate(torch.cat([leading, said], dim=1)))
        displacement = gate * self.displacement(said)
        lengths = (part.norm(dim=1, keepdim=True) for part in (leading, displacement))
        of_leading, of_shift = lengths
        scale = (self.threshold * of_leading / of_shift.clamp(min=SMALLEST)).clamp(max=1)
        shift: Tensor = scale * displacement
        return shift
