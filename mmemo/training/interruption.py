"""Stopping a run so that it can be continued as if it had never stopped."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

import lightning
import torch
from lightning.pytorch import callbacks
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, distributed
from torchmetrics import Metric, MetricCollection

from mmemo.errors import InputError
from mmemo.training.stop_signals import Stopped, stop_signals, stopped_at_once

STATE = "mid_epoch"
"""Where a checkpoint that was written inside an epoch keeps what Lightning does not."""


class Interruption(callbacks.Callback):
    """On a stop signal, finish the optimizer's step, save the state and stop.

    The state is one from which the epoch goes on with the next batch, with the running metrics of
    the epoch: Lightning's own checkpoints keep neither. Where the epoch's last step was taken, its
    validation is finished first and the run stops after the epoch's own checkpoint. A second
    signal stops at once. Under several processes all stop after the same step, whichever got the
    signal.

    Lightning's answers to SIGTERM and to Slurm's SIGUSR1 are replaced: they save wherever the
    process stands, or not at all.

    Args:
        path: The checkpoint to replace.
        every_n_minutes: The state is also saved at the first step after so many minutes, against
            what gives no warning (SIGKILL, a power cut); None for not.
    """

    def __init__(self, path: str | Path, every_n_minutes: float | None = None) -> None:
        self.path = Path(path)
        self.every_n_minutes = every_n_minutes
        self.signum = 0
        self._saved_at_s = 0.0
        self._num_batches: int | None = None
        self._to_restore: dict[str, dict[str, Tensor]] = {}
        self._handlers = ExitStack()
        self._is_first = True

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Take over the signals, and the running metrics of an interrupted epoch."""
        self._is_first = trainer.is_global_zero
        self._handlers.enter_context(stop_signals(self._note))
        self._saved_at_s = time.monotonic()
        for name, metric in _metrics(pl_module).items():
            if name in self._to_restore:
                # The first step would begin a new count otherwise.
                metric.load_state_dict(self._to_restore[name])
                metric.to(pl_module.device)
        self._to_restore = {}

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self.signum:
            raise Stopped(signum)
        self.signum = signum
        if self._is_first:
            # Not print: the signal may have come in the middle of one.
            os.write(2, b"\nstopping after this step; once more stops at once\n")

    def on_train_epoch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Stop before an epoch where the signal came at the end of the former."""
        self._stop(trainer, self._agreed(trainer)[0])

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Save and stop where it was asked for and no gradient is pending."""
        num_batches = batch_idx + 1
        if num_batches % trainer.accumulate_grad_batches:
            return
        if num_batches >= trainer.num_training_batches:
            return
        signum, is_due = self._agreed(trainer)
        if signum or is_due:
            self._save(trainer, num_batches)
        self._stop(trainer, signum, num_batches)

    def on_train_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Stop before evaluation where the signal came in the last epoch."""
        self._stop(trainer, self._agreed(trainer)[0])
        self._handlers.close()

    def on_predict_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Stop at once while predicting; Lightning would first call the other processes."""
        self._handlers.enter_context(stopped_at_once())

    def on_predict_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Leave the signals as they were."""
        self._handlers.close()

    def on_exception(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        exception: BaseException,
    ) -> None:
        """Leave the signals as they were."""
        self._handlers.close()

    def _agreed(self, trainer: lightning.Trainer) -> tuple[int, bool]:
        """The signal that any process got, and whether it is time to save."""
        limit_s = float("inf") if self.every_n_minutes is None else 60 * self.every_n_minutes
        is_due = time.monotonic() - self._saved_at_s >= limit_s
        if trainer.world_size == 1:
            return self.signum, is_due
        flags = torch.tensor([self.signum, int(is_due)], device=trainer.strategy.root_device)
        distributed.all_reduce(flags, op=distributed.ReduceOp.MAX)
        signum, any_due = flags.tolist()
        return signum, bool(any_due)

    def _save(self, trainer: lightning.Trainer, num_batches: int) -> None:
        self._num_batches = num_batches
        try:
            trainer.save_checkpoint(self.path, weights_only=False)
        finally:
            self._num_batches = None
        self._saved_at_s = time.monotonic()

    def _stop(self, trainer: lightning.Trainer, signum: int, num_batches: int = 0) -> None:
        if signum:
            raise Stopped(signum, f"at epoch {trainer.current_epoch}, batch {num_batches}")

    def on_save_checkpoint(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        checkpoint: dict[str, Any],
    ) -> None:
        """Add where the epoch stands and each process' running metrics."""
        if self._num_batches is None:
            return
        mine = {name: metric.metric_state for name, metric in _metrics(pl_module).items()}
        mine = apply_to_collection(mine, Tensor, Tensor.cpu)
        states: list[Any] = [mine]
        if trainer.world_size > 1:
            states = [None] * trainer.world_size
            distributed.all_gather_object(states, mine)
        checkpoint[STATE] = {"num_batches": self._num_batches, "metrics": states}

    def on_load_checkpoint(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        checkpoint: dict[str, Any],
    ) -> None:
        """Let the data module go on where the checkpoint stands.

        Raises:
            InputError: If the epoch was begun with another number of processes.
        """
        datamodule = trainer.datamodule  # type: ignore[attr-defined]
        epoch = int(checkpoint["epoch"])
        state = checkpoint.get(STATE)
        if state is None:
            datamodule.resume_at(epoch + 1, 0)
            return
        states = state["metrics"]
        if len(states) != trainer.world_size:
            raise InputError(
                f"{self.path}: expected the {len(states)} processes that the interrupted epoch was "
                f"begun with, got {trainer.world_size}; continue it with as many"
            )
        self._to_restore = states[trainer.global_rank]
        datamodule.resume_at(epoch, state["num_batches"])


def _metrics(module: torch.nn.Module) -> dict[str, Metric]:
    """Every metric in a module by name, with its own state."""
    found: dict[str, Metric] = {}
    for path, part in module.named_modules():
        if isinstance(part, MetricCollection):
            # Only what goes through the collection gives the members of a group their state.
            found |= {f"{path}.{name}": metric for name, metric in part.items(keep_base=True)}
        elif isinstance(part, Metric):
            found.setdefault(path, part)
    return found
