"""A batch that two processes share is the batch of one: losses, gradients, and where it stops."""

import math
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from mmemo.data.batch import Batch, TextInput
from mmemo.errors import InputError
from mmemo.training.losses import CrossEntropy
from mmemo.training.module import EmotionModule
from tests.forking import Forking

VALUES = torch.tensor([[2.0, 0.5], [-1.0, 0.2], [0.3, 0.0], [0.7, -2.0]])
TARGET = torch.tensor([0, 1, 0, 0])
SHARES = (slice(0, 3), slice(3, 4))


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        nn.init.constant_(self.linear.weight, 0.1)
        nn.init.zeros_(self.linear.bias)

    def forward(self, batch: Batch) -> Tensor:
        assert batch.text is not None
        return self.linear(batch.text.input_ids)


class Step(nn.Module):
    """What Lightning wraps for several processes: the training step as a forward pass."""

    def __init__(self) -> None:
        super().__init__()
        loss = CrossEntropy("weighted", balance_classes=True, label_smoothing=0.1)
        loss.use_class_counts([3, 1])
        self.module = EmotionModule(Linear(), 2, loss, partial(torch.optim.AdamW, lr=0.1))
        self.module.log = self.module.log_dict = lambda *_, **__: None  # type: ignore[method-assign]

    def forward(self, part: slice) -> Tensor:
        values = VALUES[part]
        keys = tuple(f"utterance {i}" for i in range(4))[part]
        text = TextInput(values, torch.ones_like(values, dtype=torch.bool))
        return self.module.training_step(Batch(keys, TARGET[part], None, text), 0)


def take_steps(step: Step, wrapped: nn.Module, part: slice) -> dict[str, Any]:
    """Gradients and logged loss of one step, and what is said of one that is not finite."""
    wrapped(part).backward()
    gradients = [p.grad.clone() for p in step.parameters() if p.grad is not None]
    epoch_loss = step.module.epoch_loss["fit"].compute()  # type: ignore[operator]
    trainer: Any = SimpleNamespace(current_epoch=0, global_step=1)
    type(step.module).trainer = trainer  # type: ignore[assignment,method-assign]
    step.module.on_after_backward()
    VALUES[3] = math.nan
    wrapped(part).backward()
    try:
        step.module.on_after_backward()
    except InputError as error:
        return {"gradients": gradients, "loss": epoch_loss, "error": str(error)}
    return {}


def work(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    step = Step()
    torch.save(take_steps(step, DistributedDataParallel(step), SHARES[rank]), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_take_the_step_of_one(forking: Forking, tmp_path: Path) -> None:
    for process in [forking.start(work, rank, tmp_path, folder=tmp_path) for rank in range(2)]:
        assert process.ended() == 0, process.stderr.read_text()
    step = Step()
    trainer, values = EmotionModule.trainer, VALUES.clone()
    try:
        alone = take_steps(step, step, slice(0, 4))
    finally:
        EmotionModule.trainer = trainer  # type: ignore[method-assign]
        VALUES.copy_(values)
    for rank in range(2):
        shared = torch.load(tmp_path / f"{rank}.pt")
        torch.testing.assert_close(shared["gradients"], alone["gradients"])
        torch.testing.assert_close(shared["loss"], alone["loss"])
        assert shared["error"] == alone["error"]
    assert "from utterance 3 (the batch: utterance 0, utterance 1, utterance 2" in alone["error"]
