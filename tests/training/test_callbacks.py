import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from mmemo.training.callbacks import StepSeed


def draw(seed: int, epoch: int, step: int, rank: int = 0) -> tuple[float, float, float]:
    trainer: Any = SimpleNamespace(current_epoch=epoch, global_rank=rank)
    StepSeed(seed).on_train_batch_start(trainer, None, None, step)  # type: ignore[arg-type]
    return random.random(), float(np.random.rand()), torch.rand(()).item()


def test_a_step_draws_the_same_whatever_ran_before() -> None:
    first = draw(1, 2, 3)
    torch.rand(100)
    assert draw(1, 2, 3) == first


def test_seed_epoch_step_and_process_each_matter() -> None:
    others = [draw(9, 2, 3), draw(1, 9, 3), draw(1, 2, 9), draw(1, 2, 3, rank=1)]
    assert len({draw(1, 2, 3), *others}) == 5
    assert len({value[2] for value in others}) == 4
