"""What checks say of a set of explanations: paired differences, adjusted for their number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mmemo.evaluation.mean_estimates import MIN_UNITS, MeanEstimate, estimate_mean, mean_interval
from mmemo.evaluation.significance import holm
from mmemo.explanation.chance import LEVEL
from mmemo.explanation.checks import CONVERGENCE, NO_VERDICT, Check, ChecksDocument
from mmemo.explanation.perturbation_curves import BETTER_SIDE
from mmemo.reporting.numbers import interval, p_value, score
from mmemo.reporting.tables import Table, table_of


@dataclass(frozen=True)
class CheckSummary:
    """One check over a set of explanations.

    Args:
        method: As of ``Check``.
        modality: As of ``Check``.
        name: As of ``Check``.
        mean: Over utterances.
        low: Of its 95 % interval, by t over units; None below five of them.
        high: The upper bound.
        num_units: Units that the utterances belong to.
        reference: Mean of what a random order, or something unrelated, has in its place.
        difference: Mean of what each value has over its own reference, paired; None where there
            is no such reference.
        difference_low: Of its 95 % interval.
        difference_high: The upper bound.
        p: Two-sided, that there is no difference.
        holm_p: ``p`` adjusted for all checks of the set (Holm 1979).
        verdict: What that says of the set; empty where there is no p.
        num: Utterances with such a value.
        verdicts: How often each verdict was given on single ones.
    """

    method: str
    modality: str
    name: str
    mean: float
    low: float | None
    high: float | None
    num_units: int
    reference: float
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    p: float | None
    holm_p: float | None
    verdict: str
    num: int
    verdicts: Mapping[str, int]


def checks_summary(
    documents: Sequence[ChecksDocument], units: Mapping[str, str] | None = None
) -> tuple[CheckSummary, ...]:
    """Each check over a set of explanations: mean, 95 % interval, and what the set says of it.

    Args:
        documents: Of each explanation.
        units: What each utterance belongs to, by key; None where each is a unit of its own.

    Returns:
        What methods are compared by stands together.
    """
    together: dict[tuple[str, str, str], list[tuple[str, Check]]] = {}
    for document in documents:
        unit = document.key if units is None else units.get(document.key, document.key)
        for row in document.rows:
            if row.value is not None:
                place = (row.method, row.modality, row.name)
                together.setdefault(place, []).append((unit, row))
    rows = [_summary(together[place]) for place in _side_by_side(together)]
    adjusted = iter(holm([row.p for row in rows if row.p is not None]))
    return tuple(row if row.p is None else _judged(row, next(adjusted)) for row in rows)


def _side_by_side(places: Iterable[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Methods, modalities and names with what is to be compared together: a check of all methods.

    Modalities and checks stand in the order in which they come first, and methods in their own.
    """
    given = list(places)
    modalities, names = (list(dict.fromkeys(place[i] for place in given)) for i in (1, 2))
    return sorted(given, key=lambda place: (modalities.index(place[1]), names.index(place[2])))


def _summary(found: Sequence[tuple[str, Check]]) -> CheckSummary:
    """One check of several utterances, by unit; not yet adjusted for other checks."""
    units, rows = [unit for unit, _ in found], [row for _, row in found]
    first = rows[0]
    difference: MeanEstimate | None = None
    if first.name != CONVERGENCE:
        differences = [(row.value or 0.0) - (row.reference or 0.0) for row in rows]
        difference = estimate_mean(differences, units)
    low, high = (difference and difference.interval) or (None, None)
    return CheckSummary(
        method=first.method,
        modality=first.modality,
        name=first.name,
        **mean_interval([row.value or 0.0 for row in rows], units),
        reference=float(np.mean([row.reference for row in rows])),
        difference=difference.value if difference else None,
        difference_low=low,
        difference_high=high,
        p=difference.p() if difference else None,
        holm_p=None,
        verdict="",
        num=len(rows),
        verdicts=dict(Counter(row.verdict for row in rows)),
    )


def _judged(row: CheckSummary, holm_p: float) -> CheckSummary:
    difference = row.difference or 0.0
    verdict = NO_VERDICT
    if holm_p <= LEVEL and row.name in BETTER_SIDE:
        is_better = (difference > 0) == (BETTER_SIDE[row.name] > 0)
        verdict = "better than random" if is_better else "worse than random"
    elif holm_p <= LEVEL:
        verdict = "more than by chance" if difference > 0 else "less than by chance"
    return replace(row, holm_p=holm_p, verdict=verdict)


def checks_table(checks: Sequence[CheckSummary], unit: str, num_units: int) -> Table:
    """The checks over a set, for a terminal.

    Args:
        checks: Of the set.
        unit: What utterances that belong together have in common.
        num_units: How many such units there are.
    """
    header = ["check", "of", "mean", "unrelated", "95 % of the difference", "p (Holm)", "N", ""]
    rows = [
        [
            row.name,
            f"{_short(row.method)}, {row.modality}",
            score(row.mean),
            score(row.reference),
            interval(_bounds(row), with_sign=True),
            p_value(row.holm_p),
            str(row.num),
            _verdicts(row),
        ]
        for row in checks
    ]
    note = (
        f"IG: Integrated Gradients. Intervals and p: t over {num_units} {unit}s, of paired "
        f"differences; none below {MIN_UNITS}. In brackets: of single utterances."
    )
    return table_of("checks", "Can they be believed?", header, "llrrrrrl", rows, note)


def _short(method: str) -> str:
    return method.replace("integrated_gradients", "IG").replace("_", " ")


def _bounds(row: CheckSummary) -> tuple[float, float] | None:
    if row.difference_low is None or row.difference_high is None:
        return None
    return row.difference_low, row.difference_high


def _verdicts(row: CheckSummary) -> str:
    """What is said of the set, and of how many single ones."""
    single = [f"{text}: {num}" for text, num in row.verdicts.items() if text]
    return f"{row.verdict} ({', '.join(single)})".strip() if single else row.verdict
