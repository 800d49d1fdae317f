"""Runs compared: tables by protocol, scores with intervals, differences with tests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmemo.comparison.compared_group import ComparedGroup, TableUtterances
from mmemo.comparison.group_names import differing_settings, group_names
from mmemo.comparison.modality_gain import modality_gain
from mmemo.comparison.ranked_protocol import by_protocol
from mmemo.comparison.run_groups import RunGroup, effective_settings, group_runs
from mmemo.comparison.run_results import LeftOut, RunResults
from mmemo.comparison.table_inference import Inference
from mmemo.errors import InputError
from mmemo.evaluation.calibration import is_at_bound
from mmemo.evaluation.confusion_scores import check_metric
from mmemo.evaluation.protocol import leak_warning, split_stamp
from mmemo.evaluation.units import check_unit

ALL_PAIRS_UP_TO = 6
"""Groups of a table up to which all pairs are compared by default; of more, each with the best."""


@dataclass(frozen=True)
class Comparison:
    """How runs are compared.

    Args:
        metric: "weighted_f1", "macro_f1" or "accuracy": what groups are sorted by on validation
            and what is tested on test.
        confidence: Of the intervals.
        num_resamples: Of bootstrap and randomisation at least; many comparisons take more.
        seed: Of both.
        unit: What they draw: "speaker", "dialogue" or "utterance"; None for what the split keeps
            together.
        all_pairs: Whether all pairs are compared where no baseline is named, however many.
        baseline: Name of the group that all others are compared with; None for all pairs, or, of
            many groups, for the best on validation.
        differences: False to leave the tests out.
    """

    metric: str = "weighted_f1"
    confidence: float = 0.95
    num_resamples: int = 1000
    seed: int = 0
    unit: str | None = None
    all_pairs: bool = False
    baseline: str | None = None
    differences: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be computed."""
        check_metric(self.metric)
        if not 0 < self.confidence < 1:
            raise InputError(f"confidence: expected a share between 0 and 1, got {self.confidence}")
        if self.num_resamples < 1:
            raise InputError(f"num_resamples: expected at least 1, got {self.num_resamples}")
        check_unit(self.unit)

    def compare(self, results: Sequence[RunResults], left_out: Sequence[LeftOut]) -> dict[str, Any]:
        """The document that tables, page and figures are made of.

        Raises:
            InputError: If no run is left, or the baseline is no group's name.
        """
        if not results:
            reasons = "; ".join(f"{run.run}: {run.reason}" for run in left_out[:3])
            raise InputError(f"expected at least one finished run, found none ({reasons})")
        groups, replaced = group_runs(results)
        by_key: dict[str, list[RunGroup]] = defaultdict(list)
        protocols: dict[str, dict[str, Any]] = {}
        for group in groups:
            for part, protocol in by_protocol(group):
                key = repr(protocol)
                protocols[key] = protocol
                by_key[key].append(part)
        order = sorted(by_key, key=lambda key: (protocols[key]["leaky"], -_size(by_key[key])))
        first = protocols[order[0]]
        tables = [self._table(protocols[key], first, by_key[key]) for key in order]
        self._check_baseline(tables)
        return {
            "metric": self.metric,
            "selected_on": "val",
            "reported_on": "test",
            "confidence": self.confidence,
            "num_resamples": self.num_resamples,
            "seed": self.seed,
            "tables": tables,
            "left_out": [{"run": run.run, "reason": run.reason} for run in [*left_out, *replaced]],
        }

    def _table(
        self, protocol: dict[str, Any], first: dict[str, Any], groups: list[RunGroup]
    ) -> dict[str, Any]:
        utterances = TableUtterances(groups[0], protocol["classes"], self.unit)
        shown, names = differing_settings(groups), group_names(groups)
        rows = [
            ComparedGroup(name, settings, group, utterances)
            for group, settings, name in zip(groups, shown, names, strict=True)
        ]
        rows.sort(key=lambda row: -float(row.val_scores[self.metric].mean()))
        names = [row.name for row in rows]
        pairs = self._pairs(names) if self.differences else []
        inference = Inference(
            self.metric, self.confidence, self.num_resamples, self.seed, self.unit is None
        )
        inferred = inference.run(rows, utterances, pairs)
        documents = [
            row.document(bounds) for row, bounds in zip(rows, inferred.bounds, strict=True)
        ]
        gain = _modality_gain(rows)
        leaky_protocol = rows[0].group.first.protocol
        return {
            "protocol": protocol,
            "stamp": split_stamp(leaky_protocol),
            "leak_warning": leak_warning(leaky_protocol),
            "differs": {k: [first[k], v] for k, v in protocol.items() if first[k] != v},
            "inference": inferred.document,
            "groups": documents,
            "fold_choice": inferred.fold_choice,
            "baseline": self.baseline if self.baseline in names else None,
            "differences": inferred.differences,
            "notes": [
                *inferred.notes,
                *_notes(rows),
                *(gain["notes"] if gain else []),
                *_temperature_notes(documents),
            ],
            "modality_gain": gain,
            "published": [],
        }

    def _pairs(self, names: Sequence[str]) -> list[tuple[int, int]]:
        places = range(len(names))
        if self.baseline in names:
            base = names.index(str(self.baseline))
            return [(place, base) for place in places if place != base]
        if self.all_pairs or len(names) <= ALL_PAIRS_UP_TO:
            return [(a, b) for a in places for b in places if a < b]
        return [(0, place) for place in places if place]

    def _check_baseline(self, tables: Sequence[Mapping[str, Any]]) -> None:
        names = [group["name"] for table in tables for group in table["groups"]]
        if self.baseline is not None and self.baseline not in names:
            raise InputError(
                f"baseline: expected the name of a group, one of {'; '.join(names)}; got "
                f"'{self.baseline}'"
            )


def _size(groups: Sequence[RunGroup]) -> int:
    return sum(len(group.replicates) for group in groups)


def _notes(rows: Sequence[ComparedGroup]) -> list[str]:
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
    if len({row.scored.seeds for row in rows}) > 1:
        notes.append("The groups have different seeds: their means are of different numbers.")
    return notes


def _preparation(run: RunResults) -> str:
    """The settings that prepared sound is made by."""
    sections = ("corpus", "denoiser", "preparer")
    settings = effective_settings(run, pool_folds=True)
    return repr({k: v for k, v in settings.items() if k.partition(".")[0] in sections})


def _temperature_notes(groups: Sequence[Mapping[str, Any]]) -> list[str]:
    names = [
        group["name"]
        for group in groups
        if any(map(is_at_bound, group["calibration"]["temperature"]["values"]))
    ]
    return [
        f"Validation decides no temperature, an end of the range stands: {name}." for name in names
    ]


def _modality_gain(rows: Sequence[ComparedGroup]) -> dict[str, Any] | None:
    """Of the best group, by validation, of each kind."""
    best: dict[str, ComparedGroup] = {}
    for row in rows:
        best.setdefault(row.group.modalities, row)
    if "audio+text" not in best or len(best) < 2:
        return None
    tables = {
        kind: dict(zip(row.scored.seeds, row.test_tables, strict=True))
        for kind, row in best.items()
    }
    gain = modality_gain(tables["audio+text"], tables.get("audio"), tables.get("text"))
    return {"models": {kind: row.name for kind, row in best.items()}, **gain}
