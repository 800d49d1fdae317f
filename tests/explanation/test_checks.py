from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from mmemo.explanation.checks import ExplanationChecks, checks_summary, mean_interval
from mmemo.explanation.parameter_randomisation import RandomisedStage

WEIGHTS = np.linspace(0.01, 0.1, 10)


def linear(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    return masks @ WEIGHTS


def row(checks: ExplanationChecks, name: str) -> tuple[float | None, str]:
    (found,) = [r for r in checks.rows if r.name == name]
    return found.value, found.verdict


def test_an_order_by_the_weights_is_better_than_random_and_its_reverse_is_not() -> None:
    right, wrong = ExplanationChecks("a"), ExplanationChecks("b")
    right.add_order("occlusion", "text", WEIGHTS, linear, num_random=10, seed=0)
    wrong.add_order("occlusion", "text", -WEIGHTS, linear, num_random=10, seed=0)
    assert {r.verdict for r in right.rows} == {"better than random"}
    assert {r.verdict for r in wrong.rows} == {"no better than random"}
    # The highest tenth, fifth and half of the weights: 0.1, 0.19, 0.4.
    assert row(right, "comprehensiveness")[0] == pytest.approx((0.1 + 0.19 + 0.4) / 3)
    assert list(right.curves) == ["occlusion/text"]


def test_an_attribution_that_is_the_loudness_is_told() -> None:
    sound = np.repeat([0.1, 0.5, 0.3, 0.9], 4)
    checks = ExplanationChecks("a")
    checks.add_loudness("occlusion", np.array([-0.1, 0.5, -0.3, 0.9]), sound, 4)
    assert row(checks, "correlation with loudness") == (pytest.approx(1.0), "follows loudness")
    quiet = ExplanationChecks("b")
    quiet.add_loudness("occlusion", np.array([0.9, 0.2, 0.5, 0.1]), sound, 4)
    assert row(quiet, "correlation with loudness")[1] == "does not only follow loudness"


def test_methods_that_agree_and_that_do_not() -> None:
    checks = ExplanationChecks("a")
    checks.add_methods("text", WEIGHTS, WEIGHTS**2)
    assert row(checks, "rank correlation") == (pytest.approx(1.0), "they agree")
    assert row(checks, "overlap of the top 20%") == (1.0, "more than by chance")
    other = ExplanationChecks("b")
    other.add_methods("text", WEIGHTS, -WEIGHTS)
    assert row(other, "overlap of the top 20%") == (0.0, "no more than by chance")


def test_randomisation_seeds_and_convergence() -> None:
    checks = ExplanationChecks("a")
    stages = [RandomisedStage("head", 0.9), RandomisedStage("everything", 0.7)]
    checks.add_randomisation("occlusion", "audio", stages)
    assert row(checks, "correlation with a random model's") == (
        0.7,
        "survives a random model: worthless",
    )
    # Correlations 1, -1 and -1.
    checks.add_seeds("occlusion", "text", [WEIGHTS, 2 * WEIGHTS, -WEIGHTS])
    assert row(checks, "correlation across 3 seeds") == (
        pytest.approx(-1 / 3),
        "seeds do not agree",
    )
    checks.add_convergence(0.08)
    assert row(checks, "relative delta")[1] == "more than 5 % is missing"
    checks.add_seeds("occlusion", "audio", [np.ones(4), np.arange(4.0)])
    assert checks.rows[-1].value is None
    assert checks.rows[-1].verdict == ""
    json.dumps(checks.document(), allow_nan=False)


def test_a_set_is_summed_up() -> None:
    documents = []
    for delta in (0.01, 0.03, 0.2):
        checks = ExplanationChecks(str(delta))
        checks.add_convergence(delta)
        checks.add_convergence(None)
        documents.append(checks.document())
    (summary,) = checks_summary(documents)
    assert summary["mean"] == pytest.approx(0.08)
    assert summary["num"] == 3
    assert summary["verdicts"] == {"complete": 2, "more than 5 % is missing": 1}
    assert 0.01 <= summary["low"] < 0.08 < summary["high"] <= 0.2 + 1e-12


def test_one_utterance_has_no_interval() -> None:
    assert mean_interval([0.5]) == {"mean": 0.5, "low": None, "high": None}


def test_one_word_has_no_order() -> None:
    checks = ExplanationChecks("one")
    checks.add_order(
        "occlusion", "text", np.array([1.0]), lambda masks: masks[:, 0] * 0.5, num_random=3, seed=0
    )
    assert {row.verdict for row in checks.rows} == {""}
    checks.add_methods("text", np.array([1.0]), np.array([2.0]))
    assert [row.value for row in checks.rows[-2:]] == [None, None]
