import math

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from mmemo.errors import InputError
from mmemo.training.losses import CrossEntropy, FocalLoss, RatersCrossEntropy

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0], [0.0, 0.0, 3.0]])
TARGET = torch.tensor([0, 1, 0])


def balanced(loss: CrossEntropy) -> CrossEntropy:
    loss.use_class_counts([6, 3, 1])
    return loss


def test_balanced_weights_are_scikit_learns() -> None:
    targets = np.repeat([0, 1, 2], [6, 3, 1])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=targets)
    loss = balanced(CrossEntropy("weighted", balance_classes=True))
    weights = loss.weights(torch.arange(3))
    torch.testing.assert_close(weights, torch.tensor(expected, dtype=torch.float32))
    # 10 / (3 * 6), 10 / (3 * 3), 10 / (3 * 1)
    assert weights.tolist() == pytest.approx([5 / 9, 10 / 9, 10 / 3])
    assert not loss.state_dict()


def test_an_absent_class_is_told() -> None:
    with pytest.raises(InputError, match="utterances of every class, got 4, 0, 2 in label order"):
        CrossEntropy("weighted", balance_classes=True).use_class_counts([4, 0, 2])
    CrossEntropy("cross_entropy").use_class_counts([4, 0, 2])


@pytest.mark.parametrize("balance_classes", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_sum_over_weights_is_torchs_mean(balance_classes: bool, smoothing: float) -> None:
    loss = balanced(CrossEntropy("any", balance_classes, smoothing))
    weights = torch.tensor([5 / 9, 10 / 9, 10 / 3]) if balance_classes else None
    expected = nn.functional.cross_entropy(LOGITS, TARGET, weights, label_smoothing=smoothing)
    mean = loss(LOGITS, TARGET).sum() / loss.weights(TARGET).sum()
    torch.testing.assert_close(mean, expected)


def test_focal_loss_by_hand() -> None:
    # Probabilities 3/4 and 1/4: (1 - p)^2 * -ln p.
    logits = torch.tensor([[math.log(3), 0.0], [math.log(3), 0.0]])
    target = torch.tensor([0, 1])
    expected = [math.log(4 / 3) / 16, math.log(4) * 9 / 16]
    assert FocalLoss("focal")(logits, target).tolist() == pytest.approx(expected)
    weighted = FocalLoss("focal", balance_classes=True)
    weighted.use_class_counts([3, 1])  # 4 / (2 * 3), 4 / (2 * 1)
    expected = [expected[0] * 2 / 3, expected[1] * 2]
    assert weighted(logits, target).tolist() == pytest.approx(expected)


def test_focal_loss_with_gamma_0_is_cross_entropy() -> None:
    for balance_classes in (False, True):
        focal = balanced(FocalLoss("focal", 0.0, balance_classes))
        plain = balanced(CrossEntropy("plain", balance_classes))
        torch.testing.assert_close(focal(LOGITS, TARGET), plain(LOGITS, TARGET))


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_a_certain_answer_has_a_finite_gradient(gamma: float) -> None:
    logits = torch.tensor([[200.0, 0.0]], requires_grad=True)
    FocalLoss("focal", gamma)(logits, torch.tensor([0])).sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_values_out_of_range_are_errors() -> None:
    with pytest.raises(InputError, match=r"loss\.gamma: expected 0, or 1 and more, got 0\.5"):
        FocalLoss("focal", 0.5)
    with pytest.raises(InputError, match=r"loss\.label_smoothing: expected a share .* got 1"):
        CrossEntropy("label_smoothing", label_smoothing=1)


def test_the_aim_may_be_the_raters_votes() -> None:
    votes = torch.tensor([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5]])
    log_p = torch.log_softmax(LOGITS, dim=1)
    loss = RatersCrossEntropy("votes")
    torch.testing.assert_close(loss(LOGITS, votes), -(votes * log_p).sum(dim=1))
    assert loss.weights(votes).tolist() == [1, 1, 1]
    # Certain votes are classes, and what weighs the classes weighs them by their shares.
    certain = nn.functional.one_hot(TARGET, 3).float()
    torch.testing.assert_close(loss(LOGITS, certain), CrossEntropy("plain")(LOGITS, TARGET))
    weighted = balanced(RatersCrossEntropy("votes", balance_classes=True))
    weights = torch.tensor([5 / 9, 10 / 9, 10 / 3])
    torch.testing.assert_close(weighted.weights(votes), votes @ weights)
    torch.testing.assert_close(weighted(LOGITS, votes), -(votes * weights * log_p).sum(dim=1))
