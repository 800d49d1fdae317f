"""Curves by step, for whatever logger the run has."""

from __future__ import annotations

from typing import cast

import lightning
from lightning.pytorch import callbacks

from mmemo.training.callbacks import learning_rates
from mmemo.training.module import EmotionModule


class StepCurves(callbacks.Callback):
    """Log ``step/loss`` and ``step/learning_rate`` every ``trainer.log_every_n_steps`` steps.

    The loss is that of the whole batch, whatever processes share it, of the last batch where
    gradients of several are accumulated. The last step of each epoch is logged in any case.
    """

    def __init__(self) -> None:
        self._last_step = 0

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Log after an optimizer's step."""
        step = trainer.global_step
        is_last = batch_idx + 1 == trainer.num_training_batches
        is_due = is_last or step % trainer.log_every_n_steps == 0  # type: ignore[attr-defined]
        if not (trainer.loggers and is_due) or step == self._last_step:
            return
        self._last_step = step
        rates = learning_rates(trainer.optimizers[0])
        values = {"step/loss": float(cast(EmotionModule, pl_module).batch_loss)}
        values |= {f"step/{name}": rate for name, rate in rates.items()}
        for logger in trainer.loggers:
            # Counted from 0, as Lightning counts what it logs.
            logger.log_metrics(values, step=step - 1)
