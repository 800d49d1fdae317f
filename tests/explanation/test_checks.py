from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from mmemo.documents import document_text
from mmemo.explanation.checks import (
    NO_VERDICT,
    Check,
    ChecksDocument,
    CheckSettings,
    ExplanationChecks,
    RandomisedStage,
)
from mmemo.explanation.checks_summary import checks_summary
from mmemo.explanation.explanation import COMPARED

SETTINGS = CheckSettings({}, False, ())
WEIGHTS = np.linspace(0.01, 0.1, 10)


def linear(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    return masks @ WEIGHTS


def row(checks: ExplanationChecks, name: str) -> tuple[float | None, str]:
    (found,) = [r for r in checks.rows if r.name == name]
    return found.value, found.verdict


def test_an_order_by_the_weights_is_better_than_random_and_its_reverse_is_worse() -> None:
    right, wrong = ExplanationChecks("a"), ExplanationChecks("b")
    right.add_order("occlusion", "text", WEIGHTS, linear, num_random=39, seed=0)
    wrong.add_order("occlusion", "text", -WEIGHTS, linear, num_random=39, seed=0)
    assert {r.verdict for r in right.rows} == {"better than random"}
    assert {r.verdict for r in wrong.rows} == {"worse than random"}
    # Beyond all of the 39.
    assert {r.p for r in right.rows} == {2 / 40}
    # The highest tenth, fifth and half of the weights: 0.1, 0.19, 0.4.
    assert row(right, "comprehensiveness")[0] == pytest.approx((0.1 + 0.19 + 0.4) / 3)
    assert list(right.curves) == ["occlusion/text"]
    document_text(right.document(SETTINGS))


def test_few_orders_have_no_verdict_on_one_utterance() -> None:
    few = ExplanationChecks("a")
    few.add_order("occlusion", "text", WEIGHTS, linear, num_random=38, seed=0)
    assert {r.verdict for r in few.rows} == {NO_VERDICT}
    assert {r.p for r in few.rows} == {2 / 39}


def test_an_attribution_that_is_the_loudness_is_told() -> None:
    levels = np.random.default_rng(0).random(60)
    sound = np.repeat(levels, 4)
    checks = ExplanationChecks("a")
    signs = np.array([1, -1] * 30)
    checks.add_loudness("occlusion", signs * levels, sound, 4, seed=0)
    assert row(checks, "correlation with loudness") == (pytest.approx(1.0), "follows loudness")
    quiet = ExplanationChecks("b")
    quiet.add_loudness("occlusion", 1 - levels, sound, 4, seed=0)
    assert row(quiet, "correlation with loudness")[1] == "does not only follow loudness"
    # Of eight frames one in sixteen moved ones is the same.
    short = ExplanationChecks("c")
    short.add_loudness("occlusion", levels[:8], sound[:32], 4, seed=0)
    assert row(short, "correlation with loudness") == (pytest.approx(1.0), NO_VERDICT)


def test_methods_that_agree_and_that_do_not() -> None:
    checks = ExplanationChecks("a")
    checks.add_methods(COMPARED, "text", WEIGHTS, WEIGHTS**2, seed=0)
    assert row(checks, "rank correlation") == (pytest.approx(1.0), "they agree")
    # Both of two units: one in 45 orders of ten has them too.
    assert row(checks, "overlap of the top 20%") == (1.0, "more than by chance")
    other = ExplanationChecks("b")
    other.add_methods(COMPARED, "text", WEIGHTS, -WEIGHTS, seed=0)
    # 28 in 45 have none either.
    assert row(other, "overlap of the top 20%") == (0.0, NO_VERDICT)
    assert row(other, "rank correlation")[1] == "they do not agree"


def test_a_correlation_that_is_weak_by_rounding_alone_is_not_called_so() -> None:
    # Of five words: 1 - 6 (4 + 0 + 4 + 1 + 1) / 120, which is computed as 0.49999999999999994.
    checks = ExplanationChecks("a")
    checks.add_methods(
        COMPARED, "text", np.arange(5.0), np.array([2.0, 1.0, 0.0, 4.0, 3.0]), seed=0
    )
    assert row(checks, "rank correlation") == (pytest.approx(0.5), NO_VERDICT)


def test_three_words_agree_by_chance() -> None:
    checks = ExplanationChecks("a")
    checks.add_methods(COMPARED, "text", WEIGHTS[:3], WEIGHTS[:3], seed=0)
    assert row(checks, "rank correlation") == (pytest.approx(1.0), NO_VERDICT)
    # One of six orders is the same.
    (p,) = [r.p for r in checks.rows if r.name == "rank correlation"]
    assert p == pytest.approx(2 / 6, abs=0.05)


def test_randomisation_seeds_and_convergence() -> None:
    checks = ExplanationChecks("a")
    stages = [RandomisedStage("head", 0.9), RandomisedStage("everything", 0.7, 0.01, 0.002)]
    checks.add_randomisation("occlusion", "audio", stages)
    assert row(checks, "correlation with a random model's") == (
        0.7,
        "survives a random model: worthless",
    )
    # Correlations 1, -1 and -1.
    checks.add_seeds("occlusion", "text", [WEIGHTS, 2 * WEIGHTS, -WEIGHTS], seed=0)
    assert row(checks, "correlation across 3 seeds") == (
        pytest.approx(-1 / 3),
        "seeds do not agree",
    )
    checks.add_convergence(0.08)
    assert row(checks, "relative delta")[1] == "more than 5 % is missing"
    checks.add_seeds("occlusion", "audio", [np.ones(4), np.arange(4.0)], seed=0)
    assert checks.rows[-1].value is None
    assert checks.rows[-1].verdict == ""
    document_text(checks.document(SETTINGS))


def documents(values: list[float], references: list[float], name: str) -> list[ChecksDocument]:
    rows = [
        Check("occlusion", "text", name, value, reference, None, NO_VERDICT)
        for value, reference in zip(values, references, strict=True)
    ]
    return [
        ChecksDocument(f"test/{place}", (row,), {}, {}, SETTINGS) for place, row in enumerate(rows)
    ]


def test_a_set_is_judged_by_paired_differences() -> None:
    values, references = [0.4, 0.5, 0.6, 0.2, 0.3, 0.7], [0.5, 0.59, 0.72, 0.3, 0.41, 0.8]
    (summary,) = checks_summary(documents(values, references, "deletion area"))
    paired = stats.ttest_rel(values, references)
    assert summary.p == summary.holm_p == pytest.approx(paired.pvalue)
    bounds = tuple(paired.confidence_interval(0.95))
    assert (summary.difference_low, summary.difference_high) == pytest.approx(bounds)
    # Low is good, and the means alone would show nothing.
    assert summary.verdict == "better than random"
    assert summary.low < np.mean(references) < summary.high
    (worse,) = checks_summary(documents(references, values, "deletion area"))
    assert worse.verdict == "worse than random"
    (other,) = checks_summary(documents(values, values, "insertion area"))
    assert (other.verdict, other.p) == (NO_VERDICT, 1.0)


def test_utterances_of_one_dialogue_are_one_unit() -> None:
    given = documents([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.0] * 6, "insertion area")
    units = {f"test/{place}": f"dialogue {place // 2}" for place in range(6)}
    (summary,) = checks_summary(given, units)
    assert (summary.num, summary.num_units) == (6, 3)
    assert (summary.p, summary.difference_low, summary.verdict) == (None, None, "")


def test_all_checks_of_a_set_are_adjusted_together() -> None:
    random = np.random.default_rng(0)
    given = documents(list(random.normal(0.1, 0.1, 8)), [0.0] * 8, "insertion area")
    both = []
    for document, value in zip(given, random.normal(0.0, 0.1, 8), strict=True):
        row = replace(document.rows[0], method="integrated_gradients", value=value)
        both.append(replace(document, rows=(*document.rows, row)))
    first, second = checks_summary(both)
    assert first.holm_p == pytest.approx(2 * first.p)
    assert second.holm_p == pytest.approx(second.p)


def test_what_methods_are_compared_by_stands_together() -> None:
    rows = [
        Check(method, modality, name, 0.5, 0.4, None, NO_VERDICT)
        for method in ("occlusion", "lime")
        for modality in ("audio", "text")
        for name in ("deletion area", "insertion area")
    ]
    found = checks_summary([ChecksDocument("test/0", tuple(rows), {}, {}, SETTINGS)])
    assert [(row.modality, row.name, row.method) for row in found] == [
        (modality, name, method)
        for modality in ("audio", "text")
        for name in ("deletion area", "insertion area")
        for method in ("occlusion", "lime")
    ]


def test_the_convergence_of_a_set() -> None:
    given = []
    for delta in (0.01, 0.03, 0.2):
        checks = ExplanationChecks(str(delta))
        checks.add_convergence(delta)
        checks.add_convergence(None)
        given.append(checks.document(SETTINGS))
    (summary,) = checks_summary(given)
    assert summary.mean == pytest.approx(0.08)
    assert (summary.num, summary.low, summary.difference) == (3, None, None)
    assert summary.verdicts == {"complete": 2, "more than 5 % is missing": 1}


def test_one_word_has_no_order() -> None:
    checks = ExplanationChecks("one")
    checks.add_order(
        "occlusion", "text", np.array([1.0]), lambda masks: masks[:, 0] * 0.5, num_random=50, seed=0
    )
    assert {row.verdict for row in checks.rows} == {NO_VERDICT}
    checks.add_methods(COMPARED, "text", np.array([1.0]), np.array([2.0]), seed=0)
    assert [row.value for row in checks.rows[-2:]] == [None, None]
