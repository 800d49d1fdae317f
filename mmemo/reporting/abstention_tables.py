"""Abstention, sets of classes and shift as tables and sentences: in reports and model cards."""

from __future__ import annotations

from mmemo.evaluation.abstention_metrics import AbstentionMetrics, RiskPoint
from mmemo.evaluation.group_metrics import Bounds
from mmemo.evaluation.run_metrics import ShiftMetrics
from mmemo.reporting.numbers import UNDEFINED, interval, percent, score
from mmemo.reporting.tables import Table, table_of

METHOD_NAMES = {"lac": "LAC", "aps": "APS"}


def coverage_table(found: AbstentionMetrics) -> Table:
    """Accuracy where the model answers on the surest utterances alone."""
    rows = [
        [
            percent(round(point.coverage, 3)),
            score(1 - point.risk),
            interval(_turned(point.risk_interval)),
            score(point.threshold),
        ]
        for point in found.selective.at_coverage
    ]
    header = ["answered", "accuracy of these", "95 % interval", "from probability"]
    return table_of("coverage", "", header, "rrrr", rows)


def _turned(bounds: Bounds | None) -> Bounds | None:
    """Bounds of an error as those of the accuracy."""
    return None if bounds is None else (1 - bounds[1], 1 - bounds[0])


def area_sentence(found: AbstentionMetrics) -> str:
    """The area under the risk-coverage curve, between the best and the worst that it could be."""
    one = found.selective
    bounds = f", interval {interval(one.aurc_interval)}" if one.aurc_interval else ""
    return (
        f"Area under the risk-coverage curve (AURC, lower is better): {score(one.aurc)}{bounds}; "
        f"{score(one.aurc_oracle)} if the model knew which of its answers are wrong, "
        f"{score(one.aurc_random)} if it did not know at all."
    )


def threshold_sentences(found: AbstentionMetrics) -> list[str]:
    """The threshold that validation chooses, and what it gives."""
    one = found.selective.threshold
    sentences = []
    if one.threshold is not None:
        sentence = (
            f"For at most {percent(one.wished_error)} wrong answers validation chooses the "
            f"probability {score(one.threshold)} ({_point(one.val)} there). On test it gives "
            f"{_point(one.test)}."
        )
        sentences.append(sentence)
    if (bounds := one.threshold_interval) is not None:
        text = f"With other validation units the threshold would be in {interval(bounds)}"
        if (risks := one.test_risk_interval) is not None:
            text += f", and the share of wrong answers on test in {interval(risks)}"
        sentences.append(f"{text}.")
    return [*sentences, *one.notes]


def _point(point: RiskPoint | None) -> str:
    if point is None:
        return "no answer"
    bounds = f", interval {interval(point.risk_interval)}" if point.risk_interval else ""
    shares = f"{percent(round(point.coverage, 3))} answered, {percent(round(point.risk, 3))} wrong"
    return f"{shares}{bounds}"


def conformal_table(found: AbstentionMetrics) -> Table:
    """Coverage and size of the sets of each method."""
    rows = [
        [
            METHOD_NAMES.get(name, name),
            percent(round(one.wished_coverage, 6)),
            score(one.coverage),
            interval(one.coverage_interval),
            interval(one.expected),
            score(one.mean_size, 2),
            percent(round(one.share_single, 3)),
            percent(round(one.share_empty, 3)),
        ]
        for name, one in found.conformal.items()
    ]
    header = ["sets by", "wished", "coverage", "95 % interval", "expected if\nexchangeable"]
    header += ["classes\nin a set", "of one\nclass", "of none"]
    return table_of("conformal", "", header, "lrrrrrrr", rows)


def class_coverage_table(found: AbstentionMetrics) -> Table:
    """How often sets hold the annotated class, by class: the promise is of all together."""
    methods = list(found.conformal.items())
    classes = list(dict.fromkeys(label for _, one in methods for label in one.by_class))
    rows = [
        [
            label,
            *(score(one.by_class[label].coverage) for _, one in methods),
            str(methods[0][1].by_class[label].num_utterances),
        ]
        for label in classes
    ]
    header = ["class", *(METHOD_NAMES.get(name, name) for name, _ in methods), "N"]
    return table_of("class coverage", "", header, "l" + "r" * (len(methods) + 1), rows)


def shift_sentence(found: ShiftMetrics) -> str:
    """How far test lies from training."""
    bounds = f" (interval {interval(found.test_interval)})" if found.test_interval else ""
    near = UNDEFINED if found.accuracy_near is None else score(found.accuracy_near)
    far = UNDEFINED if found.accuracy_far is None else score(found.accuracy_far)
    return (
        f"{percent(round(found.test_share_far, 4))} of test{bounds} lies farther from the training "
        f"split than {percent(found.far_share)} of validation, by the Mahalanobis distance of the "
        f"fused embedding ({found.num_features} features, {found.num_train} training utterances) "
        f"to the nearest class. Median distance: {found.val_median:.1f} of validation, "
        f"{found.test_median:.1f} of test. Accuracy of what is near {near}, of what is far {far}."
    )
