"""What tells how far one explanation can be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mmemo.documents import read_document
from mmemo.explanation.chance import (
    LEVEL,
    TOP_SHARE,
    Chance,
    chance_correlations,
    chance_overlap,
    chance_overlaps,
    rank_correlation,
    top_overlap,
)
from mmemo.explanation.explanation import MAX_RELATIVE_DELTA
from mmemo.explanation.frames import loudness_envelope
from mmemo.explanation.perturbation_curves import (
    BETTER_SIDE,
    PerturbationCurves,
    Score,
    perturbation_curves,
)

Floats = NDArray[np.float64]

CHECKS_FILE = "checks.json"
"""Beside an explanation."""

STRONG = 0.5
"""Rank correlation from which an attribution is said to follow something."""

NO_VERDICT = "no verdict"
"""What is said where chance does as well."""

CONVERGENCE = "relative delta"


@dataclass(frozen=True)
class Check:
    """One number about one explanation.

    Args:
        method: One of ``METHODS``, or two with " and ".
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


@dataclass(frozen=True)
class RandomisedStage:
    """What is left of an attribution when the model is random from the output down to a stage.

    Args:
        name: The stage, such as "head" or "audio layer 11".
        correlation: Spearman's, of the size of the attribution with that of the trained model;
            None where it is not defined.
        p: How likely unrelated attributions have as much; None where that is not asked.
        least_p: ``p`` of a perfect correlation.
    """

    name: str
    correlation: float | None
    p: float | None = None
    least_p: float | None = None


@dataclass(frozen=True)
class CheckSettings:
    """What checks were made with, and whether they have to be made again.

    Args:
        faithfulness: Fields of ``Faithfulness``.
        is_randomised: Whether the explanation was repeated with random parameters.
        seeds: Names of the folders of other seeds' explanations that it was compared with.
    """

    faithfulness: Mapping[str, int]
    is_randomised: bool
    seeds: tuple[str, ...]


@dataclass(frozen=True)
class ChecksDocument:
    """Contents of ``checks.json``: checks of one explanation.

    Args:
        key: The utterance's.
        rows: The checks.
        curves: By ``method/modality``.
        randomisation: By ``method/modality`` the stages.
        settings: What they were made with.
    """

    VERSION: ClassVar[int] = 1

    key: str
    rows: tuple[Check, ...]
    curves: Mapping[str, PerturbationCurves]
    randomisation: Mapping[str, tuple[RandomisedStage, ...]]
    settings: CheckSettings


def read_checks(folder: Path) -> ChecksDocument | None:
    """The checks in the folder of an explanation; None if there are none.

    Raises:
        InputError: If the file is damaged or of another version.
    """
    path = folder / CHECKS_FILE
    if not path.exists():
        return None
    remedy = "remove it and run `mmemo explain` again with faithfulness=true"
    return read_document(path, ChecksDocument, "the checks of an explanation", remedy)


@dataclass
class ExplanationChecks:
    """Checks of one explanation while they are made.

    Args:
        key: The utterance's.
        rows: The checks.
        curves: By ``method/modality``.
        randomisation: By ``method/modality`` the stages.
    """

    key: str
    rows: list[Check] = field(default_factory=list)
    curves: dict[str, PerturbationCurves] = field(default_factory=dict)
    randomisation: dict[str, tuple[RandomisedStage, ...]] = field(default_factory=dict)

    def document(self, settings: CheckSettings) -> ChecksDocument:
        """As ``checks.json`` holds it."""
        return ChecksDocument(self.key, tuple(self.rows), self.curves, self.randomisation, settings)

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

    def add_methods(
        self, names: tuple[str, str], modality: str, a: Floats, b: Floats, seed: int
    ) -> None:
        """Check whether two methods agree on the units (U,) of a modality."""
        methods, words = " and ".join(names), ("they agree", "they do not agree")
        self.rows += [
            _correlation(methods, modality, "rank correlation", [a, b], words, seed),
            _overlap(methods, modality, "overlap", a, b, seed),
        ]

    def add_randomisation(
        self, method: str, modality: str, stages: Sequence[RandomisedStage]
    ) -> None:
        """Note what is left of an attribution when all of the model is random."""
        self.randomisation[f"{method}/{modality}"] = tuple(stages)
        left = stages[-1]
        words = ("survives a random model: worthless", "depends on what was learnt")
        verdict = _correlation_verdict(left.correlation, left.p, left.least_p, words)
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
            verdict = (
                "complete" if relative_delta <= MAX_RELATIVE_DELTA else "more than 5 % is missing"
            )
        place = ("integrated_gradients", "both", CONVERGENCE)
        self.rows.append(Check(*place, relative_delta, 0.0, None, verdict))


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
    verdict = _correlation_verdict(mean, p, least_p, words)
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


def _correlation_verdict(
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
    # That of five words can be 0.5, less what is lost by rounding.
    if correlation < STRONG - 1e-9:
        return words[1]
    return words[0] if p <= LEVEL else NO_VERDICT
