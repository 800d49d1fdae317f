"""What a training step is: loss, optimizer, schedule, logged metrics."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import lightning
import torch
from torch import Tensor, distributed, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import Metric, MetricCollection

from mmemo.data.batch import Batch
from mmemo.models.classifier import EmotionClassifier
from mmemo.models.fusion import embedding_of
from mmemo.models.precision import at_least_float32
from mmemo.models.trainable import trains_every_weight
from mmemo.training.distillation import Responses, Teaching
from mmemo.training.epoch_metrics import standard_metrics
from mmemo.training.finite_loss import WatchedLoss, not_finite
from mmemo.training.losses import CrossEntropy, EpochLoss
from mmemo.training.parameter_groups import build_optimizer
from mmemo.training.schedules import LENGTHS, build_schedule


class EmotionModule(lightning.LightningModule):
    """Trains an emotion classifier.

    The loss of a step is that of the whole batch, whatever processes it is shared among: the sum
    of all utterances' losses over the sum of their weights. The validation loss is plain
    cross-entropy: runs with different training losses can be compared.

    Logs ``{train,val}/loss``, ``/accuracy`` (share of correct utterances), ``/macro_f1``,
    ``/weighted_f1``, ``/uar`` and ``/mcc`` once an epoch; the training values are those of the
    steps, with dropout on.

    Args:
        classifier: From a batch to logits (B, C).
        num_classes: C.
        loss: Loss of each training utterance.
        optimizer: Builds the optimizer from parameter groups.
        scheduler: Builds the schedule, stepped after each step; see ``build_schedule``. None for a
            constant learning rate.
        encoder_learning_rate: Rate of the encoders' models; None for the optimizer's.
        layer_decay: Share of its learning rate that an encoder's layer hands to the one below.
        metrics: Others to be logged, by name; each takes logits (B, C) and targets (B,).
    """

    def __init__(
        self,
        classifier: nn.Module,
        num_classes: int,
        loss: CrossEntropy,
        optimizer: Callable[[list[dict[str, Any]]], Optimizer],
        scheduler: Callable[..., LRScheduler] | None = None,
        encoder_learning_rate: float | None = None,
        layer_decay: float = 1.0,
        metrics: Mapping[str, Metric] | None = None,
    ) -> None:
        super().__init__()
        self.classifier = classifier
        self.loss = loss
        self.optimizer_builder = optimizer
        self.build_scheduler = scheduler
        self.encoder_learning_rate = encoder_learning_rate
        self.layer_decay = layer_decay
        # A teacher's; set before training where there is one, and no part of the saved state.
        self.teaching: Teaching | None = None
        self.watched: WatchedLoss | None = None
        self.batch_loss = torch.tensor(math.nan)
        logged = MetricCollection({**standard_metrics(num_classes), **(metrics or {})})
        self.metrics = nn.ModuleDict(
            {"fit": logged.clone(prefix="train/"), "validate": logged.clone(prefix="val/")}
        )
        self.epoch_loss = nn.ModuleDict({stage: EpochLoss() for stage in self.metrics})

    @property
    def trains_every_weight(self) -> bool:
        """Whether each step reaches every trained parameter; False where that is not known."""
        return all(trains_every_weight(part) for part in (self.classifier, self.loss))

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, C)."""
        logits: Tensor = self.classifier(batch)
        return logits

    def setup(self, stage: str) -> None:
        """Leave batches as they are whatever the precision of the weights.

        Lightning would convert them (and refuses a frozen dataclass): an encoder that begins
        with a spectrum needs its sound in float32, and every encoder converts what it then needs.
        """
        self.trainer.precision_plugin.convert_input = lambda data: data  # type: ignore[method-assign]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the schedule's length from this run: trainer.max_epochs may be another now."""
        for state in checkpoint.get("lr_schedulers", []):
            for name in LENGTHS:
                state.pop(name, None)

    def on_fit_start(self) -> None:
        """Tell the loss how many utterances each class has in the training split."""
        self.loss.use_class_counts(self.trainer.datamodule.train_counts())  # type: ignore[attr-defined]
        self.loss.to(self.device)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of this process' share; the mean over the processes is the batch's."""
        logits, taught = self._answered(batch)
        # A loss of the user's own need not know of votes.
        needs_votes = getattr(self.loss, "needs_votes", False)
        target = batch.votes if needs_votes and batch.votes is not None else batch.target
        losses = self.loss(at_least_float32(logits), target)
        weights = self.loss.weights(target)
        self._log(batch, logits, losses, weights, "fit", "train")
        total, weight = sums = torch.stack([losses.detach().sum(), weights.sum()])
        num_processes = 1
        if distributed.is_available() and distributed.is_initialized():
            num_processes = distributed.get_world_size()
            distributed.all_reduce(sums)
        # Relations to a teacher are of the whole batch, and of no utterance.
        self.watched = WatchedLoss(batch.keys, losses, total + taught.detach())
        self.batch_loss = total / weight + taught.detach()
        loss: Tensor = (losses.sum() / weight + taught) * num_processes
        return loss

    def _answered(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits (B, C) and what a teacher adds to the loss, 0 without one."""
        if self.teaching is None:
            return self(batch), torch.zeros((), device=batch.target.device)
        classifier = cast(EmotionClassifier, self.classifier)
        fused = classifier.fuse(classifier.encode(batch))
        logits = classifier.answer(fused, batch.dialogues)[: len(batch)]
        vectors = embedding_of(fused)[: len(batch)]
        return logits, self.teaching.loss(batch.keys, Responses(logits, vectors))

    def on_after_backward(self) -> None:
        """Stop before the optimizer's step where the loss is not finite."""
        if self.watched is not None:
            self.watched.check(self.trainer.current_epoch, self.trainer.global_step)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss and metrics on validation."""
        logits = self(batch)
        losses = nn.functional.cross_entropy(
            at_least_float32(logits), batch.target, reduction="none"
        )
        self._log(batch, logits, losses, torch.ones_like(losses), "validate", "val")

    def on_validation_epoch_end(self) -> None:
        """Stop before an epoch is saved whose last step has spoilt the weights."""
        loss = float(self.epoch_loss["validate"].compute())  # type: ignore[operator]
        if not math.isfinite(loss):
            where = "over the whole split"
            raise not_finite("validation", loss, self.trainer.current_epoch, where)

    def _log(
        self,
        batch: Batch,
        logits: Tensor,
        losses: Tensor,
        weights: Tensor,
        stage: str,
        split: str,
    ) -> None:
        """Note losses (B,), weighted already, and weights (B,)."""
        metrics, epoch_loss = self.metrics[stage], self.epoch_loss[stage]
        metrics.update(logits, batch.target)  # type: ignore[operator]
        epoch_loss.update(losses, weights)  # type: ignore[operator]
        options: dict[str, Any] = {"on_step": False, "on_epoch": True, "batch_size": len(batch)}
        self.log(f"{split}/loss", epoch_loss, prog_bar=True, **options)  # type: ignore[arg-type]
        self.log_dict(metrics, **options)  # type: ignore[arg-type]

    def predict_step(self, batch: Batch, batch_idx: int) -> tuple[tuple[str, ...], Tensor]:
        """Keys and class probabilities (B, C)."""
        return batch.keys, torch.softmax(self(batch).float(), dim=1)

    def build_optimizer(self) -> Optimizer:
        """The optimizer over the parameter groups.

        Raises:
            InputError: If a rate is out of range, or an encoder has no layers.
        """
        return build_optimizer(
            self.optimizer_builder, self.classifier, self.encoder_learning_rate, self.layer_decay
        )

    def configure_optimizers(self) -> Any:  # noqa: ANN401
        """Optimizer over the parameter groups, and the schedule."""
        optimizer = self.build_optimizer()
        if optimizer.defaults.get("fused"):
            # In mixed precision a fused optimizer offers to undo the scaling of the gradients
            # itself. Lightning refuses to clip then; without the offer it undoes it before.
            optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
        if self.build_scheduler is None:
            return optimizer
        num_steps = int(self.trainer.estimated_stepping_batches)
        scheduler = build_schedule(self.build_scheduler, optimizer, num_steps)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]
