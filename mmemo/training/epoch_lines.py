"""A line an epoch, where no progress bar is seen."""

from __future__ import annotations

import sys
import time
from datetime import timedelta

import lightning
from lightning.pytorch import callbacks


class EpochLines(callbacks.Callback):
    """Print the epoch's losses, the score that chooses the checkpoint, and the time left.

    Only where no bar tells it: a bar that redraws itself leaves nothing in a file, and what runs
    for a day on a cluster would be silent until its end.
    """

    def __init__(self) -> None:
        self._started_s = 0.0
        self._num_batches = 0

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Say how much there is to do."""
        self._started_s = time.monotonic()
        self._num_batches = 0
        if not prints_lines(trainer):
            return
        epochs = f"{trainer.max_epochs} epochs at most" if _has_end(trainer) else "epochs"
        begun = f", from epoch {trainer.current_epoch + 1} on" if trainer.current_epoch else ""
        print(
            f"training: {epochs} of {trainer.num_training_batches} batches{begun}",
            flush=True,
        )

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Count: of an epoch that is continued only a part is done here."""
        self._num_batches += 1

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Print the line; validation of this epoch is done, its checkpoint not yet written."""
        if not prints_lines(trainer):
            return
        epoch = trainer.current_epoch + 1
        of = f"/{trainer.max_epochs}" if _has_end(trainer) else ""
        parts = [f"epoch {epoch}{of}: {self._scores(trainer)}"]
        if self._num_batches:
            spent_s = time.monotonic() - self._started_s
            epoch_s = spent_s * float(trainer.num_training_batches) / self._num_batches
            parts.append(f"{duration(epoch_s)} an epoch")
            if _has_end(trainer) and not trainer.should_stop:
                left = (trainer.max_epochs or 0) - epoch
                parts.append(f"at most {duration(left * epoch_s)} left")
        print("; ".join(parts), flush=True)

    @staticmethod
    def _scores(trainer: lightning.Trainer) -> str:
        """Both losses and the score that chooses; ``(best)`` where it is the best so far."""
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        checkpoint = trainer.checkpoint_callback
        monitor, best, mode = (
            (checkpoint.monitor, checkpoint.best_model_score, checkpoint.mode)
            if isinstance(checkpoint, callbacks.ModelCheckpoint)
            else (None, None, "min")
        )
        names = dict.fromkeys(("train/loss", "val/loss", "val/macro_f1", monitor or "val/loss"))
        shown = []
        for name in names:
            if name not in values:
                continue
            text = f"{name} {values[name]:.4f}"
            if name == monitor:
                before = None if best is None else float(best)
                is_best = before is None or (
                    values[name] > before if mode == "max" else values[name] < before
                )
                text += " (best)" if is_best else f" (best {before:.4f})"
            shown.append(text)
        return ", ".join(shown)


def prints_lines(trainer: lightning.Trainer) -> bool:
    """Whether lines are printed: by the first process, where no bar is seen."""
    bar = trainer.progress_bar_callback
    # Lightning's plain bar writes into files too; its rich one draws on terminals alone.
    is_seen = bar is not None and (
        sys.stdout.isatty() or isinstance(bar, callbacks.TQDMProgressBar)
    )
    return trainer.is_global_zero and not is_seen


def duration(seconds: float) -> str:
    """``0:01:30``, hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))


def _has_end(trainer: lightning.Trainer) -> bool:
    return trainer.max_epochs is not None and trainer.max_epochs > 0
