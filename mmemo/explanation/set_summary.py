"""Explanations of many utterances in numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmemo.errors import InputError
from mmemo.evaluation.mean_estimates import MIN_UNITS, mean_interval
from mmemo.evaluation.units import KeyUnits
from mmemo.explanation.checks import checks_summary
from mmemo.explanation.explained_set import (
    CHECKS_FILE,
    METHODS,
    SUMMARY_FILE,
    SetMember,
    explained_classes,
    explanation_folders,
    read_members,
)
from mmemo.explanation.paper_claims import MIN_UTTERANCES, check_claims
from mmemo.explanation.positions import (
    NUM_TENTHS,
    length_in_zones,
    paper_zones,
    share_in_zones,
    shares_by_tenth,
)
from mmemo.explanation.word_influence import influential_words
from mmemo.folders import write_whole

TABLES = ("modalities", "tenths", "zones", "words", "claims", "checks")
ALL_CLASSES = "all"

Row = dict[str, Any]


def write_set_summary(
    root: Path, min_word_count: int = 2, units: KeyUnits | None = None
) -> dict[str, Any]:
    """Summarise all explanations below a folder into ``summary.json`` and ``summary_*.csv``.

    Args:
        root: Folder of the set; where it has ``checks.json`` beside explanations, they are
            summarised too.
        min_word_count: Words that occur less often are not listed.
        units: Which utterances belong together; None for none.

    Raises:
        InputError: If there is no explanation, or not all are of the same model output.
    """
    folders = explanation_folders(root)
    if not folders:
        raise InputError(
            f"{root}: expected folders with explanation.json, found none; run `mmemo explain`"
        )
    checks = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in (folder / CHECKS_FILE for folder in folders)
        if path.exists()
    ]
    units = units or KeyUnits()
    members = read_members(folders, units.by_key)
    document = summarise(members, checks, min_word_count, units)
    for name in TABLES:
        pd.json_normalize(document[name]).to_csv(root / f"summary_{name}.csv", index=False)
    text = json.dumps(document, indent=2, ensure_ascii=False)
    write_whole(root / SUMMARY_FILE, text + "\n")
    return document


def summarise(
    members: Sequence[SetMember],
    checks: Sequence[Mapping[str, Any]],
    min_word_count: int = 2,
    units: KeyUnits | None = None,
) -> dict[str, Any]:
    """Numbers over a set, as ``summary.json`` holds them; arguments as of ``write_set_summary``.

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
    return {
        "output": outputs[0],
        "num": len(members),
        "num_by_class": {name: len(group) for name, group in by_class.items()},
        "unit": units.name,
        "num_units": len({member.unit for member in members}),
        "min_units": MIN_UNITS,
        "num_correct": sum(m.explanation.predicted == m.explanation.true for m in members),
        "modalities": [r for n, g in groups.items() for r in modality_rows(n, g)],
        "tenths": [r for n, g in groups.items() for r in tenth_rows(n, g)],
        "zones": [r for n, g in groups.items() for r in zone_rows(n, g)],
        "words": [
            {"class": name, "method": method, **row}
            for name, group in by_class.items()
            for method in METHODS
            for row in influential_words(group, method, min_word_count)
        ],
        "min_word_count": min_word_count,
        "min_utterances": MIN_UTTERANCES,
        "claims": [asdict(claim) for claim in check_claims(members)],
        "checks": checks_summary(checks, units.by_key),
    }


def modality_rows(class_name: str, members: Sequence[SetMember]) -> list[Row]:
    """How much comes from which modality.

    Three measures, by modality: ``shapley`` (of F), ``gradients_sum`` (signed, of F) and
    ``gradients_share`` (of the size, frame by frame and word by word; where both are there).
    Occlusion has none: each of its windows covers several frames, so that sums over frames and
    over words cannot be compared.
    """
    found: dict[tuple[str, str], list[float]] = {}
    units: dict[tuple[str, str], list[str]] = {}
    for member in members:
        for place, value in _modality_numbers(member).items():
            found.setdefault(place, []).append(value)
            units.setdefault(place, []).append(member.unit)
    return [
        {
            "class": class_name,
            "measure": place[0],
            "modality": place[1],
            **mean_interval(values, units[place]),
            "num": len(values),
        }
        for place, values in found.items()
    ]


def _modality_numbers(member: SetMember) -> dict[tuple[str, str], float]:
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


def tenth_rows(class_name: str, members: Sequence[SetMember]) -> list[Row]:
    """Share of the size of the sound's attribution by tenth of the real sound; even would be .1."""
    rows = []
    for method in METHODS:
        frames = [(member, member.frames(method)) for member in members]
        shares = [(shares_by_tenth(f, m.edges), m.unit) for m, f in frames if f is not None]
        known = [(share, unit) for share, unit in shares if share is not None]
        units = [unit for _, unit in known]
        rows += [
            {
                "class": class_name,
                "method": method,
                "tenth": tenth + 1,
                **mean_interval([float(share[tenth]) for share, _ in known], units),
                "num": len(known),
            }
            for tenth in range(NUM_TENTHS if known else 0)
        ]
    return rows


def zone_rows(class_name: str, members: Sequence[SetMember]) -> list[Row]:
    """Share of the size of the sound's attribution by zone of the paper's 128,000 samples.

    ``length_share`` is what an attribution spread evenly over the sound would have: where the
    two are alike, a zone shows how long the clips are and nothing else. ``num_reaching`` counts
    the clips that have sound in the zone.
    """
    rows = []
    for method in METHODS:
        frames = [(member, member.frames(method)) for member in members]
        known = [(m, f) for m, f in frames if f is not None and np.any(f)]
        for zone in paper_zones() if known else []:
            rates = [(m.edges, m.explanation.sample_rate) for m, _ in known]
            # Not 0 as a whole, each has a share.
            shares = [
                share_in_zones(f, m.edges, m.explanation.sample_rate, [zone]) or 0.0
                for m, f in known
            ]
            lengths = [length_in_zones(edges, rate, [zone]) for edges, rate in rates]
            rows.append(
                {
                    "class": class_name,
                    "method": method,
                    "start": zone[0],
                    "stop": zone[1],
                    **mean_interval(shares, [member.unit for member, _ in known]),
                    "length_share": float(np.mean(lengths)),
                    "num": len(known),
                    "num_reaching": sum(length > 0 for length in lengths),
                }
            )
    return rows
