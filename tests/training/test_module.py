import math
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import lightning
import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mmemo.data.batch import Batch
from mmemo.errors import InputError
from mmemo.training.losses import CrossEntropy
from mmemo.training.module import EmotionModule

LOGITS = torch.tensor([[2.0, 0.0], [0.0, 0.0], [0.0, 1.0]])


class Fixed(nn.Module):
    """Gives the logits that it was built with."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits.clone())

    def forward(self, batch: Batch) -> Tensor:
        return self.logits


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> EmotionModule:
    loss = CrossEntropy("cross_entropy")
    module = EmotionModule(Fixed(LOGITS), 2, loss, partial(torch.optim.AdamW, lr=0.1))
    module.logged = {}  # type: ignore[assignment]
    monkeypatch.setattr(module, "log", lambda name, value, **_: module.logged.update({name: value}))
    monkeypatch.setattr(
        module, "log_dict", lambda metrics, **_: module.logged.update(metrics.compute())
    )
    return module


def batch() -> Batch:
    return Batch(("a", "b", "c"), torch.tensor([0, 1, 1]), None, None)


def test_loss_is_the_mean_cross_entropy(module: EmotionModule) -> None:
    loss = module.training_step(batch(), 0)
    by_hand = LOGITS.log_softmax(dim=1)
    expected = -(by_hand[0, 0] + by_hand[1, 1] + by_hand[2, 1]) / 3
    torch.testing.assert_close(loss.detach(), expected)
    torch.testing.assert_close(module.logged["train/loss"].compute(), expected)  # type: ignore[index]


def test_metrics_of_validation(module: EmotionModule) -> None:
    module.validation_step(batch(), 0)
    # Predicted 0, 0, 1 of 0, 1, 1: F1 is 2/3 for either class.
    assert float(module.logged["val/accuracy"]) == pytest.approx(2 / 3)  # type: ignore[index]
    assert float(module.logged["val/macro_f1"]) == pytest.approx(2 / 3)  # type: ignore[index]


def test_predictions_are_probabilities(module: EmotionModule) -> None:
    keys, probabilities = module.predict_step(batch(), 0)
    assert keys == ("a", "b", "c")
    torch.testing.assert_close(probabilities[1], torch.tensor([0.5, 0.5]))
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(3))


def test_class_weights_are_in_the_training_loss_alone(
    module: EmotionModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = module.training_step(batch(), 0).detach()
    module.loss = CrossEntropy("weighted", balance_classes=True)
    monkeypatch.setattr(EmotionModule, "trainer", fake_trainer(train_counts=[1, 3]))
    module.on_fit_start()
    # 4 / (2 * 1) and 4 / (2 * 3): three to one.
    by_hand = LOGITS.log_softmax(dim=1)
    expected = -(3 * by_hand[0, 0] + by_hand[1, 1] + by_hand[2, 1]) / 5
    torch.testing.assert_close(module.training_step(batch(), 0).detach(), expected)
    module.validation_step(batch(), 0)
    torch.testing.assert_close(module.logged["val/loss"].compute(), plain)  # type: ignore[index]
    assert not any("weights" in name for name in module.state_dict())


def test_the_logged_loss_is_that_of_all_utterances(module: EmotionModule) -> None:
    """Batches of 3 and of 1 count by their utterances."""
    by_hand = -LOGITS.log_softmax(dim=1)[[0, 1, 2], [0, 1, 1]]
    module.training_step(batch(), 0)
    module.classifier.logits = nn.Parameter(LOGITS[:1])
    module.training_step(Batch(("d",), torch.tensor([0]), None, None), 1)
    expected = (by_hand.sum() + by_hand[0]) / 4
    torch.testing.assert_close(module.logged["train/loss"].compute(), expected)  # type: ignore[index]


def test_a_loss_that_is_not_finite_stops_before_the_optimizer(
    module: EmotionModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EmotionModule, "trainer", fake_trainer())
    module.training_step(batch(), 0)
    module.on_after_backward()
    module.classifier.logits.data[1] = math.nan
    module.training_step(batch(), 0)
    said = (
        r"training loss: expected a finite number, got nan in epoch 2, step 7, from b \(the batch: "
        r"a, b, c\); lower optimizer\.lr, .* resume it with .* trainer\.max_epochs=2"
    )
    with pytest.raises(InputError, match=said):
        module.on_after_backward()
    module.validation_step(batch(), 0)
    with pytest.raises(InputError, match="validation loss: expected a finite number, got nan"):
        module.on_validation_epoch_end()


class Once(lightning.LightningDataModule):
    """A batch that is given twice an epoch; its loss is far from what clipping leaves alone."""

    def train_counts(self) -> list[int]:
        return [1, 2]

    def train_dataloader(self) -> DataLoader[Batch]:
        return DataLoader([batch(), batch()], batch_size=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_fused_and_clipped_in_every_precision(precision: str, tmp_path: Path) -> None:
    """Plain descent by clipped gradients is the reference: AdamW would hide their size."""
    optimizer = partial(torch.optim.SGD, lr=0.5, fused=True)
    module = EmotionModule(Fixed(10 * LOGITS), 2, CrossEntropy("plain"), optimizer)
    scaler = torch.amp.GradScaler("cpu") if precision == "16-mixed" else None
    plugins = [] if precision == "32-true" else [MixedPrecision(precision, "cpu", scaler)]  # type: ignore[arg-type]
    trainer = lightning.Trainer(
        accelerator="cpu", plugins=plugins, max_epochs=1, gradient_clip_val=0.01, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(module, datamodule=Once())
    expected = nn.Parameter(10 * LOGITS)
    reference = torch.optim.SGD([expected], lr=0.5)
    for _ in range(2):
        reference.zero_grad()
        nn.functional.cross_entropy(expected, batch().target).backward()
        nn.utils.clip_grad_norm_([expected], 0.01)
        reference.step()
    torch.testing.assert_close(module.classifier.logits, expected)


def fake_trainer(train_counts: list[int] | None = None, **values: object) -> SimpleNamespace:
    datamodule = SimpleNamespace(train_counts=lambda: train_counts)
    return SimpleNamespace(datamodule=datamodule, current_epoch=2, global_step=7, **values)
