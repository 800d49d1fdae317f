"""What a student is told by its teacher: by hand, at nought, and where the gradient goes."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from mmemo.errors import InputError
from mmemo.models.fusions import LateFusion
from mmemo.models.protocols import FeatureDims
from mmemo.runs.teacher import check_size
from mmemo.training.distillation import (
    Distillation,
    Lessons,
    Responses,
    Teaching,
    feature_loss,
    response_loss,
)


def made(seed: int, *size: int) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def test_response_loss_by_hand() -> None:
    # Probabilities (3/4, 1/4) and (1/4, 3/4) of two utterances; the student has the first alike
    # and the second turned round.
    log3 = math.log(3)
    teacher = torch.tensor([[log3, 0.0], [0.0, log3]])
    student = torch.tensor([[log3, 0.0], [log3, 0.0]])
    # Of the rows one correlates by 1, one by -1: 1 in the mean. Columns of the student have no
    # variance: they correlate by 0, and cost 1.
    assert response_loss(student, teacher, 1.0).item() == pytest.approx(1.0 + 1.0)
    # T^2 is in front, and p = softmax(logits / 2) correlates as before.
    assert response_loss(student, teacher, 2.0).item() == pytest.approx(4.0 * (1.0 + 1.0))


def test_response_loss_is_of_correlation() -> None:
    student, teacher = made(1, 6, 4), made(2, 6, 4)
    ours, theirs = (torch.softmax(one / 3, dim=1).double().numpy() for one in (student, teacher))
    import numpy as np

    rows = np.mean([1 - np.corrcoef(a, b)[0, 1] for a, b in zip(ours, theirs, strict=True)])
    columns = np.mean([1 - np.corrcoef(a, b)[0, 1] for a, b in zip(ours.T, theirs.T, strict=True)])
    expected = 9 * (rows + columns)
    assert response_loss(student, teacher, 3.0).item() == pytest.approx(expected, rel=1e-4)


def test_feature_loss_by_hand() -> None:
    # Teacher's vectors at right angles: P = softmax((1, 0)) in each row. The student's are turned
    # by a right angle: Q = softmax((0, 1)).
    teacher = torch.tensor([[2.0, 0.0], [0.0, 5.0]])
    student = torch.tensor([[0.0, 1.0], [3.0, 0.0]])
    e = math.e
    p, q = e / (1 + e), 1 / (1 + e)
    expected = p * math.log(p / q) + q * math.log(q / p)
    assert feature_loss(student, teacher, 1.0).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_who_says_the_same_loses_nothing(size: int) -> None:
    logits, vectors = made(3, size, 5), made(4, size, 8)
    own = Responses(logits, vectors)
    assert Distillation("run").loss(own, own).item() == pytest.approx(0, abs=1e-5)


def test_a_teacher_that_ranks_nothing_teaches_nothing() -> None:
    student = made(5, 3, 4).requires_grad_()
    loss = response_loss(student, torch.zeros(3, 4), 1.0)
    assert loss.item() == 0
    loss.backward()
    assert student.grad is not None and not student.grad.any()


@pytest.mark.parametrize("named", ["response", "feature"])
def test_the_gradient_is_the_students(named: str) -> None:
    weights = {f"{other}_weight": 0.0 for other in ("response", "feature") if other != named}
    student = Responses(made(6, 4, 3).requires_grad_(), made(7, 4, 5).requires_grad_())
    teacher = Responses(made(8, 4, 3), made(9, 4, 5))
    loss = Distillation("run", **weights).loss(student, teacher)
    loss.backward()
    learnt = student.logits if named == "response" else student.vectors
    assert learnt.grad is not None and learnt.grad.abs().sum() > 0
    assert not teacher.logits.requires_grad and not teacher.vectors.requires_grad
    with torch.no_grad():
        nearer = Responses(
            *(x if x.grad is None else x - 1e-2 * x.grad for x in (student.logits, student.vectors))
        )
        assert Distillation("run", **weights).loss(nearer, teacher) < loss


def test_utterances_that_the_teacher_does_not_know_are_left_out() -> None:
    student = Responses(made(10, 4, 3), made(11, 4, 5))
    theirs = Responses(made(12, 3, 3), made(13, 3, 5))
    teaching = Teaching(Distillation("run"), Lessons({"c": 0, "a": 1, "d": 2}, theirs))
    found = teaching.loss(("a", "b", "c", "d"), student)
    chosen = torch.tensor([0, 2, 3])
    order = torch.tensor([1, 0, 2])
    expected = teaching.distillation.loss(student.where(chosen), theirs.where(order))
    assert found.item() == pytest.approx(expected.item())
    nobody = Teaching(Distillation("run"), Lessons({}, theirs.where(torch.zeros(3).bool())))
    assert nobody.loss(("a", "b", "c", "d"), student).item() == 0


@pytest.mark.parametrize(
    ("option", "value"), [("response_weight", -1.0), ("feature_temperature", 0.0)]
)
def test_settings_that_mean_nothing_are_refused(option: str, value: float) -> None:
    with pytest.raises(InputError, match=f"distillation.{option}"):
        Distillation("run", **{option: value})


def test_vectors_are_compared_as_they_are_taught() -> None:
    # Two modalities of 4 features each, side by side.
    fusion = LateFusion({name: FeatureDims(3, 3) for name in ("audio", "text")}, bottleneck_dim=4)
    student: Any = SimpleNamespace(classifier=SimpleNamespace(fusion=fusion))
    lessons = [Lessons({}, Responses(made(1, 2, 3), made(2, 2, size))) for size in (8, 4)]
    check_size(Distillation("run"), lessons[0], student)
    with pytest.raises(InputError, match=r"as the student's \(8\), it gives 4"):
        check_size(Distillation("run"), lessons[1], student)
    check_size(Distillation("run", feature_weight=0), lessons[1], student)
