from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import lightning
import pytest
from optuna.pruners import MedianPruner

from mmemo.training.pruning import PrunedError, SweepPruning, check_pruned


def cell(sweep: Path, name: str, losses: list[float], status: str = "finished") -> Path:
    folder = sweep / name
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"status": status}))
    rows = [f"{epoch},{loss}" for epoch, loss in enumerate(losses)]
    (folder / "history.csv").write_text("\n".join(["epoch,val/loss", *rows]) + "\n")
    return folder


def pruning(folder: Path, mode: str = "min") -> SweepPruning:
    pruner = MedianPruner(n_startup_trials=3, n_warmup_steps=1)
    return SweepPruning(folder, "val/loss", mode, pruner)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Three cells that have ended, with a median of 0.5 at epoch 1."""
    cell(tmp_path, "a", [1.0, 0.4, 0.3])
    cell(tmp_path, "b", [1.0, 0.5, 0.4])
    cell(tmp_path, "c", [1.0, 0.6], status="pruned")
    cell(tmp_path, "d", [1.0, 9.9], status="failed")
    return tmp_path


@pytest.mark.parametrize(
    ("scores", "mode", "expected"),
    [
        ({0: 1.0, 1: 0.55}, "min", True),
        ({0: 1.0, 1: 0.45}, "min", False),
        # The first epoch is every cell's.
        ({0: 9.0}, "min", False),
        # Optuna looks at the best so far.
        ({0: 0.2, 1: 0.55}, "min", False),
        ({0: 0.0, 1: 0.45}, "max", True),
        ({0: 0.0, 1: 0.55}, "max", False),
    ],
)
def test_worse_than_the_median_of_those_that_ended(
    sweep: Path, scores: dict[int, float], mode: str, expected: bool
) -> None:
    own = cell(sweep, "own", [], status="running")
    assert pruning(own, mode).is_hopeless(scores) is expected


def test_too_few_cells_prune_nothing(tmp_path: Path) -> None:
    cell(tmp_path, "a", [1.0, 0.1])
    own = cell(tmp_path, "own", [])
    assert not pruning(own).is_hopeless({0: 9.0, 1: 9.0})


def test_a_hopeless_cell_stops_after_the_epoch(sweep: Path) -> None:
    own = cell(sweep, "own", [1.0], status="running")
    callback = pruning(own)
    strategy = SimpleNamespace(reduce_boolean_decision=lambda decision, all: decision)
    trainer: Any = SimpleNamespace(
        current_epoch=1,
        callback_metrics={"val/loss": 0.8},
        strategy=strategy,
        should_stop=False,
        callbacks=[callback],
        world_size=1,
    )
    check_pruned(cast(lightning.Trainer, trainer))
    callback.on_validation_end(trainer, cast(lightning.LightningModule, None))
    assert trainer.should_stop
    with pytest.raises(PrunedError, match="val/loss 0.8 after epoch 1, worse than others"):
        check_pruned(cast(lightning.Trainer, trainer))
