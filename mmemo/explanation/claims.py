"""What a paper says of single explanations, as numbers over a set; conf/claims has its claims."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mmemo.errors import InputError
from mmemo.evaluation.mean_estimates import (
    MeanEstimate,
    estimate_difference,
    estimate_mean,
    permutation_p,
)
from mmemo.evaluation.significance import holm
from mmemo.explanation.chance import LEVEL
from mmemo.explanation.claim_measures import Measure
from mmemo.explanation.members import SetMember

ABOVE, BELOW = "above", "below"
TOO_FEW = "too few utterances"

MIN_UTTERANCES = 10
"""Fewer utterances, or units of them, have no verdict."""


@dataclass(frozen=True)
class Claim:
    """A sentence of a paper, and what would bear it out.

    Args:
        figure: Of the paper, where the claim is read off.
        class_name: The class that it is about; None for all of them.
        sentence: What is claimed, in few words.
        measure: Of one utterance.
        claimed: Whether the mean is "above" or "below" the reference if the claim is right.
        reference: The number to beat; None for the mean over the other classes.

    Raises:
        InputError: If another side is claimed.
    """

    figure: str
    class_name: str | None
    sentence: str
    measure: Measure
    claimed: str
    reference: float | None = 0.0

    def __post_init__(self) -> None:
        """Check the side."""
        if self.claimed not in (ABOVE, BELOW):
            raise InputError(
                f"claims: expected {ABOVE} or {BELOW} as what is claimed, got '{self.claimed}' of "
                f"'{self.sentence}'"
            )


@dataclass(frozen=True)
class PaperClaims:
    """What one paper claims.

    Args:
        source: The paper, and where in it the claims are.
        claims: Its claims, in the order of its figures.
    """

    source: str
    claims: Sequence[Claim]


@dataclass(frozen=True)
class ClaimResult:
    """A claim over a set.

    Args:
        figure: Of the paper.
        class_name: None for all classes.
        sentence: What is claimed.
        measure: What was measured, in words.
        mean: Over utterances.
        reference: What the mean is held against; None if no other class is in the set.
        reference_is: What that is, in words.
        difference: Of mean and reference, both of which vary where that is a mean too.
        low: Of the difference's 95 % interval, by t over units; None below five of them.
        high: Its upper end.
        p: Two-sided, that there is none.
        holm_p: ``p`` adjusted for all claims of the set (Holm 1979).
        claimed: On which side of the reference the mean has to be, "above" or "below".
        num: Utterances in which it could be measured.
        num_units: Units that they belong to; of a difference of means the smaller number.
        verdict: "holds", "the opposite holds", "not shown" or "too few utterances".
    """

    figure: str
    class_name: str | None
    sentence: str
    measure: str
    mean: float
    reference: float | None
    reference_is: str
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    holm_p: float | None
    claimed: str
    num: int
    num_units: int
    verdict: str


def check_claims(members: Sequence[SetMember], claims: Sequence[Claim]) -> tuple[ClaimResult, ...]:
    """Hold claims against a set; those that nothing in the set bears on are left out.

    Args:
        members: Explanations; each counts for the class that it explains.
        claims: Of a paper.
    """
    found = [result for claim in claims if (result := _check(claim, members)) is not None]
    tested = [result for result in found if result.p is not None]
    adjusted = iter(holm([result.p for result in tested if result.p is not None]))
    return tuple(_judged(r, None if r.p is None else next(adjusted)) for r in found)


@dataclass(frozen=True)
class _Tested:
    """A mean held against its reference: which that is, and how likely they are one by chance."""

    reference: float | None
    reference_is: str
    estimate: MeanEstimate | None
    at: float
    p: float | None
    num: int


def _check(claim: Claim, members: Sequence[SetMember]) -> ClaimResult | None:
    """A claim, not yet adjusted for the others; None where nothing bears on it."""
    name = claim.class_name
    values, units = _measured(claim.measure.of, members, lambda target: name in (None, target))
    if not values:
        return None
    own = estimate_mean(values, units)
    if claim.reference is None:
        others = _measured(claim.measure.of, members, lambda target: target != name)
        test = _against_others(own, values, units, *others)
    else:
        p, at = own.p(claim.reference), claim.reference
        test = _Tested(at, claim.measure.reference_is, own, at, p, len(values))
    estimate = test.estimate
    is_judged = estimate is not None and min(test.num, estimate.num_units) >= MIN_UTTERANCES
    low, high = (estimate and estimate.interval) or (None, None)
    return ClaimResult(
        figure=claim.figure,
        class_name=name,
        sentence=claim.sentence,
        measure=claim.measure.name,
        mean=own.value,
        reference=test.reference,
        reference_is=test.reference_is,
        difference=None if estimate is None else estimate.value - test.at,
        low=None if low is None else low - test.at,
        high=None if high is None else high - test.at,
        p=test.p if is_judged else None,
        holm_p=None,
        claimed=claim.claimed,
        num=len(values),
        num_units=estimate.num_units if estimate else own.num_units,
        verdict=TOO_FEW,
    )


def _against_others(
    own: MeanEstimate,
    values: Sequence[float],
    units: Sequence[str],
    others: Sequence[float],
    other_units: Sequence[str],
) -> _Tested:
    """A mean held against that of the other classes, which varies too."""
    what = f"mean of the other classes (N = {len(others)})"
    if not others:
        return _Tested(None, what, None, 0.0, None, 0)
    estimate = estimate_difference(values, units, others, other_units)
    p = permutation_p(values, units, others, other_units)
    reference, num = own.value - estimate.value, min(len(values), len(others))
    return _Tested(reference, what, estimate, 0.0, estimate.p() if p is None else p, num)


def _measured(
    measure: Callable[[SetMember], float | None],
    members: Sequence[SetMember],
    is_selected: Callable[[str], bool],
) -> tuple[list[float], list[str]]:
    """Values of the utterances in question, and the units that they belong to."""
    selected = [member for member in members if is_selected(member.target)]
    found = [(value, m.unit) for m in selected if (value := measure(m)) is not None]
    return [value for value, _ in found], [unit for _, unit in found]


def _judged(result: ClaimResult, holm_p: float | None) -> ClaimResult:
    words = verdict(result.difference, holm_p, result.claimed)
    return replace(result, holm_p=holm_p, verdict=words)


def verdict(difference: float | None, holm_p: float | None, claimed: str) -> str:
    """What a difference says of a claim.

    Args:
        difference: Of the mean and what it is held against.
        holm_p: That there is none, adjusted for all claims; None where utterances are too few.
        claimed: On which side the mean has to be, "above" or "below".
    """
    if difference is None or holm_p is None:
        return TOO_FEW
    if holm_p > LEVEL:
        return "not shown"
    return "holds" if (difference > 0) == (claimed == ABOVE) else "the opposite holds"
