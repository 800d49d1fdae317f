"""What the paper says of its explanations, as numbers over a set instead of one sample a class.

Source: Pandey, Singh, Kaur 2025, Figs. 5 to 8 and what sections 5.5 to 5.8 and 6 say of them. Zones
are samples at 16 kHz.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mmemo.evaluation.mean_estimates import (
    MeanEstimate,
    estimate_difference,
    estimate_mean,
    permutation_p,
)
from mmemo.evaluation.significance import holm
from mmemo.explanation.claim_measures import (
    AGREEMENT_ON_VOICE,
    EVENNESS,
    FUNCTION_WORDS,
    NEGATIVE_FRAMES,
    PEAK_REGULARITY,
    SIGN_CHANGES,
    SOUND_OVER_WORDS,
    Measure,
    content_minus_function,
    ends_before,
    excess_in_zones,
    named_words,
    near_points,
    on_voiced_frames,
)
from mmemo.explanation.explained_set import METHODS, SetMember

GRADIENTS, OCCLUSION = METHODS
ABOVE, BELOW = "above", "below"
TOO_FEW = "too few utterances"

MIN_UTTERANCES = 10
"""Fewer utterances, or units of them, have no verdict."""

LEVEL = 0.05
"""p, adjusted for all claims, up to which one holds, or its opposite."""


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper, and what would bear it out.

    Args:
        figure: Of the paper, where the claim is read off.
        class_name: The class that it is about; None for all of them.
        sentence: What is claimed, in few words.
        measure: Of one utterance.
        claimed: Whether the mean is "above" or "below" the reference if the claim is right.
        reference: The number to beat; None for the mean over the other classes.
    """

    figure: str
    class_name: str | None
    sentence: str
    measure: Measure
    claimed: str
    reference: float | None = 0.0


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
        high: The same.
        p: Two-sided, that there is none.
        holm_p: The same adjusted for all claims of the set (Holm 1979).
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


FIGURE_5, FIGURE_6, FIGURE_7, FIGURE_8 = "Fig. 5", "Fig. 6", "Fig. 7", "Fig. 8"

CLAIMS = (
    Claim(FIGURE_5, "joy", "spread over the clip", EVENNESS[GRADIENTS], ABOVE, None),
    Claim(
        *(FIGURE_5, "joy", "early (0-20,000) and late (80,000-120,000)"),
        excess_in_zones(GRADIENTS, ((0, 20_000), (80_000, 120_000))),
        ABOVE,
    ),
    Claim(
        *(FIGURE_5, "neutral", "two zones (0-30,000 and 65,000-100,000)"),
        excess_in_zones(GRADIENTS, ((0, 30_000), (65_000, 100_000))),
        ABOVE,
    ),
    Claim(
        *(FIGURE_5, "neutral", "nothing between them (30,000-65,000)"),
        excess_in_zones(GRADIENTS, ((30_000, 65_000),)),
        BELOW,
    ),
    Claim(
        *(FIGURE_5, "surprise", "only the beginning (0-50,000)"),
        excess_in_zones(GRADIENTS, ((0, 50_000),)),
        ABOVE,
    ),
    Claim(
        *(FIGURE_5, "surprise", "not claimed, but the reason: the clips are short"),
        ends_before(50_000),
        *(ABOVE, None),
    ),
    Claim(FIGURE_5, "sadness", "oscillates over the whole clip", SIGN_CHANGES, ABOVE, None),
    Claim(
        *(FIGURE_5, "anger", "early (0-30,000) and late (110,000-125,000)"),
        excess_in_zones(GRADIENTS, ((0, 30_000), (110_000, 125_000))),
        ABOVE,
    ),
    Claim(FIGURE_6, "joy", "positive peaks at regular intervals", PEAK_REGULARITY, BELOW, None),
    Claim(
        *(FIGURE_6, "neutral", "early (taken as 0-30,000), little later"),
        excess_in_zones(OCCLUSION, ((0, 30_000),)),
        ABOVE,
    ),
    Claim(
        *(FIGURE_6, "surprise", "only the beginning (0-50,000)"),
        excess_in_zones(OCCLUSION, ((0, 50_000),)),
        ABOVE,
    ),
    Claim(FIGURE_6, "sadness", "diffuse", EVENNESS[OCCLUSION], ABOVE, None),
    Claim(FIGURE_6, "sadness", "mostly negative", NEGATIVE_FRAMES, ABOVE, 0.5),
    Claim(
        *(FIGURE_6, "anger", "positive at 0-10,000, 60,000, 80,000"),
        near_points(OCCLUSION, (5_000, 60_000, 80_000)),
        ABOVE,
    ),
    Claim(
        *(FIGURE_6, "anger", "negative near 55,000, 95,000, 120,000"),
        near_points(OCCLUSION, (55_000, 95_000, 120_000)),
        BELOW,
    ),
    Claim(FIGURE_7, "joy", "content words carry joy", content_minus_function(GRADIENTS), ABOVE),
    Claim(FIGURE_7, "joy", "function words carry nothing", FUNCTION_WORDS, BELOW),
    Claim(
        *(FIGURE_7, "joy", "'great', 'play', 'song' carry joy"),
        named_words(GRADIENTS, ("great", "play", "song")),
        ABOVE,
    ),
    Claim(FIGURE_7, "sadness", "sound matters more than words", SOUND_OVER_WORDS, ABOVE),
    Claim(FIGURE_7, "anger", "sound matters more than words", SOUND_OVER_WORDS, ABOVE),
    Claim(FIGURE_7, "joy", "words matter more than sound", SOUND_OVER_WORDS, BELOW),
    Claim(FIGURE_7, "neutral", "words matter more than sound", SOUND_OVER_WORDS, BELOW),
    Claim(FIGURE_8, None, "the methods agree on voiced regions", AGREEMENT_ON_VOICE, ABOVE),
    Claim(FIGURE_8, None, "voiced regions matter (gradients)", on_voiced_frames(GRADIENTS), ABOVE),
    Claim(FIGURE_8, None, "voiced regions matter (Occlusion)", on_voiced_frames(OCCLUSION), ABOVE),
)


def check_claims(
    members: Sequence[SetMember], claims: Sequence[Claim] = CLAIMS
) -> list[ClaimResult]:
    """Hold claims against a set; those that nothing in the set bears on are left out.

    Args:
        members: Explanations; each counts for the class that it explains.
        claims: The paper's.
    """
    found = [result for claim in claims if (result := _check(claim, members)) is not None]
    tested = [result for result in found if result.p is not None]
    adjusted = iter(holm([result.p for result in tested if result.p is not None]))
    return [_judged(r, None if r.p is None else next(adjusted)) for r in found]


@dataclass(frozen=True)
class _Held:
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
        held = _against_others(own, values, units, *others)
    else:
        p, at = own.p(claim.reference), claim.reference
        held = _Held(at, claim.measure.reference_is, own, at, p, len(values))
    estimate = held.estimate
    is_told = estimate is not None and min(held.num, estimate.num_units) >= MIN_UTTERANCES
    low, high = (estimate and estimate.interval) or (None, None)
    return ClaimResult(
        figure=claim.figure,
        class_name=name,
        sentence=claim.sentence,
        measure=claim.measure.name,
        mean=own.value,
        reference=held.reference,
        reference_is=held.reference_is,
        difference=None if estimate is None else estimate.value - held.at,
        low=None if low is None else low - held.at,
        high=None if high is None else high - held.at,
        p=held.p if is_told else None,
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
) -> _Held:
    """A mean held against that of the other classes, which varies too."""
    what = f"mean of the other classes (N = {len(others)})"
    if not others:
        return _Held(None, what, None, 0.0, None, 0)
    estimate = estimate_difference(values, units, others, other_units)
    p = permutation_p(values, units, others, other_units)
    reference, num = own.value - estimate.value, min(len(values), len(others))
    return _Held(reference, what, estimate, 0.0, estimate.p() if p is None else p, num)


def _measured(
    measure: Callable[[SetMember], float | None],
    members: Sequence[SetMember],
    is_asked: Callable[[str], bool],
) -> tuple[list[float], list[str]]:
    """Values of the utterances in question, and the units that they belong to."""
    asked = [member for member in members if is_asked(member.target)]
    found = [(value, m.unit) for m in asked if (value := measure(m)) is not None]
    return [value for value, _ in found], [unit for _, unit in found]


def _judged(result: ClaimResult, holm_p: float | None) -> ClaimResult:
    told = verdict(result.difference, holm_p, result.claimed)
    return replace(result, holm_p=holm_p, verdict=told)


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
