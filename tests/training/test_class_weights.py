import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from mmemo.errors import InputError
from mmemo.training.class_weights import BalancedWeights


def test_balanced_weights_are_scikit_learns() -> None:
    targets = np.repeat([0, 1, 2], [6, 3, 1])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=targets)
    weights = BalancedWeights()([6, 3, 1])
    torch.testing.assert_close(weights, torch.tensor(expected, dtype=torch.float32))
    # 10 / (3 * 6), 10 / (3 * 3), 10 / (3 * 1)
    assert weights.tolist() == pytest.approx([5 / 9, 10 / 9, 10 / 3])


def test_an_absent_class_is_told() -> None:
    with pytest.raises(InputError, match="utterances of every class, got 4, 0, 2 in label order"):
        BalancedWeights()([4, 0, 2])
