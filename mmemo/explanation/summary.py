"""Explanations of many utterances in numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from mmemo.documents import read_document, write_document
from mmemo.errors import InputError
from mmemo.evaluation.mean_estimates import MIN_UNITS, mean_interval
from mmemo.evaluation.units import KeyUnits
from mmemo.explanation.checks import ChecksDocument, read_checks
from mmemo.explanation.checks_summary import CheckSummary, checks_summary
from mmemo.explanation.claims import MIN_UTTERANCES, Claim, ClaimResult, check_claims
from mmemo.explanation.explanation import METHODS, OF_NO_CLASS
from mmemo.explanation.frames import (
    NUM_TENTHS,
    length_in_zones,
    paper_zones,
    share_in_zones,
    shares_by_tenth,
)
from mmemo.explanation.members import (
    Floats,
    SetMember,
    explained_classes,
    explanation_folders,
    read_members,
)
from mmemo.explanation.word_influence import InfluentialWord, influential_words

SUMMARY_FILE = "summary.json"
TABLES = ("modalities", "tenths", "zones", "words", "claims", "checks")
ALL_CLASSES = "all"


@dataclass(frozen=True)
class ModalityMean:
    """How much comes from one modality.

    Args:
        class_name: The explained class, or "all".
        measure: "shapley" (of F), "gradients_sum" (signed, of F) or "gradients_share" (of the
            size, frame by frame and word by word; where both modalities are there). Occlusion has
            none: each of its windows covers several frames, so that sums over frames and over
            words cannot be compared.
        modality: "audio" or "text".
        mean: Over utterances.
        low: Of its 95 % interval, by t over units; None below five of them.
        high: The upper bound.
        num_units: Units that the utterances belong to.
        num: Utterances.
    """

    class_name: str
    measure: str
    modality: str
    mean: float
    low: float | None
    high: float | None
    num_units: int
    num: int


@dataclass(frozen=True)
class TenthShare:
    """Share of the size of the sound's attribution in a tenth of the real sound; even would be .1.

    Args:
        class_name: The explained class, or "all".
        method: One of ``METHODS``.
        tenth: From 1 to 10.
        mean: Over utterances.
        low: Of its 95 % interval, by t over units; None below five of them.
        high: The upper bound.
        num_units: Units that the utterances belong to.
        num: Utterances.
    """

    class_name: str
    method: str
    tenth: int
    mean: float
    low: float | None
    high: float | None
    num_units: int
    num: int


@dataclass(frozen=True)
class ZoneShare:
    """Share of the size of the sound's attribution in a zone of the paper's 128,000 samples.

    Args:
        class_name: The explained class, or "all".
        method: One of ``METHODS``.
        start: First sample of the zone, at 16 kHz.
        stop: The sample behind its last one.
        mean: Over utterances.
        low: Of its 95 % interval, by t over units; None below five of them.
        high: The upper bound.
        num_units: Units that the utterances belong to.
        length_share: What an attribution spread evenly over the sound would have: where the two
            are alike, a zone shows how long the clips are and nothing else.
        num: Utterances.
        num_reaching: Those that have sound in the zone.
    """

    class_name: str
    method: str
    start: int
    stop: int
    mean: float
    low: float | None
    high: float | None
    num_units: int
    length_share: float
    num: int
    num_reaching: int


@dataclass(frozen=True)
class SetSummary:
    """Contents of ``summary.json``: numbers over a set.

    Args:
        output: Name of F, the number that is explained.
        num: Explanations.
        num_by_class: Explanations by explained class.
        unit: What utterances that belong together have in common, such as "dialogue".
        num_units: Units of the set.
        min_units: Fewer have no interval.
        num_annotated: Utterances whose class somebody has annotated.
        num_correct: Those of them that were predicted as annotated.
        modalities: By class, measure and modality.
        tenths: By class, method and tenth.
        zones: By class, method and zone.
        words: By class and method; none of a method that is of no class.
        min_word_count: Words that occur less often are not listed.
        min_utterances: Fewer have no verdict on a claim.
        claims: Claims of a paper that the set bears on.
        checks: Each check over the set.
    """

    VERSION: ClassVar[int] = 2

    output: str
    num: int
    num_by_class: Mapping[str, int]
    unit: str
    num_units: int
    min_units: int
    num_annotated: int
    num_correct: int
    modalities: tuple[ModalityMean, ...]
    tenths: tuple[TenthShare, ...]
    zones: tuple[ZoneShare, ...]
    words: tuple[InfluentialWord, ...]
    min_word_count: int
    min_utterances: int
    claims: tuple[ClaimResult, ...]
    checks: tuple[CheckSummary, ...]


def write_set_summary(
    root: Path, min_word_count: int = 2, units: KeyUnits | None = None, claims: Sequence[Claim] = ()
) -> SetSummary:
    """Summarise all explanations below a folder into ``summary.json`` and ``summary_*.csv``.

    Args:
        root: Folder of the set; where it has checks beside explanations, they are summarised too.
        min_word_count: Words that occur less often are not listed.
        units: Which utterances belong together; None for none.
        claims: To be held against the set.

    Raises:
        InputError: If there is no explanation, one cannot be read, or not all are of the same
            model output.
    """
    folders = explanation_folders(root)
    if not folders:
        raise InputError(
            f"{root}: expected folders with explanation.json, found none; run `mmemo explain`"
        )
    checks = [found for folder in folders if (found := read_checks(folder)) is not None]
    units = units or KeyUnits()
    members = read_members(folders, units.by_key)
    summary = summarise(members, checks, min_word_count, units, claims)
    for name in TABLES:
        table = pd.json_normalize([asdict(row) for row in getattr(summary, name)])
        table.to_csv(root / f"summary_{name}.csv", index=False)
    write_document(root / SUMMARY_FILE, summary)
    return summary


def read_summary(root: Path) -> SetSummary:
    """Read what ``write_set_summary`` wrote.

    Raises:
        InputError: If the folder has no summary, or one of another version.
    """
    what = "summary.json of a set of explanations"
    return read_document(root / SUMMARY_FILE, SetSummary, what, "run `mmemo explain` again")


def summarise(
    members: Sequence[SetMember],
    checks: Sequence[ChecksDocument],
    min_word_count: int = 2,
    units: KeyUnits | None = None,
    claims: Sequence[Claim] = (),
) -> SetSummary:
    """Numbers over a set; arguments as of ``write_set_summary``.

    Means are over utterances, their 95 % intervals by t over units, none below five of them.

    Raises:
        InputError: If not all explanations are of the same model output.
    """
    outputs = sorted({member.explanation.output for member in members})
    if len(outputs) != 1:
        raise InputError(
            f"expected explanations of one model output, got {', '.join(outputs)}; summarise "
            "them in folders of their own"
        )
    classes = explained_classes(members)
    by_class = {name: [m for m in members if m.target == name] for name in classes}
    groups = {**by_class, ALL_CLASSES: list(members)}
    units = units or KeyUnits()
    return SetSummary(
        output=outputs[0],
        num=len(members),
        num_by_class={name: len(group) for name, group in by_class.items()},
        unit=units.name,
        num_units=len({member.unit for member in members}),
        min_units=MIN_UNITS,
        num_annotated=sum(m.explanation.true is not None for m in members),
        num_correct=sum(m.explanation.predicted == m.explanation.true for m in members),
        modalities=tuple(row for n, g in groups.items() for row in modality_means(n, g)),
        tenths=tuple(row for n, g in groups.items() for row in tenth_shares(n, g)),
        zones=tuple(row for n, g in groups.items() for row in zone_shares(n, g)),
        words=tuple(
            word
            for name, group in by_class.items()
            for method in METHODS
            if method not in OF_NO_CLASS
            for word in influential_words(name, group, method, min_word_count)
        ),
        min_word_count=min_word_count,
        min_utterances=MIN_UTTERANCES,
        claims=check_claims(members, claims),
        checks=checks_summary(checks, units.by_key),
    )


def modality_means(class_name: str, members: Sequence[SetMember]) -> list[ModalityMean]:
    """How much comes from which modality, over explanations of one class."""
    found: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for member in members:
        for place, value in _modality_numbers(member).items():
            found.setdefault(place, []).append((value, member.unit))
    return [
        ModalityMean(
            class_name,
            *place,
            **mean_interval([value for value, _ in values], [unit for _, unit in values]),
            num=len(values),
        )
        for place, values in found.items()
    ]


def _modality_numbers(member: SetMember) -> dict[tuple[str, str], float]:
    """By measure and modality."""
    numbers: dict[tuple[str, str], float] = {}
    shapley = member.explanation.shapley
    if shapley is not None:
        numbers |= {("shapley", name): value for name, value in shapley.values.items()}
    method = "integrated_gradients"
    parts = {"audio": member.frames(method), "text": member.words(method)}
    known = {name: values for name, values in parts.items() if values is not None}
    numbers |= {("gradients_sum", name): float(values.sum()) for name, values in known.items()}
    sizes = {name: float(np.abs(values).sum()) for name, values in known.items()}
    total = sum(sizes.values())
    if len(sizes) == len(parts) and total > 0:
        numbers |= {("gradients_share", name): size / total for name, size in sizes.items()}
    return numbers


def tenth_shares(class_name: str, members: Sequence[SetMember]) -> list[TenthShare]:
    """Where in the clip the sound's attribution lies, over explanations of one class."""
    rows = []
    for method in METHODS:
        known = [
            (shares, member.unit)
            for member, frames in _attributed(members, method)
            if (shares := shares_by_tenth(frames, member.edges)) is not None
        ]
        units = [unit for _, unit in known]
        for tenth in range(NUM_TENTHS if known else 0):
            mean = mean_interval([float(share[tenth]) for share, _ in known], units)
            rows.append(TenthShare(class_name, method, tenth + 1, **mean, num=len(known)))
    return rows


def zone_shares(class_name: str, members: Sequence[SetMember]) -> list[ZoneShare]:
    """The same by zones of the paper."""
    rows = []
    for method in METHODS:
        known = _attributed(members, method)
        for zone in paper_zones() if known else []:
            rates = [(m.edges, m.explanation.sample_rate) for m, _ in known]
            # Not 0 as a whole, each has a share.
            shares = [
                share_in_zones(frames, m.edges, m.explanation.sample_rate, [zone]) or 0.0
                for m, frames in known
            ]
            lengths = [length_in_zones(edges, rate, [zone]) for edges, rate in rates]
            rows.append(
                ZoneShare(
                    class_name,
                    method,
                    *zone,
                    **mean_interval(shares, [member.unit for member, _ in known]),
                    length_share=float(np.mean(lengths)),
                    num=len(known),
                    num_reaching=sum(length > 0 for length in lengths),
                )
            )
    return rows


def _attributed(members: Sequence[SetMember], method: str) -> list[tuple[SetMember, Floats]]:
    """Members with the attribution (F,) of their sound, where that is not 0 as a whole."""
    found = [(member, member.frames(method)) for member in members]
    return [(m, frames) for m, frames in found if frames is not None and np.any(frames)]
