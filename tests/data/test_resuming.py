"""The batches that a trainer is given, with and without an interruption."""

from pathlib import Path

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn

from mmemo.audio.prepared import PreparedCorpus
from mmemo.corpora.splits import OfficialSplit
from mmemo.corpora.utterance import LabelSet
from mmemo.data.batch import Batch
from mmemo.data.datamodule import EmotionDataModule
from tests.data.test_datamodule import Lengths

Step = tuple[int, int, tuple[str, ...]]


class Recorder(lightning.LightningModule):
    """Notes the epoch, the number and the keys of each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.steps: list[Step] = []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.steps.append((self.current_epoch, batch_idx, batch.keys))
        loss: Tensor = self.layer(batch.target[:, None].float()).sum()
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        # As a schedule does, this starts the loader before the epoch of a checkpoint is known.
        assert self.trainer.estimated_stepping_batches == 15
        return torch.optim.SGD(self.parameters(), 1e-3)


def fit(
    prepared: PreparedCorpus,
    labels: LabelSet,
    num_workers: int,
    checkpoint: ModelCheckpoint | None = None,
    resumed: tuple[Path, int, int] | None = None,
) -> list[Step]:
    datamodule = EmotionDataModule(
        prepared, labels, None, Lengths(), 2, 2, 1.0, num_workers, seed=3, split=OfficialSplit()
    )
    module = Recorder()
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=3,
        limit_val_batches=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=checkpoint is not None,
        callbacks=[checkpoint] if checkpoint else [],
        use_distributed_sampler=False,
    )
    if resumed is not None:
        datamodule.resume_at(*resumed[1:])
    path = resumed[0] if resumed else None
    trainer.fit(module, datamodule, ckpt_path=path, weights_only=True)
    return module.steps


@pytest.mark.filterwarnings("ignore:.*your dataloader is not resumable")
@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_resumed_run_sees_the_batches_of_an_undisturbed_one(
    prepared: PreparedCorpus, five: LabelSet, tmp_path: Path, num_workers: int
) -> None:
    checkpoint = ModelCheckpoint(
        tmp_path / "c", "{step}", save_top_k=-1, every_n_train_steps=1, save_last=False
    )
    whole = fit(prepared, five, num_workers, checkpoint)
    assert [step[:2] for step in whole] == [(e, i) for e in range(3) for i in range(5)]
    epochs = [[keys for epoch, _, keys in whole if epoch == number] for number in range(3)]
    assert all(len({key for keys in epoch for key in keys}) == 10 for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]

    # After the last batch of an epoch Lightning counts it as done or not, as the state was saved.
    for epoch, num_batches in ((0, 2), (1, 3), (1, 5), (2, 0)):
        done = 5 * epoch + num_batches
        path = tmp_path / "c" / f"step={done}.ckpt"
        resumed = fit(prepared, five, num_workers, resumed=(path, epoch, num_batches))
        assert resumed == whole[done:]


def test_a_run_resumed_between_epochs_begins_the_next_one(
    prepared: PreparedCorpus, five: LabelSet, tmp_path: Path
) -> None:
    checkpoint = ModelCheckpoint(
        tmp_path / "c", "{epoch}", save_top_k=-1, every_n_epochs=1, save_on_train_epoch_end=True
    )
    whole = fit(prepared, five, 1, checkpoint)
    resumed = fit(prepared, five, 1, resumed=(tmp_path / "c" / "epoch=1.ckpt", 2, 0))
    assert resumed == whole[10:]
