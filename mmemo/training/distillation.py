"""Teacher-led training: a student learns from a trained model's answers and vectors.

Source: Yun et al. 2024, "TelME: Teacher-leading Multimodal Fusion Network for Emotion Recognition
in Conversation", NAACL, its parts on knowledge distillation; of the correlations Huang et al. 2022,
"Knowledge Distillation from A Stronger Teacher" (DIST), NeurIPS, which it takes them from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn

from mmemo.values import check_real

SMALLEST = 1e-8


@dataclass(frozen=True)
class Responses:
    """What a model says of utterances (B).

    Args:
        logits: (B, C).
        vectors: (B, D), what its head or its context model is given of each.
    """

    logits: Tensor
    vectors: Tensor

    def where(self, chosen: Tensor) -> Responses:
        """Those of some of the utterances, from a mask (B,)."""
        return Responses(self.logits[chosen], self.vectors[chosen])


@dataclass(frozen=True)
class Lessons:
    """What a teacher says of the training utterances, computed once: it learns nothing.

    Args:
        places: By key of an utterance its place among the N that the teacher has answered.
        responses: Of those.
    """

    places: Mapping[str, int]
    responses: Responses

    def of(self, keys: Sequence[str], device: torch.device) -> tuple[Tensor, Responses]:
        """Which of some utterances (B) have an answer (B,), and those answers."""
        known = torch.tensor([key in self.places for key in keys])
        places = torch.tensor([self.places[k] for k in keys if k in self.places], dtype=torch.int64)
        logits, vectors = self.responses.logits, self.responses.vectors
        found = Responses(logits[places].to(device), vectors[places].to(device))
        return known.to(device), found


def response_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """How differently two models rank the classes of an utterance, and the utterances of a class.

    With p = softmax(logits / T) of each and rho Pearson's correlation: the mean of 1 - rho over
    the utterances (rows of p) and that over the classes (columns), added, times T^2. What the
    teacher says alike of all classes, or of all utterances, ranks nothing and is left out; without
    any such relation the loss is 0. The factor T^2, which keeps the gradient's size (Hinton et al.
    2015), is as in the authors' published code.

    Args:
        student: Logits (B, C).
        teacher: Logits (B, C).
        temperature: T.
    """
    ours = torch.softmax(student / temperature, dim=1)
    theirs = torch.softmax(teacher / temperature, dim=1)
    unlike = _unlikeness(ours, theirs) + _unlikeness(ours.T, theirs.T)
    return temperature**2 * unlike


def _unlikeness(ours: Tensor, theirs: Tensor) -> Tensor:
    """The mean of 1 - rho over rows; see ``response_loss``."""
    ours = ours - ours.mean(dim=1, keepdim=True)
    theirs = theirs - theirs.mean(dim=1, keepdim=True)
    ranks = theirs.norm(dim=1) > SMALLEST
    if not ranks.any():
        return 0 * ours.sum()
    similarity = nn.functional.cosine_similarity(ours[ranks], theirs[ranks], dim=1, eps=SMALLEST)
    return (1 - similarity).mean()


def feature_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """How differently the student's vectors lie about the teacher's than the teacher's own do.

    With vectors t_i of the teacher and s_i of the student, of length 1: P_i = softmax over j of
    t_i · t_j / T, Q_i = softmax over j of t_i · s_j / T, and the mean over i of KL(P_i ‖ Q_i). That
    the vectors are brought to length 1 is as in the authors' published code.

    Args:
        student: Vectors (B, D).
        teacher: Vectors (B, D).
        temperature: T.
    """
    ours = nn.functional.normalize(student, dim=1)
    theirs = nn.functional.normalize(teacher, dim=1)
    target = torch.log_softmax(theirs @ theirs.T / temperature, dim=1)
    found = torch.log_softmax(theirs @ ours.T / temperature, dim=1)
    return nn.functional.kl_div(found, target, reduction="batchmean", log_target=True)


class Distillation:
    """What a student's loss is increased by: alpha times the response, beta times the feature loss.

    Defaults are the paper's for MELD, as far as it tells: alpha 1, temperatures 2 and 1. For beta
    none was found; 1 is chosen.

    Args:
        teacher: Folder of the teacher's run.
        response_weight: alpha.
        feature_weight: beta; above 0 both have vectors of the same size.
        response_temperature: T of the response loss.
        feature_temperature: T of the feature loss.

    Raises:
        InputError: If a weight is below 0 or a temperature not above it.
    """

    def __init__(
        self,
        teacher: str | None,
        response_weight: float = 1.0,
        feature_weight: float = 1.0,
        response_temperature: float = 2.0,
        feature_temperature: float = 1.0,
    ) -> None:
        check_real("distillation.response_weight", response_weight, 0)
        check_real("distillation.feature_weight", feature_weight, 0)
        check_real("distillation.response_temperature", response_temperature, 0, above=True)
        check_real("distillation.feature_temperature", feature_temperature, 0, above=True)
        self.teacher = teacher
        self.response_weight = response_weight
        self.feature_weight = feature_weight
        self.response_temperature = response_temperature
        self.feature_temperature = feature_temperature

    def loss(self, student: Responses, teacher: Responses) -> Tensor:
        """What is added to the mean of the utterances' own losses."""
        loss = 0 * student.logits.sum()
        if len(teacher.logits) and self.response_weight > 0:
            response = response_loss(student.logits, teacher.logits, self.response_temperature)
            loss = loss + self.response_weight * response
        if len(teacher.vectors) and self.feature_weight > 0:
            feature = feature_loss(student.vectors, teacher.vectors, self.feature_temperature)
            loss = loss + self.feature_weight * feature
        return loss


@dataclass(frozen=True)
class Teaching:
    """A teacher's lessons and how they are learnt.

    Args:
        distillation: How.
        lessons: Of the training utterances.
    """

    distillation: Distillation
    lessons: Lessons

    def loss(self, keys: Sequence[str], student: Responses) -> Tensor:
        """The loss of a batch, of those of its utterances that the teacher has answered.

        Relations are those of the whole batch, whatever processes it is shared among: each has
        the others' part without its gradient, so that the sum of their gradients is the batch's.

        Args:
            keys: Of this process' utterances (B,).
            student: What it says of them.
        """
        known, teacher = self.lessons.of(keys, student.logits.device)
        student = student.where(known)
        student = Responses(student.logits.float(), student.vectors.float())
        if distributed.is_available() and distributed.is_initialized():
            student = Responses(*map(_of_all_processes, (student.logits, student.vectors)))
            teacher = Responses(*map(_of_all_processes, (teacher.logits, teacher.vectors)))
        return self.distillation.loss(student, teacher)


def _of_all_processes(rows: Tensor) -> Tensor:
    """Rows (B, D) of this process among those of all; processes may have different numbers."""
    size = torch.tensor([len(rows)], device=rows.device)
    sizes = [torch.zeros_like(size) for _ in range(distributed.get_world_size())]
    distributed.all_gather(sizes, size)
    most = max(int(one) for one in sizes)
    padded = nn.functional.pad(rows.detach(), (0, 0, 0, most - len(rows))).contiguous()
    found = [torch.empty_like(padded) for _ in sizes]
    distributed.all_gather(found, padded)
    parts = [part[: int(one)] for part, one in zip(found, sizes, strict=True)]
    parts[distributed.get_rank()] = rows
    return torch.cat(parts)
