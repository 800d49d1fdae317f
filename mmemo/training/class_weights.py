"""How much each class counts in the training loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmemo.errors import InputError


class BalancedWeights:
    """All classes together count the same: class c with n_c of N utterances weighs N / (C n_c).

    Source: King and Zeng 2001, "Logistic Regression in Rare Events Data", as in scikit-learn's
    ``class_weight="balanced"``.
    """

    def __call__(self, counts: Sequence[int]) -> Tensor:
        """Weights (C,) from the number of training utterances of each of C classes.

        Raises:
            InputError: If a class has none.
        """
        if min(counts) == 0:
            raise InputError(
                "class_weights=balanced: expected training utterances of every class, got "
                f"{', '.join(map(str, counts))} in label order; choose class_weights=none or "
                "labels without the absent class"
            )
        numbers = torch.tensor(counts, dtype=torch.float64)
        return (numbers.sum() / (len(counts) * numbers)).float()
