"""Metrics of the user's own, from the config group to a number, or to what is wrong with them."""

from __future__ import annotations

import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf
from sklearn.metrics import cohen_kappa_score

from mmemo.errors import InputError
from mmemo.evaluation.own_metrics import Answers
from mmemo.runs.own_metrics import build_own_metrics, own_directions

CLASSES = ("anger", "joy", "neutral")
HERE = __name__
RANDOM = np.random.default_rng(0)
PROBABILITIES = RANDOM.dirichlet(np.ones(3), size=50)
ANSWERS = Answers(PROBABILITIES.argmax(axis=1), RANDOM.integers(3, size=50), PROBABILITIES)


def share_of(target: np.ndarray, name: str, classes: list[str]) -> float:
    return float((target == classes.index(name)).mean())


def of_no_answers(threshold: float) -> float:
    return threshold


def no_number(preds: np.ndarray) -> str:
    return "many"


class NoMetric:
    pass


def group(**entries: object) -> DictConfig:
    return OmegaConf.create({"metrics": entries})


def test_a_class_of_torchmetrics_is_given_probabilities_and_tells_its_direction() -> None:
    cfg = group(kappa={"_target_": "torchmetrics.classification.MulticlassCohenKappa"})
    (kappa,) = build_own_metrics(cfg, CLASSES)
    assert (kappa.name, kappa.direction) == ("kappa", "max")
    expected = cohen_kappa_score(ANSWERS.target, ANSWERS.preds)
    for _ in range(2):
        assert kappa.score(ANSWERS) == pytest.approx(expected, abs=1e-6), "nothing is kept"
    cfg = group(ece={"_target_": "torchmetrics.classification.MulticlassCalibrationError"})
    assert own_directions(cfg) == {"ece": "min"}


def test_a_function_is_given_what_it_names() -> None:
    entry = {"_target_": f"{HERE}.share_of", "name": "joy", "direction": "max"}
    (share,) = build_own_metrics(group(joys=entry), CLASSES)
    assert share.score(ANSWERS) == pytest.approx((ANSWERS.target == 1).mean())
    assert build_own_metrics(OmegaConf.create({}), CLASSES) == ()


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"_target_": f"{HERE}.share_of", "name": "joy"}, "mine.direction: .* got none"),
        ({"_target_": f"{HERE}.share_of", "name": "joy", "direction": "up"}, "max, .* got up"),
        ({"_target_": f"{HERE}.share_of", "name": "fear", "direction": "max"}, "'fear' is not in"),
        ({"_target_": f"{HERE}.of_no_answers", "direction": "max"}, "any of preds, target, prob"),
        ({"_target_": f"{HERE}.no_number", "direction": "max"}, "mine: expected a number .* Value"),
        ({"_target_": f"{HERE}.NoMetric", "direction": "max"}, "a class of torchmetrics or a func"),
        ({"_target_": f"{HERE}.nowhere", "direction": "max"}, "that can be imported, got .*nowher"),
        (
            {"_target_": "torchmetrics.classification.MulticlassCohenKappa", "weights": "odd"},
            "mine: expected settings that torchmetrics.classification.MulticlassCohenKappa",
        ),
    ],
)
def test_what_is_no_metric_is_told_before_anything_is_trained(
    entry: dict[str, str], said: str
) -> None:
    with pytest.raises(InputError, match=f"metrics.*{said}"):
        build_own_metrics(group(mine=entry), CLASSES)
