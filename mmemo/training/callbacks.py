"""Callbacks that make a run repeatable and its curves last."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pandas as pd
import torch
from lightning.pytorch import callbacks
from torch.optim import Optimizer

from mmemo.corpora.leaks import protocol_stamp
from mmemo.folders import written_whole


class StepSeed(callbacks.Callback):
    """Seed all random numbers before each training step with seed, epoch, step and process.

    Dropout, layer drop and SpecAugment then depend on nothing that ran before: a run that is
    continued takes the same steps as one that was never interrupted. (Seeding once an epoch is
    not enough: a loader draws a number when it starts, at another moment in a resumed run.)

    Args:
        seed: The run's seed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Seed Python, NumPy and torch for this step."""
        entropy = [self.seed, trainer.current_epoch, batch_idx, trainer.global_rank]
        (state,) = np.random.SeedSequence(entropy).generate_state(1)
        random.seed(int(state))
        np.random.seed(int(state))
        torch.manual_seed(int(state))


class EpochHistory(callbacks.Callback):
    """Keep each epoch's metrics in one CSV that survives an interruption.

    A column ``split_protocol`` says under which split protocol they were measured.

    Args:
        path: The file; written after every epoch.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.rows: list[dict[str, float]] = []

    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Note the epoch's validation metrics; the training ones come at the epoch's end."""
        if trainer.sanity_checking:
            return
        self._note(trainer)

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Complete the epoch's row and write the file."""
        self._note(trainer)
        if trainer.is_global_zero:
            split = trainer.datamodule.split  # type: ignore[attr-defined]
            table = pd.DataFrame(self.rows)
            table["split_protocol"] = protocol_stamp(split.name, split.leaky)
            with written_whole(self.path) as place:
                table.to_csv(place, index=False)

    def _note(self, trainer: lightning.Trainer) -> None:
        epoch = trainer.current_epoch
        if not self.rows or self.rows[-1]["epoch"] != epoch:
            self.rows.append({"epoch": epoch, "step": trainer.global_step})
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.rows[-1].update(values | learning_rates(trainer.optimizers[0]))

    def state_dict(self) -> dict[str, Any]:
        """The rows so far."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the rows of a checkpoint."""
        self.rows = list(state_dict["rows"])


def learning_rates(optimizer: Optimizer) -> dict[str, float]:
    """``learning_rate`` of the first group, and that of others where they have their own."""
    named = {group.get("part"): float(group["lr"]) for group in optimizer.param_groups}
    first, *others = named
    own = {f"learning_rate/{name}": named[name] for name in others}
    return {"learning_rate": named[first], **own}


class EpochCheckpoint(callbacks.ModelCheckpoint):
    """Lightning's, with the last state of every epoch, also of one that was not better.

    Lightning (from 2.6) saves the last state where it saves the best one: a run that is stopped
    between two epochs would begin again after its best.
    """

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Save the best states, then the last one."""
        super().on_train_epoch_end(trainer, pl_module)
        if self.save_last and not self._should_skip_saving_checkpoint(trainer):
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))


class RememberedEarlyStopping(callbacks.EarlyStopping):
    """Early stopping that a resumed run remembers, and that asks again after the first epochs.

    Lightning restores how long the score has not improved, but not that training had to stop
    for it: a run killed just after its last epoch would train one more. It restores the patience
    too, whatever this run's is. And what has used up the patience before ``trainer.min_epochs``
    ends the training there, however much it has improved since.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over how long the score has not improved; the patience is this run's."""
        super().load_state_dict({**state_dict, "patience": self.patience})

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Stop at once where the patience was used up before the interruption."""
        if self.wait_count >= self.patience and _may_stop(trainer):
            trainer.should_stop = True

    def _run_early_stopping_check(self, trainer: lightning.Trainer) -> None:
        former = trainer.should_stop
        super()._run_early_stopping_check(trainer)
        if not _may_stop(trainer):
            # The next epoch asks again.
            trainer.should_stop = former


def _may_stop(trainer: lightning.Trainer) -> bool:
    """Whether the epochs and steps that have to be trained are."""
    progress: Any = trainer.fit_loop.epoch_progress.current
    enough_epochs = bool(progress.processed >= (trainer.min_epochs or 0))
    return enough_epochs and trainer.global_step >= (trainer.min_steps or 0)
