"""What befalls a run at a known step, as a callback that its config names."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import lightning
from lightning.pytorch import callbacks


class _At(callbacks.Callback):
    def __init__(self, epoch: int, batch: int, rank: int = 0) -> None:
        self.place = (epoch, batch, rank)

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        batch: object,
        batch_idx: int,
    ) -> None:
        if (trainer.current_epoch, batch_idx, trainer.global_rank) == self.place:
            self.befall()

    def befall(self) -> None:
        raise NotImplementedError


class SignalAt(_At):
    """The process gets a signal before a batch is trained."""

    def __init__(self, signum: int, epoch: int, batch: int, rank: int = 0) -> None:
        super().__init__(epoch, batch, rank)
        self.signum = signum

    def befall(self) -> None:
        os.kill(os.getpid(), self.signum)


class FailureAt(_At):
    """A process fails before a batch is trained."""

    def befall(self) -> None:
        raise RuntimeError("out of memory, say")


class _Once(_At):
    """Befalls one process, whichever comes to the place first."""

    def __init__(self, epoch: int, batch: int, marker: str) -> None:
        super().__init__(epoch, batch)
        self.marker = Path(marker)

    def befall(self) -> None:
        if not self.marker.exists():
            self.marker.touch()
            self.befall_once()

    def befall_once(self) -> None:
        raise NotImplementedError


class KillOnce(_Once):
    """The process is killed without warning."""

    def befall_once(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class SignalOnce(_Once):
    """The process gets the signal that submitit is told of a job's end with."""

    def befall_once(self) -> None:
        os.kill(os.getpid(), signal.SIGUSR2)


class FailureOnce(_Once):
    """The process fails."""

    def befall_once(self) -> None:
        raise RuntimeError("out of memory, say")


def befalls(kind: type[_At], **where: int) -> list[str]:
    target = f"+callbacks.befalls._target_={kind.__module__}.{kind.__name__}"
    return [target, *(f"+callbacks.befalls.{name}={value}" for name, value in where.items())]
