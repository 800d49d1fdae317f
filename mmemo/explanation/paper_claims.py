"""What the paper says of its explanations, as numbers over a set instead of one sample a class.

Source: Pandey, Singh, Kaur 2025, Figs. 5 to 8 and what sections 5.5 to 5.8 and 6 say of them. Zones
are samples at 16 kHz.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mmemo.explanation.checks import mean_interval
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

MIN_UTTERANCES = 10
"""Fewer have no bootstrap interval that a verdict could rest on."""


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
        low: Of the 95 % interval, by bootstrap over utterances; None below two of them.
        high: The same.
        reference: What the mean is held against; None if no other class is in the set.
        reference_is: What that is, in words.
        claimed: On which side of it the mean has to be, "above" or "below".
        num: Utterances in which it could be measured.
        verdict: "holds", "the opposite holds", "not shown" or "too few utterances".
    """

    figure: str
    class_name: str | None
    sentence: str
    measure: str
    mean: float
    low: float | None
    high: float | None
    reference: float | None
    reference_is: str
    claimed: str
    num: int
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


def check_claims(members: Sequence[SetMember], seed: int = 0) -> list[ClaimResult]:
    """Hold every claim against a set; those that nothing in the set bears on are left out.

    Args:
        members: Explanations; each counts for the class that it explains.
        seed: Of the bootstrap.
    """
    results = (_check(claim, members, seed) for claim in CLAIMS)
    return [result for result in results if result is not None]


def _check(claim: Claim, members: Sequence[SetMember], seed: int) -> ClaimResult | None:
    name = claim.class_name
    values = _measured(claim.measure.of, members, lambda target: name in (None, target))
    if not values:
        return None
    reference, reference_is = claim.reference, claim.measure.reference_is
    num_least = len(values)
    if reference is None:
        others = _measured(claim.measure.of, members, lambda target: target != name)
        reference = float(np.mean(others)) if others else None
        num_least = min(num_least, len(others))
        reference_is = f"mean of the other classes (N = {len(others)})"
    interval = mean_interval(values, seed)
    low, high = interval["low"], interval["high"]
    return ClaimResult(
        figure=claim.figure,
        class_name=name,
        sentence=claim.sentence,
        measure=claim.measure.name,
        mean=float(np.mean(values)),
        low=low,
        high=high,
        reference=reference,
        reference_is=reference_is,
        claimed=claim.claimed,
        num=len(values),
        verdict=verdict(low, high, reference, claim.claimed, num_least),
    )


def _measured(
    measure: Callable[[SetMember], float | None],
    members: Sequence[SetMember],
    is_asked: Callable[[str], bool],
) -> list[float]:
    found = (measure(member) for member in members if is_asked(member.target))
    return [value for value in found if value is not None]


def verdict(
    low: float | None, high: float | None, reference: float | None, claimed: str, num: int
) -> str:
    """What an interval says of a claim.

    Args:
        low: Of the 95 % interval.
        high: The same.
        reference: What it is held against.
        claimed: On which side of it the mean has to be, "above" or "below".
        num: Utterances behind the interval, or behind the reference if those are fewer.
    """
    if low is None or high is None or reference is None or num < MIN_UTTERANCES:
        return "too few utterances"
    if low <= reference <= high:
        return "not shown"
    return "holds" if (low > reference) == (claimed == ABOVE) else "the opposite holds"
