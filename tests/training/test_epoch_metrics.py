"""What training logs is what evaluation tells of the same answers."""

from __future__ import annotations

from functools import partial
from itertools import product

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassCohenKappa

from mmemo.errors import InputError
from mmemo.evaluation.confusion_scores import METRICS, Tallies, metric_of
from mmemo.evaluation.own_metrics import Answers, OwnMetric
from mmemo.training.epoch_metrics import (
    OfProbabilities,
    OfRows,
    named_metric,
    standard_metrics,
)
from mmemo.training.monitored_scores import MonitoredScores, unlogged_metrics

CLASSES = ("anger", "joy", "neutral", "fear")


def batches(seed: int, num_classes_there: int) -> list[tuple[Tensor, Tensor]]:
    """Three batches of logits (B, C) and targets (B,)."""
    generator = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randn(size, len(CLASSES), generator=generator),
            torch.randint(num_classes_there, (size,), generator=generator),
        )
        for size in (7, 9, 4)
    ]


def tallies(given: list[tuple[Tensor, Tensor]]) -> Tallies:
    pred = torch.cat([logits.argmax(dim=1) for logits, _ in given])
    target = torch.cat([target for _, target in given])
    confusion = np.zeros((len(CLASSES),) * 2)
    np.add.at(confusion, (target.numpy(), pred.numpy()), 1)
    return Tallies.of(confusion)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("num_there", [4, 3], ids=["all", "one class absent"])
def test_training_and_evaluation_agree(seed: int, num_there: int) -> None:
    given = batches(seed, num_there)
    names = [f"{kind}_{name}" for kind in ("recall", "precision", "f1") for name in CLASSES]
    names += ["wa", "balanced_accuracy"]
    logged = MetricCollection(
        {**standard_metrics(len(CLASSES)), **{n: named_metric(n, CLASSES) for n in names}}
    )
    for logits, target in given:
        logged.update(logits, target)
    counted = tallies(given)
    found = {name: float(value) for name, value in logged.compute().items()}
    assert set(found) == {*METRICS, *names}
    for name, value in found.items():
        assert value == pytest.approx(float(metric_of(name, CLASSES)(counted)), abs=1e-6), name
    logged.reset()
    logits, target = given[0]
    logged.update(logits, target)
    assert float(logged.compute()["recall_joy"]) == pytest.approx(
        float(metric_of("recall_joy", CLASSES)(tallies(given[:1]))), abs=1e-6
    )


@pytest.mark.parametrize("num_classes", [2, 3])
def test_few_answers_of_few_classes_agree(num_classes: int) -> None:
    classes = range(num_classes)
    metrics = standard_metrics(num_classes)
    for target, pred in product(product(classes, repeat=3), repeat=2):
        confusion = np.zeros((num_classes, num_classes))
        np.add.at(confusion, (np.array(target), np.array(pred)), 1)
        for name in ("accuracy", "uar", "mcc"):
            metrics[name].reset()
            metrics[name].update(torch.eye(num_classes)[list(pred)], torch.tensor(target))
            expected = float(METRICS[name](Tallies.of(confusion)))
            assert float(metrics[name].compute()) == pytest.approx(expected, abs=1e-6)


def cross_entropy(probabilities: np.ndarray, target: np.ndarray, base: float = np.e) -> float:
    return float(log_loss(target, probabilities, labels=range(len(CLASSES))) / np.log(base))


def test_metrics_of_ones_own_are_logged_as_they_are_evaluated() -> None:
    given = batches(0, 4)
    logits, target = (torch.cat(parts) for parts in zip(*given, strict=True))
    probabilities = torch.softmax(logits.double(), dim=1).numpy()
    answers = Answers(probabilities.argmax(axis=1), target.numpy(), probabilities)
    bits = OwnMetric("bits", "min", partial(cross_entropy, base=2), is_torchmetrics=False)
    kappa = OwnMetric("kappa", "max", partial(MulticlassCohenKappa, 4), is_torchmetrics=True)
    expected = torch.nn.functional.cross_entropy(logits.double(), target) / np.log(2)
    assert bits.score(answers) == pytest.approx(float(expected))
    logged = MetricCollection(
        {
            "bits": OfRows(lambda preds, target, p: bits.score(Answers(preds, target, p))),
            "kappa": OfProbabilities(kappa.build()),
        }
    ).clone(prefix="val/")
    for batch in given:
        logged.update(*batch)
    found = logged.compute()
    assert float(found["val/bits"]) == pytest.approx(bits.score(answers), abs=1e-6)
    assert float(found["val/kappa"]) == pytest.approx(kappa.score(answers), abs=1e-6)
    logged.reset()
    logged.update(*given[0])
    assert float(logged.compute()["val/kappa"]) == pytest.approx(
        kappa.score(answers.only(np.arange(7))), abs=1e-6
    )


def test_a_metric_that_fails_is_named() -> None:
    def fails(preds: np.ndarray) -> float:
        raise KeyError("arousal")

    answers = Answers(np.zeros(3, np.int64), np.zeros(3, np.int64), np.ones((3, 1)))
    with pytest.raises(InputError, match="metrics.mine: expected a number of 3 .* KeyError"):
        OwnMetric("mine", "max", fails, is_torchmetrics=False).score(answers)


def test_directions_follow_from_the_table_and_from_own_metrics() -> None:
    scores = MonitoredScores(CLASSES, {"bits": "min"})
    best = {"loss": "min", "uar": "max", "wa": "max", "mcc": "max", "recall_fear": "max"}
    for name, direction in {**best, "bits": "min"}.items():
        assert scores.direction(f"val/{name}") == direction
        scores.check("callbacks.checkpoint", f"val/{name}", direction, on_training=False)
    for unknown in ("val/recall_disgust", "val/kappa", "test/uar", "uar", None):
        assert scores.direction(unknown) == "unknown"
        said = "one of val/loss, val/accuracy, .* val/uar, .* val/recall_fear, .* val/bits; got"
        with pytest.raises(InputError, match=said):
            scores.check("callbacks.checkpoint", unknown, None, on_training=False)
    with pytest.raises(InputError, match="mode: expected min, which is better of val/bits"):
        scores.check("callbacks.checkpoint", "val/bits", "max", on_training=False)
    with pytest.raises(InputError, match="metrics.bits.direction: expected min or max"):
        MonitoredScores(None, {"bits": "none"}).check("x", "val/bits", None, on_training=False)


def test_what_is_monitored_is_logged_once() -> None:
    monitors = ["val/loss", "val/recall_joy", None, "val/recall_joy", "val/uar", "val/bits"]
    assert list(unlogged_metrics(monitors, ["bits"])) == ["recall_joy"]
