"""The last state is that of the last epoch, also where another was better."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.utils.data import DataLoader

from mmemo.training.callbacks import EpochCheckpoint

LOSSES = [1.0, 0.5, 0.8, 0.9, 0.4]


class Scripted(lightning.LightningModule):
    """Two steps an epoch; the validation losses are known."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch: Tensor, index: int) -> Tensor:
        return self.weight * batch.sum()

    def validation_step(self, batch: Tensor, index: int) -> None:
        self.log("val/loss", LOSSES[self.current_epoch])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Counting(EpochCheckpoint):
    """Keeps the names of what is written, by epoch, and what the last one held behind it."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401
        super().__init__(**options)
        self.written: list[list[str]] = [[] for _ in LOSSES]
        self.last: list[tuple[int, int]] = []

    def _save_checkpoint(self, trainer: lightning.Trainer, filepath: str) -> None:
        self.written[trainer.current_epoch].append(Path(filepath).stem)
        super()._save_checkpoint(trainer, filepath)

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        if self.last_model_path:
            state = torch.load(self.last_model_path, weights_only=False)
            self.last.append((state["epoch"], state["global_step"]))


def fitted(folder: Path, **options: Any) -> Counting:  # noqa: ANN401
    checkpoint = Counting(
        dirpath=folder,
        filename="best-{epoch:02d}",
        auto_insert_metric_name=False,
        monitor="val/loss",
        enable_version_counter=False,
        save_on_train_epoch_end=True,
        **options,
    )
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=len(LOSSES), callbacks=[checkpoint], logger=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=1,
    )  # fmt: skip
    data = DataLoader(torch.ones(2, 1), batch_size=1)
    trainer.fit(Scripted(), data, data)
    assert trainer.state.fn == TrainerFn.FITTING
    return checkpoint


def test_the_last_state_is_kept_of_every_epoch_and_written_once(tmp_path: Path) -> None:
    checkpoint = fitted(tmp_path, save_last=True)
    assert checkpoint.last == [(epoch, 2 * (epoch + 1)) for epoch in range(5)]
    best = ["best-00", "last"], ["best-01", "last"], ["last"], ["last"], ["best-04", "last"]
    assert checkpoint.written == list(best)
    assert {path.name for path in tmp_path.iterdir()} == {"best-04.ckpt", "last.ckpt"}
    state = torch.load(tmp_path / "last.ckpt", weights_only=False)
    # The gradient is 1 and the rate 0.1, in ten steps.
    assert float(state["state_dict"]["weight"]) == pytest.approx(-1.0)


def test_none_is_kept_where_none_is_wanted(tmp_path: Path) -> None:
    checkpoint = fitted(tmp_path, save_last=None)
    assert checkpoint.last == []
    assert [path.name for path in tmp_path.iterdir()] == ["best-04.ckpt"]
