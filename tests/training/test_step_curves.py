"""Curves by step, as any logger gets them."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mmemo.training.step_curves import StepCurves


def logged_steps(num_batches: int, every: int, accumulated: int = 1) -> list[tuple[int, float]]:
    """Step and loss of what one epoch logs; the loss of batch i is i."""
    found: list[tuple[int, float]] = []

    def log_metrics(values: Mapping[str, float], step: int) -> None:
        assert values["step/learning_rate"] == 0.1
        found.append((step, values["step/loss"]))

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    trainer: Any = SimpleNamespace(
        global_step=0,
        num_training_batches=num_batches,
        log_every_n_steps=every,
        optimizers=[optimizer],
        loggers=[SimpleNamespace(log_metrics=log_metrics)],
    )
    curves = StepCurves()
    for batch in range(num_batches):
        trainer.global_step = (batch + 1) // accumulated
        if batch + 1 == num_batches:
            trainer.global_step = -(-num_batches // accumulated)
        module: Any = SimpleNamespace(batch_loss=torch.tensor(float(batch)))
        curves.on_train_batch_end(trainer, module, None, None, batch)
    return found


@pytest.mark.parametrize(
    ("batches", "every", "accumulated", "expected"),
    [
        (5, 2, 1, [(1, 1.0), (3, 3.0), (4, 4.0)]),
        (4, 2, 1, [(1, 1.0), (3, 3.0)]),
        (3, 10, 1, [(2, 2.0)]),
        # Three steps of two, two and one batches; the last batch of a step stands for it.
        (5, 2, 2, [(1, 3.0), (2, 4.0)]),
    ],
)
def test_every_so_many_steps_and_at_the_epochs_end(
    batches: int, every: int, accumulated: int, expected: list[tuple[int, float]]
) -> None:
    assert logged_steps(batches, every, accumulated) == expected
