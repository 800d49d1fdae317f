"""What tells how far one explanation can be believed, and how far those of a set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmemo.evaluation.mean_estimates import MeanEstimate, estimate_mean, mean_interval
from mmemo.evaluation.significance import holm
from mmemo.explanation.agreement import (
    TOP_SHARE,
    chance_correlations,
    chance_overlap,
    chance_overlaps,
    loudness_envelope,
    rank_correlation,
    top_overlap,
)
from mmemo.explanation.parameter_randomisation import RandomisedStage
from mmemo.explanation.perturbation_curves import (
    BETTER_SIDE,
    PerturbationCurves,
    Score,
    perturbation_curves,
)
from mmemo.explanation.unrelated import LEVEL, Chance

Floats = NDArray[np.float64]

STRONG = 0.5
"""Rank correlation from which an attribution is said to follow something."""

CONVERGED = 0.05
"""Share of the explained difference that Integrated Gradients may leave unexplained."""

NO_VERDICT = "no verdict"
"""What is said where chance does as well."""

CONVERGENCE = "relative delta"


@dataclass(frozen=True)
class Check:
    """One number about one explanation.

    Args:
        method: "integrated_gradients", "occlusion", or both with " and ".
        modality: "audio" or "text"; "both" where it is of the explanation as a whole.
        name: What is measured.
        value: The number; None where it is not defined.
        reference: What a random order, or something unrelated, has in its place, on average.
        p: How likely something unrelated is as far from that, two-sided; None where it cannot be.
        verdict: In words; "no verdict" where something unrelated does as well, empty where the
            number is not defined.
    """

    method: str
    modality: str
    name: str
    value: float | None
    reference: float | None
    p: float | None
    verdict: str


@dataclass
class ExplanationChecks:
    """All checks of one explanation, and the curves behind them.

    Args:
        key: The utterance's.
        rows: The checks.
        curves: By ``method/modality``.
        randomisation: By ``method/modality`` the stages.
    """

    key: str
    rows: list[Check] = field(default_factory=list)
    curves: dict[str, PerturbationCurves] = field(default_factory=dict)
    randomisation: dict[str, list[RandomisedStage]] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As ``checks.json`` holds it."""
        return {
            "key": self.key,
            "rows": [asdict(row) for row in self.rows],
            "curves": {name: asdict(curves) for name, curves in self.curves.items()},
            "randomisation": {
                name: [asdict(stage) for stage in stages]
                for name, stages in self.randomisation.items()
            },
        }

    def add_order(
        self,
        method: str,
        modality: str,
        attribution: Floats,
        score: Score,
        num_random: int,
        seed: int,
    ) -> None:
        """Check that what an attribution puts first matters more than what it puts last.

        Args:
            method: Name of the method.
            modality: Whose units are deleted and inserted; the other one stays.
            attribution: (U,), signed.
            score: Probability of the explained class for masks of these units.
            num_random: Random orders beside it.
            seed: Of those.
        """
        is_sound = modality == "audio"
        curves = perturbation_curves(attribution, score, num_random, seed, is_sound)
        self.curves[f"{method}/{modality}"] = curves
        for name, value in curves.measures.items():
            chance = Chance.of(value, np.array(curves.random[name]))
            words = ("better than random", "worse than random")[chance.side != BETTER_SIDE[name]]
            reference = float(np.mean(curves.random[name]))
            verdict = words if chance.is_beyond else NO_VERDICT
            self.rows.append(Check(method, modality, name, value, reference, chance.p, verdict))

    def add_loudness(
        self, method: str, attribution: Floats, sound: Floats, frame_samples: int, seed: int
    ) -> None:
        """Check whether the size of an attribution (F,) is only the loudness of the sound (T,)."""
        size, loudness = np.abs(attribution), loudness_envelope(sound, frame_samples)
        words = ("follows loudness", "does not only follow loudness")
        name = "correlation with loudness"
        self.rows.append(_correlation(method, "audio", name, [loudness, size], words, seed))
        name = "overlap with loudness"
        self.rows.append(_overlap(method, "audio", name, loudness, size, seed))

    def add_methods(self, modality: str, gradients: Floats, occlusion: Floats, seed: int) -> None:
        """Check whether both methods agree on the units (U,) of a modality."""
        methods, both = "integrated_gradients and occlusion", [gradients, occlusion]
        words = ("they agree", "they do not agree")
        self.rows += [
            _correlation(methods, modality, "rank correlation", both, words, seed),
            _overlap(methods, modality, "overlap", gradients, occlusion, seed),
        ]

    def add_randomisation(
        self, method: str, modality: str, stages: Sequence[RandomisedStage]
    ) -> None:
        """Note what is left of an attribution when all of the model is random."""
        self.randomisation[f"{method}/{modality}"] = list(stages)
        left = stages[-1]
        words = ("survives a random model: worthless", "depends on what was learnt")
        verdict = _told(left.correlation, left.p, left.least_p, words)
        name = "correlation with a random model's"
        self.rows.append(Check(method, modality, name, left.correlation, 0.0, left.p, verdict))

    def add_seeds(
        self, method: str, modality: str, attributions: Sequence[Floats], seed: int
    ) -> None:
        """Check whether models that differ in their seed alone are explained alike.

        Args:
            method: Name of the method.
            modality: Whose units.
            attributions: (U,) each, of the same utterance and class, by at least two models.
            seed: Of the draws that they are held against.
        """
        name = f"correlation across {len(attributions)} seeds"
        words = ("seeds agree", "seeds do not agree")
        self.rows.append(_correlation(method, modality, name, attributions, words, seed))

    def add_convergence(self, relative_delta: float | None) -> None:
        """Note how much of the explained difference Integrated Gradients leaves unexplained."""
        verdict = ""
        if relative_delta is not None:
            verdict = "complete" if relative_delta <= CONVERGED else "more than 5 % is missing"
        place = ("integrated_gradients", "both", CONVERGENCE)
        self.rows.append(Check(*place, relative_delta, 0.0, None, verdict))


def checks_summary(
    documents: Sequence[Mapping[str, Any]], units: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Each check over a set of explanations: mean, 95 % interval, and what the set says of it.

    Args:
        documents: What ``checks.json`` holds of each.
        units: What each utterance belongs to, by key; None where each is a unit of its own.

    Returns:
        Rows of ``method, modality, name, mean, low, high, num_units, reference, difference,
        difference_low, difference_high, p, holm_p, told, num, verdicts``. The difference is the
        mean of what each value has over its own reference, paired, with the interval by t over
        units; ``holm_p`` is adjusted for all rows; ``told`` is said of the set by it; ``verdicts``
        counts what was said of the single ones.
    """
    together: dict[tuple[str, str, str], list[tuple[str, Mapping[str, Any]]]] = {}
    for document in documents:
        key = str(document["key"])
        unit = key if units is None else units.get(key, key)
        for row in document["rows"]:
            if row["value"] is not None:
                place = (row["method"], row["modality"], row["name"])
                together.setdefault(place, []).append((unit, row))
    rows = [_summary(place, found) for place, found in together.items()]
    tested = [row for row in rows if row["p"] is not None]
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["holm_p"] = p
        row["told"] = _told_of_set(row["name"], row["difference"], p)
    return rows


def _summary(
    place: tuple[str, str, str], found: Sequence[tuple[str, Mapping[str, Any]]]
) -> dict[str, Any]:
    """A row of the summary, not yet adjusted for the others."""
    method, modality, name = place
    units, rows = [unit for unit, _ in found], [row for _, row in found]
    difference: MeanEstimate | None = None
    if name != CONVERGENCE:
        difference = estimate_mean([row["value"] - row["reference"] for row in rows], units)
    bounds = difference.interval if difference else None
    return {
        "method": method,
        "modality": modality,
        "name": name,
        **mean_interval([row["value"] for row in rows], units),
        "reference": float(np.mean([row["reference"] for row in rows])),
        "difference": difference.value if difference else None,
        "difference_low": bounds[0] if bounds else None,
        "difference_high": bounds[1] if bounds else None,
        "p": difference.p() if difference else None,
        "holm_p": None,
        "told": "",
        "num": len(rows),
        "verdicts": {
            verdict: sum(row["verdict"] == verdict for row in rows)
            for verdict in dict.fromkeys(row["verdict"] for row in rows)
        },
    }


def _told_of_set(name: str, difference: float, p: float) -> str:
    if p > LEVEL:
        return NO_VERDICT
    if name in BETTER_SIDE:
        is_better = (difference > 0) == (BETTER_SIDE[name] > 0)
        return "better than random" if is_better else "worse than random"
    return "more than by chance" if difference > 0 else "less than by chance"


def _correlation(
    method: str,
    modality: str,
    name: str,
    attributions: Sequence[Floats],
    words: tuple[str, str],
    seed: int,
) -> Check:
    """The mean rank correlation of all pairs, and what is said of it if it is strong or weak."""
    found = [rank_correlation(a, b) for a, b in combinations(attributions, 2)]
    known = [value for value in found if value is not None]
    if len(known) < len(found):
        mean = float(np.mean(known)) if known else None
        return Check(method, modality, name, mean, 0.0, None, NO_VERDICT if known else "")
    mean = float(np.mean(known))
    by_chance = chance_correlations(attributions, seed, modality == "audio")
    p, least_p = (Chance.of(value, by_chance).p for value in (mean, 1.0))
    verdict = _told(mean, p, least_p, words)
    return Check(method, modality, name, mean, 0.0, p, verdict)


def _overlap(method: str, modality: str, name: str, a: Floats, b: Floats, seed: int) -> Check:
    overlap, reference = top_overlap(a, b), chance_overlap(len(a))
    name = f"{name} of the top {TOP_SHARE:.0%}"
    if overlap is None:
        return Check(method, modality, name, None, reference, None, "")
    chance = Chance.of(overlap, chance_overlaps(a, b, seed, modality == "audio"))
    words = "more than by chance" if chance.side > 0 else "less than by chance"
    verdict = words if chance.is_beyond else NO_VERDICT
    return Check(method, modality, name, overlap, reference, chance.p, verdict)


def _told(
    correlation: float | None, p: float | None, least_p: float | None, words: tuple[str, str]
) -> str:
    """What is said of a correlation.

    Args:
        correlation: None where it is not defined.
        p: By chance; what is strong has to be beyond that too.
        least_p: Of a perfect one: where chance gives even that, as of three words, nothing is said.
        words: Of a strong and of a weak one.
    """
    if correlation is None:
        return ""
    if p is None or least_p is None or least_p > LEVEL:
        return NO_VERDICT
    if correlation < STRONG:
        return words[1]
    return words[0] if p <= LEVEL else NO_VERDICT
