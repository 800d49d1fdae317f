"""Learning-rate schedules over the steps of a run."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers.optimization import get_linear_schedule_with_warmup

from mmemo.errors import InputError


class LinearWarmupDecay:
    """Linear from zero over the first share of the steps, then linear to zero.

    Args:
        warmup_ratio: Share of all steps, in [0, 1].
    """

    def __init__(self, warmup_ratio: float = 0.1) -> None:
        if not 0 <= warmup_ratio <= 1:
            raise InputError(
                f"scheduler.warmup_ratio: expected a share of the steps, 0 to 1, got {warmup_ratio}"
            )
        self.warmup_ratio = warmup_ratio

    def __call__(self, optimizer: Optimizer, num_steps: int) -> LRScheduler:
        """Schedule for an optimizer that takes ``num_steps`` steps."""
        warmup_steps = round(self.warmup_ratio * num_steps)
        schedule: LRScheduler = get_linear_schedule_with_warmup(  # type: ignore[no-untyped-call]
            optimizer, warmup_steps, num_steps
        )
        return schedule
