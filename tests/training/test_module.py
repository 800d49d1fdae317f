from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from mmemo.data.batch import Batch
from mmemo.training.module import EmotionModule, decay_groups


class Fixed(nn.Module):
    """Gives the logits that it was built with."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, batch: Batch) -> Tensor:
        return self.logits


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> EmotionModule:
    logits = torch.tensor([[2.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    module = EmotionModule(Fixed(logits), 2, partial(torch.optim.AdamW, lr=0.1))
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
    by_hand = torch.tensor([[2.0, 0.0], [0.0, 0.0], [0.0, 1.0]]).log_softmax(dim=1)
    expected = -(by_hand[0, 0] + by_hand[1, 1] + by_hand[2, 1]) / 3
    torch.testing.assert_close(loss.detach(), expected)
    assert module.logged["train/loss"] is loss  # type: ignore[index]


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


def test_biases_and_norms_are_not_decayed() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Embedding(5, 4))
    model[2].weight.requires_grad_(False)
    optimizer = torch.optim.AdamW(decay_groups(model), lr=0.1, weight_decay=0.01)
    decayed, spared = optimizer.param_groups
    assert [p.shape for p in decayed["params"]] == [(4, 3)]
    assert [p.shape for p in spared["params"]] == [(4,), (4,), (4,)]
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.01, 0.0)


def test_class_weights_are_in_the_training_loss_alone(
    module: EmotionModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = module.training_step(batch(), 0).detach()
    module.weigh_classes = lambda counts: torch.tensor(counts, dtype=torch.float32)
    monkeypatch.setattr(EmotionModule, "trainer", fake_trainer([3, 1]))
    module.on_fit_start()
    by_hand = torch.tensor([[2.0, 0.0], [0.0, 0.0], [0.0, 1.0]]).log_softmax(dim=1)
    expected = -(3 * by_hand[0, 0] + by_hand[1, 1] + by_hand[2, 1]) / 5
    torch.testing.assert_close(module.training_step(batch(), 0).detach(), expected)
    module.validation_step(batch(), 0)
    torch.testing.assert_close(module.logged["val/loss"].detach(), plain)  # type: ignore[index]
    assert not any("weights" in name for name in module.state_dict())


def fake_trainer(counts: list[int]) -> SimpleNamespace:
    return SimpleNamespace(datamodule=SimpleNamespace(train_counts=lambda: counts))
