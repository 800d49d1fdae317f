"""Ending a sweep's cell that has no prospect of being its best."""

from __future__ import annotations

import csv
import json
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import lightning
from lightning.pytorch import callbacks

from mmemo.training.processes import leave_together

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

COUNTED = ("finished", "pruned")
"""States of the cells that a cell is measured against."""


class SweepPruning(callbacks.Callback):
    """Stop training where an Optuna pruner gives a cell up.

    The cell is measured against the cells beside it that have ended, epoch by epoch, from their
    histories on disk: so that it needs no connection to whoever launches the cells, and a sweep
    that is launched again decides as before. ``pruned`` tells afterwards why, or is None.

    Args:
        folder: The cell's run folder, in the sweep's.
        monitor: The validation score.
        mode: "min" or "max".
        pruner: Decides, such as ``optuna.pruners.MedianPruner``: below the median at that epoch.
    """

    def __init__(self, folder: str | Path, monitor: str, mode: str, pruner: BasePruner) -> None:
        self.folder = Path(folder)
        self.monitor = monitor
        self.mode = mode
        self.pruner = pruner
        self.pruned: str | None = None

    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Decide after each epoch, in all processes alike."""
        own = _read_scores(self.folder, self.monitor)
        epoch = trainer.current_epoch
        own[epoch] = float(trainer.callback_metrics[self.monitor])
        is_hopeless = bool(
            trainer.strategy.reduce_boolean_decision(self.is_hopeless(own), all=False)
        )
        if is_hopeless:
            self.pruned = f"{self.monitor} {own[epoch]:.4g} after epoch {epoch}, worse than others"
            trainer.should_stop = True

    def is_hopeless(self, own: Mapping[int, float]) -> bool:
        """Whether the pruner gives up a cell with these scores by epoch."""
        import optuna

        optuna.logging.set_verbosity(logging.WARNING)
        study = optuna.create_study(direction=f"{self.mode}imize", pruner=self.pruner)
        for path in sorted(self.folder.parent.glob("*/run.json")):
            if path.parent == self.folder:
                continue
            scores = _read_scores(path.parent, self.monitor)
            if _status(path) in COUNTED and scores:
                best = max(scores.values()) if self.mode == "max" else min(scores.values())
                with warnings.catch_warnings():
                    # Adding finished trials still counts as experimental there.
                    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                    ended = optuna.trial.create_trial(value=best, intermediate_values=scores)
                    study.add_trial(ended)
        trial = study.ask()
        for epoch, score in sorted(own.items()):
            trial.report(score, epoch)
        return bool(trial.should_prune())


class PrunedError(Exception):
    """A run that was given up on purpose: neither finished nor failed."""


def check_pruned(trainer: lightning.Trainer) -> None:
    """After the training.

    Raises:
        PrunedError: If a callback has ended it for want of prospects.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, SweepPruning) and callback.pruned:
            leave_together(trainer)
            raise PrunedError(callback.pruned)


def _status(path: Path) -> str | None:
    """What a ``run.json`` says of a cell; None where it is damaged."""
    try:
        info = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    status = info.get("status") if isinstance(info, dict) else None
    return status if isinstance(status, str) else None


def _read_scores(folder: Path, monitor: str) -> dict[int, float]:
    """A run's validation score by epoch, as far as it has come; none where it is damaged."""
    history = folder / "history.csv"
    try:
        with history.open(newline="", encoding="utf-8") as file:
            return {int(row["epoch"]): float(row[monitor]) for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return {}
