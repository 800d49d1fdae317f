"""Learning-rate schedules over the steps of a run."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers.optimization import get_scheduler

from mmemo.errors import InputError

NAMES = (
    "linear",
    "cosine",
    "constant_with_warmup",
    "inverse_sqrt",
    "polynomial",
    "cosine_with_restarts",
)


LENGTHS = ("T_max", "total_steps", "total_iters")
"""What torch's schedules call the number of their steps."""


def build_schedule(
    builder: Callable[..., LRScheduler], optimizer: Optimizer, num_steps: int
) -> LRScheduler:
    """The schedule of an optimizer that takes ``num_steps`` steps.

    Args:
        builder: One of torch's schedules with its settings, which is told the steps where it has a
            length that they leave open; or anything that takes the optimizer and the steps.
        optimizer: What is scheduled.
        num_steps: Steps of the run.
    """
    given = builder.keywords if isinstance(builder, partial) else {}
    target = builder.func if isinstance(builder, partial) else builder
    if not (isinstance(target, type) and issubclass(target, LRScheduler)):
        return builder(optimizer, num_steps)
    open_lengths = [
        n for n in LENGTHS if n in inspect.signature(target).parameters and n not in given
    ]
    return builder(optimizer, **dict.fromkeys(open_lengths[:1], num_steps))


class WarmupSchedule:
    """Linear from zero over the first share of the steps, then one of transformers' schedules.

    Args:
        name: What follows, as transformers calls it.
        warmup_ratio: Share of all steps, in [0, 1].

    Raises:
        InputError: If there is no such schedule, or the share is out of range.
    """

    def __init__(self, name: str, warmup_ratio: float = 0.1) -> None:
        if name not in NAMES:
            raise InputError(f"scheduler.name: expected one of {', '.join(NAMES)}, got '{name}'")
        if not 0 <= warmup_ratio <= 1:
            raise InputError(
                f"scheduler.warmup_ratio: expected a share of the steps, 0 to 1, got {warmup_ratio}"
            )
        self.name = name
        self.warmup_ratio = warmup_ratio

    def __call__(self, optimizer: Optimizer, num_steps: int) -> LRScheduler:
        """Schedule for an optimizer that takes ``num_steps`` steps."""
        warmup_steps = round(self.warmup_ratio * num_steps)
        schedule: LRScheduler = get_scheduler(self.name, optimizer, warmup_steps, num_steps)
        return schedule
