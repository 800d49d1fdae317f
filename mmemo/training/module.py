"""What a training step is: loss, optimizer, schedule, logged metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from mmemo.data.batch import Batch


class EmotionModule(lightning.LightningModule):
    """Trains an emotion classifier with cross-entropy.

    Class weights are in the training loss alone: validation losses of runs with and without
    them can be compared.

    Logs ``{train,val}/loss``, ``/accuracy`` (share of correct utterances) and ``/macro_f1`` once
    an epoch; the training values are those of the steps, with dropout on.

    Args:
        classifier: From a batch to logits (B, C).
        num_classes: C.
        optimizer: Builds the optimizer from parameter groups.
        scheduler: Builds the schedule from the optimizer and the number of steps, stepped after
            each; None for a constant learning rate.
        class_weights: Gives the classes' weights (C,) from their counts in training; None for
            equal ones.
    """

    def __init__(
        self,
        classifier: nn.Module,
        num_classes: int,
        optimizer: Callable[[list[dict[str, Any]]], Optimizer],
        scheduler: Callable[[Optimizer, int], LRScheduler] | None = None,
        class_weights: Callable[[Sequence[int]], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.classifier = classifier
        self.build_optimizer = optimizer
        self.build_scheduler = scheduler
        self.weigh_classes = class_weights
        self.class_weights: Tensor | None = None
        metrics = MetricCollection(
            {
                "accuracy": MulticlassAccuracy(num_classes, average="micro"),
                "macro_f1": MulticlassF1Score(num_classes, average="macro"),
            }
        )
        self.metrics = nn.ModuleDict(
            {"fit": metrics.clone(prefix="train/"), "validate": metrics.clone(prefix="val/")}
        )

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, C)."""
        logits: Tensor = self.classifier(batch)
        return logits

    def on_fit_start(self) -> None:
        """Take the classes' weights from the training split."""
        if self.weigh_classes is not None:
            counts = self.trainer.datamodule.train_counts()  # type: ignore[attr-defined]
            self.class_weights = self.weigh_classes(counts).to(self.device)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Cross-entropy of the batch: the mean, weighted by class where there are weights."""
        return self._step(batch, "fit", "train", self.class_weights)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss and metrics on validation."""
        self._step(batch, "validate", "val", None)

    def _step(self, batch: Batch, stage: str, split: str, weights: Tensor | None) -> Tensor:
        logits = self(batch)
        loss = nn.functional.cross_entropy(logits, batch.target, weights)
        metrics = self.metrics[stage]
        metrics.update(logits, batch.target)  # type: ignore[operator]
        options: dict[str, Any] = {"on_step": False, "on_epoch": True, "batch_size": len(batch)}
        self.log(f"{split}/loss", loss, prog_bar=True, sync_dist=True, **options)
        self.log_dict(metrics, **options)  # type: ignore[arg-type]
        return loss

    def predict_step(self, batch: Batch, batch_idx: int) -> tuple[tuple[str, ...], Tensor]:
        """Keys and class probabilities (B, C)."""
        return batch.keys, torch.softmax(self(batch).float(), dim=1)

    def configure_optimizers(self) -> Any:  # noqa: ANN401
        """Optimizer over two parameter groups, and the schedule."""
        optimizer = self.build_optimizer(decay_groups(self.classifier))
        if self.build_scheduler is None:
            return optimizer
        num_steps = int(self.trainer.estimated_stepping_batches)
        scheduler = self.build_scheduler(optimizer, num_steps)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]


def decay_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Parameter groups: matrices as the optimizer decays them; biases and norms undecayed."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trainable if p.ndim > 1]},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
