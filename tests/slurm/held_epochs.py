"""Training that waits until a test has done to it what it does, however fast the machine is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import lightning
from lightning.pytorch import callbacks

from mmemo.training.interruption import Interruption

LIMIT_S = 150.0


class HeldEpochs(callbacks.Callback):
    """Epochs whose steps wait until a file is there, one for each epoch, or a signal has come.

    Args:
        epochs: Which.
        folder: Where the files are.
    """

    def __init__(self, epochs: Sequence[int], folder: str) -> None:
        self.epochs = tuple(epochs)
        self.folder = Path(folder)

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Wait.

        Raises:
            TimeoutError: If the test is slower than it should be.
        """
        if trainer.current_epoch not in self.epochs:
            return
        (interruption,) = (c for c in trainer.callbacks if isinstance(c, Interruption))
        deadline = time.monotonic() + LIMIT_S
        while not _mark(self.folder, trainer.current_epoch).exists() and not interruption.signum:
            if time.monotonic() > deadline:
                raise TimeoutError(f"epoch {trainer.current_epoch} was held for {LIMIT_S} s")
            time.sleep(0.1)


def held(epochs: Sequence[int], folder: Path) -> list[str]:
    """Overrides for a run some of whose epochs are held until ``go_on`` is called for each."""
    target = f"{HeldEpochs.__module__}.{HeldEpochs.__name__}"
    numbers = ",".join(map(str, epochs))
    settings = {"_target_": target, "epochs": f"[{numbers}]", "folder": str(folder)}
    return [f"+callbacks.held.{name}={value}" for name, value in settings.items()]


def go_on(epoch: int, folder: Path) -> None:
    """Let the steps of an epoch be taken."""
    folder.mkdir(exist_ok=True)
    _mark(folder, epoch).touch()


def _mark(folder: Path, epoch: int) -> Path:
    return folder / f"epoch-{epoch}"
