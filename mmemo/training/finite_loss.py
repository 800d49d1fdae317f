"""Stops training at a loss that is not a finite number."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, distributed

from mmemo.errors import InputError


def not_finite(split: str, value: float, epoch: int, where: str) -> InputError:
    """The error that says so, and what to do."""
    rest = f", or finish with the epochs before: trainer.max_epochs={epoch}" if epoch else ""
    return InputError(
        f"{split} loss: expected a finite number, got {value} in epoch {epoch}, {where}; lower "
        f"optimizer.lr, train with precision=32, or look at these utterances. What was saved "
        f"before is kept; resume it with trainer.precision=32{rest}"
    )


class WatchedLoss:
    """The loss of one step, on its way to the host.

    On a GPU it is copied beside the backward pass and looked at when that was queued: waiting for
    it ends with the forward pass, so that the GPU never runs dry, and is over before the
    optimizer's step.

    Args:
        keys: Keys of the batch's utterances.
        losses: Theirs (B,).
        total: Their sum over all processes; what is not finite anywhere makes it so everywhere,
            and all processes stop at the same step.
    """

    def __init__(self, keys: Sequence[str], losses: Tensor, total: Tensor) -> None:
        self.keys = tuple(keys)
        self.losses = losses.detach()
        self.total = total.detach().to("cpu", non_blocking=total.is_cuda)
        self.copied = torch.Event(total.device) if total.is_cuda else None
        if self.copied is not None:
            self.copied.record()

    def check(self, epoch: int, step: int) -> None:
        """Wait for the sum and look at it.

        Raises:
            InputError: If it is not finite, on every process.
        """
        if self.copied is not None:
            self.copied.synchronize()
        if math.isfinite(float(self.total)):
            return
        keys, faulty = self._from_all_processes()
        raise not_finite(
            "training",
            float(self.total),
            epoch,
            f"step {step}, from {', '.join(faulty) or 'their sum'} (the batch: {', '.join(keys)})",
        )

    def _from_all_processes(self) -> tuple[list[str], list[str]]:
        """Keys of the whole batch, and of those whose loss is not finite."""
        finite = self.losses.isfinite().tolist()
        faulty = [key for key, good in zip(self.keys, finite, strict=True) if not good]
        own = (list(self.keys), faulty)
        if not (distributed.is_available() and distributed.is_initialized()):
            return own
        shares = [own] * distributed.get_world_size()
        distributed.all_gather_object(shares, own)
        return [k for keys, _ in shares for k in keys], [k for _, bad in shares for k in bad]
