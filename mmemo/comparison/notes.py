"""What a reader has to know of a table of a comparison, in sentences."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from mmemo.comparison.difference_results import Difference, InferenceFacts
from mmemo.comparison.document import GroupResult
from mmemo.comparison.gain_results import ModalityGain
from mmemo.comparison.groups import effective_settings
from mmemo.comparison.inference import InferredTable
from mmemo.comparison.runs import RunResults
from mmemo.comparison.scored_groups import ScoredGroup
from mmemo.evaluation.calibration import is_at_bound
from mmemo.evaluation.setting_estimates import MIN_SEEDS, SettingEstimate
from mmemo.evaluation.significance import seeds_note
from mmemo.evaluation.units import Units, plural

MANY_SEEDS = 10
"""What few seeds are compared with."""


def table_notes(
    rows: Sequence[ScoredGroup],
    inferred: InferredTable,
    units: Units,
    confidence: float,
    groups: Sequence[GroupResult],
    gain: ModalityGain | None,
) -> tuple[str, ...]:
    """All notes of a table, the most important first.

    Args:
        rows: The groups, best on validation first.
        inferred: The groups' intervals and tests.
        units: Test units that were drawn.
        confidence: Coverage of the intervals.
        groups: The groups' results.
        gain: What a second modality gains.
    """
    return (
        *_unit_notes(units, rows),
        *_seed_notes(rows, inferred, confidence, units),
        *_least_notes(inferred.facts, units),
        *_fold_notes(inferred.is_joined, rows),
        *_run_notes(rows),
        *(gain.notes if gain else ()),
        *_temperature_notes(groups),
    )


def _unit_notes(units: Units, rows: Sequence[ScoredGroup]) -> list[str]:
    notes = []
    groups = rows[0].group.first.protocol.group_columns
    lacking = [name for name in groups if name not in rows[0].test_tables[0]]
    if lacking and not rows[0].group.first.protocol.unit:
        notes.append(
            f"The split keeps each {groups[-1]} together, which these predictions do not name; "
            f"{plural(units.name)} are drawn in its place. `mmemo evaluate run=DIR` names them."
        )
    return [*notes, units.few_note] if units.few_note else notes


def _seed_notes(
    rows: Sequence[ScoredGroup], inferred: InferredTable, confidence: float, units: Units
) -> list[str]:
    fewest = min(len(row.seeds) for row in rows)
    notes = []
    if not units.are_few and fewest < MIN_SEEDS:
        notes.append(
            f"A setting has an interval from {MIN_SEEDS} seeds on; of fewer there are those of "
            "these trained models alone, which tell nothing of other seeds."
        )
    if cost := seeds_cost(inferred.differences, inferred.estimates, confidence, MANY_SEEDS):
        half, ratio, with_many = cost
        notes.append(
            f"What the seeds cost: half the interval of a difference between settings is "
            f"{half:.3f} (median), {ratio:.1f} times that of these trained models; with "
            f"{MANY_SEEDS} seeds each it would be about {with_many:.3f}. A smaller difference is "
            "not told apart."
        )
    pairs = {seeds_note(pair.wilcoxon.num_pairs) for pair in inferred.differences}
    return [*notes, *sorted(note for note in pairs if note)]


def seeds_cost(
    differences: Sequence[Difference],
    estimates: Sequence[SettingEstimate | None],
    confidence: float,
    many: int,
) -> tuple[float, float, float] | None:
    """What it costs that seeds are few, in medians over a table's differences.

    Args:
        differences: The differences.
        estimates: Each difference as an estimate for the settings; None where there is none.
        confidence: Coverage of their intervals.
        many: Seeds to compare with.

    Returns:
        Half the width of the settings' interval, the same as a multiple of these trained models',
        and what it would be with as many seeds of the same variance; None where nothing is known.
    """
    widths = [
        (
            estimate.half_width(confidence),
            (pair.interval_models[1] - pair.interval_models[0]) / 2,
            estimate.with_seeds(many).half_width(confidence),
        )
        for pair, estimate in zip(differences, estimates, strict=True)
        if estimate is not None and estimate.variance > 0 and pair.interval_models is not None
    ]
    ratios = [width / models for width, models, _ in widths if models > 0]
    if not ratios:
        return None
    half, _, with_many = (float(np.median(column)) for column in zip(*widths, strict=True))
    ratio = float(np.median(ratios))
    return (half, ratio, with_many) if all(map(math.isfinite, (half, ratio, with_many))) else None


def _least_notes(facts: InferenceFacts, units: Units) -> list[str]:
    """The smallest p that so many resamples, units and comparisons can reach."""
    smallest, adjusted = facts.smallest_p, facts.smallest_adjusted_p
    parts = [
        f"{word} {p:.2g}, adjusted {p_adjusted:.2g}"
        for word, p, p_adjusted in (
            ("bootstrap", smallest.bootstrap_p, adjusted.bootstrap_p),
            ("randomisation", smallest.randomisation_p, adjusted.randomisation_p),
        )
        if p is not None and p_adjusted is not None
    ]
    if not parts:
        return []
    draws = f"{facts.num_resamples:,} resamples"
    if smallest.randomisation_p == 2 / 2**units.num:
        draws = f"all 2^{units.num} ways to swap them"
    comparisons = facts.num_comparisons
    return [
        f"The smallest p that {units.text} and {draws} can reach: {'; '.join(parts)} for "
        f"{comparisons} comparison{'s' if comparisons > 1 else ''}."
    ]


def _fold_notes(is_joined: bool, rows: Sequence[ScoredGroup]) -> list[str]:
    if not is_joined or len(rows) < 2:
        return []
    # Where groups are left out one by one, there is no such setting.
    is_plain = rows[0].group.first.protocol.split_settings.get("nested") is False
    hint = " split.nested=true lets all validation folds choose." if is_plain else ""
    return [
        "Folds are joined, and what validates one fold is tested in another: the test score of "
        "the group that is ranked first has been chosen on its own test utterances, and is too "
        "high (by 0.02 for the best of 20 equal settings: benchmarks/statistics.py). What each "
        f"fold's own validation chooses is not.{hint}"
    ]


def _run_notes(rows: Sequence[ScoredGroup]) -> list[str]:
    runs = [run for row in rows for replicate in row.group.replicates for run in replicate.runs]
    notes = [f"{row.name}: {note}" for row in rows for note in row.group.notes]
    commits = {run.info.git_commit for run in runs}
    if len(commits) > 1:
        notes.append(
            f"The runs are of {len(commits)} states of the source (git_commit in run.json)."
        )
    if any(run.info.git_dirty for run in runs):
        notes.append("Some runs are of a source with changes that were not committed.")
    prepared = defaultdict(set)
    for run in runs:
        prepared[_preparation(run)].add(run.prepared_digest)
    if any(len(digests) > 1 for digests in prepared.values()):
        notes.append(
            "Runs with the same settings of corpus and preparation were trained on sound that was "
            "not prepared alike (prepared.digest in data.json)."
        )
    if len({row.seeds for row in rows}) > 1:
        notes.append("The groups have different seeds: their means are of different numbers.")
    return notes


def _preparation(run: RunResults) -> str:
    """The settings that prepared sound is made by."""
    sections = ("corpus", "denoiser", "preparer")
    settings = effective_settings(run, pool_folds=True)
    return repr({k: v for k, v in settings.items() if k.partition(".")[0] in sections})


def _temperature_notes(groups: Sequence[GroupResult]) -> list[str]:
    return [
        f"Validation decides no temperature, an end of the range stands: {group.name}."
        for group in groups
        if any(map(is_at_bound, group.calibration.temperature.values))
    ]
