"""What tells how far one explanation can be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

from mmemo.explanation.agreement import (
    TOP_SHARE,
    chance_overlap,
    loudness_envelope,
    rank_correlation,
    top_overlap,
)
from mmemo.explanation.parameter_randomisation import RandomisedStage
from mmemo.explanation.perturbation_curves import PerturbationCurves, Score, perturbation_curves

Floats = NDArray[np.float64]

STRONG = 0.5
"""Rank correlation from which an attribution is said to follow something."""

EXACT = 1e-9
"""Differences of probabilities up to here are none."""

CONVERGED = 0.05
"""Share of the explained difference that Integrated Gradients may leave unexplained."""


@dataclass(frozen=True)
class Check:
    """One number about one explanation.

    Args:
        method: "integrated_gradients", "occlusion", or both with " and ".
        modality: "audio" or "text"; "both" where it is of the explanation as a whole.
        name: What is measured.
        value: The number; None where it is not defined.
        reference: What a random order, or something unrelated, has in its place.
        verdict: In words; empty where the number was not defined.
    """

    method: str
    modality: str
    name: str
    value: float | None
    reference: float | None
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
        rows = (
            ("deletion area", curves.deletion_area, curves.random_deletion_area, -1),
            ("insertion area", curves.insertion_area, curves.random_insertion_area, 1),
            ("comprehensiveness", curves.comprehensiveness(), curves.comprehensiveness(True), 1),
            ("sufficiency", curves.sufficiency(), curves.sufficiency(True), -1),
        )
        for name, value, reference, sign in rows:
            gain = sign * (value - reference)
            verdict = "better than random" if gain > EXACT else "no better than random"
            if abs(gain) <= EXACT:
                # One word, or words that change nothing, have no order that could be better.
                verdict = ""
            self.rows.append(Check(method, modality, name, value, reference, verdict))

    def add_loudness(
        self, method: str, attribution: Floats, sound: Floats, frame_samples: int
    ) -> None:
        """Check whether the size of an attribution (F,) is only the loudness of the sound (T,)."""
        size, loudness = np.abs(attribution), loudness_envelope(sound, frame_samples)
        correlation = rank_correlation(size, loudness)
        verdict = _told(correlation, "follows loudness", "does not only follow loudness")
        self.rows.append(
            Check(method, "audio", "correlation with loudness", correlation, 0.0, verdict)
        )
        self.rows.append(_overlap(method, "audio", "overlap with loudness", size, loudness))

    def add_methods(self, modality: str, gradients: Floats, occlusion: Floats) -> None:
        """Check whether both methods agree on the units (U,) of a modality."""
        methods = "integrated_gradients and occlusion"
        correlation = rank_correlation(gradients, occlusion)
        self.rows += [
            Check(
                methods,
                modality,
                "rank correlation",
                correlation,
                0.0,
                _told(correlation, "they agree", "they do not agree"),
            ),
            _overlap(methods, modality, "overlap", gradients, occlusion),
        ]

    def add_randomisation(
        self, method: str, modality: str, stages: Sequence[RandomisedStage]
    ) -> None:
        """Note what is left of an attribution when all of the model is random."""
        self.randomisation[f"{method}/{modality}"] = list(stages)
        left = stages[-1].correlation
        verdict = _told(left, "survives a random model: worthless", "depends on what was learnt")
        self.rows.append(
            Check(method, modality, "correlation with a random model's", left, 0.0, verdict)
        )

    def add_seeds(self, method: str, modality: str, attributions: Sequence[Floats]) -> None:
        """Check whether models that differ in their seed alone are explained alike.

        Args:
            method: Name of the method.
            modality: Whose units.
            attributions: (U,) each, of the same utterance and class, by at least two models.
        """
        found = [rank_correlation(a, b) for a, b in combinations(attributions, 2)]
        known = [value for value in found if value is not None]
        mean = float(np.mean(known)) if known else None
        name = f"correlation across {len(attributions)} seeds"
        verdict = _told(mean, "seeds agree", "seeds do not agree")
        self.rows.append(Check(method, modality, name, mean, 0.0, verdict))

    def add_convergence(self, relative_delta: float | None) -> None:
        """Note how much of the explained difference Integrated Gradients leaves unexplained."""
        verdict = ""
        if relative_delta is not None:
            verdict = "complete" if relative_delta <= CONVERGED else "more than 5 % is missing"
        self.rows.append(
            Check("integrated_gradients", "both", "relative delta", relative_delta, 0.0, verdict)
        )


def checks_summary(documents: Sequence[Mapping[str, Any]], seed: int = 0) -> list[dict[str, Any]]:
    """Each check over a set of explanations: mean, 95 % interval, and in how many it holds.

    Args:
        documents: What ``checks.json`` holds of each.
        seed: Of the bootstrap over utterances.

    Returns:
        Rows of ``method, modality, name, mean, low, high, reference, num, verdicts``; ``verdicts``
        counts what was said of the single ones. The interval is None below two utterances.
    """
    together: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for document in documents:
        for row in document["rows"]:
            if row["value"] is not None:
                place = (row["method"], row["modality"], row["name"])
                together.setdefault(place, []).append(row)
    return [
        {
            "method": method,
            "modality": modality,
            "name": name,
            **mean_interval([row["value"] for row in rows], seed),
            "reference": float(np.mean([row["reference"] for row in rows])),
            "num": len(rows),
            "verdicts": {
                verdict: sum(row["verdict"] == verdict for row in rows)
                for verdict in dict.fromkeys(row["verdict"] for row in rows)
            },
        }
        for (method, modality, name), rows in together.items()
    ]


def mean_interval(values: Sequence[float], seed: int = 0) -> dict[str, float | None]:
    """Mean and 95 % interval by percentile bootstrap over utterances."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return {"mean": mean, "low": None, "high": None}
    result = bootstrap(
        (np.asarray(values, dtype=np.float64),),
        np.mean,
        vectorized=True,
        n_resamples=1000,
        method="percentile",
        random_state=np.random.default_rng(seed),
    )
    bounds = result.confidence_interval
    return {"mean": mean, "low": float(bounds.low), "high": float(bounds.high)}


def _overlap(method: str, modality: str, name: str, a: Floats, b: Floats) -> Check:
    overlap, chance = top_overlap(a, b), chance_overlap(len(a))
    verdict = ""
    if overlap is not None:
        verdict = "more than by chance" if overlap > chance else "no more than by chance"
    return Check(method, modality, f"{name} of the top {TOP_SHARE:.0%}", overlap, chance, verdict)


def _told(correlation: float | None, strong: str, weak: str) -> str:
    if correlation is None:
        return ""
    return strong if correlation >= STRONG else weak
