"""Runs compared: tables by protocol, scores with intervals, differences with tests."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from mmemo.errors import InputError
from mmemo.evaluation.calibration import calibration_summary, is_at_bound
from mmemo.evaluation.confusion_scores import METRICS, f1_by_class
from mmemo.evaluation.differences import DifferenceTests, Scored
from mmemo.evaluation.intervals import (
    DialogueCounts,
    dialogue_numbers,
    interval,
    resampled_scores,
)
from mmemo.evaluation.modality_gain import modality_gain
from mmemo.evaluation.protocol import leak_warning, split_stamp
from mmemo.evaluation.run_groups import (
    Replicate,
    RunGroup,
    differing_settings,
    effective_settings,
    group_names,
    group_runs,
)
from mmemo.evaluation.run_results import LeftOut, RunResults
from mmemo.evaluation.seed_summary import seed_summary

PROTOCOL_FIELDS = ("corpus", "corpus_split", "labels", "classes", "split", "split_settings")
"""Fields of the protocol that must be equal for two scores to be ranked; and see ``_protocol``."""

ALL_PAIRS_UP_TO = 6
"""Groups of a table up to which all pairs are compared by default; of more, each with the best."""

MAX_ORDERS = 64
"""Runs of one protocol hold the same rows: as many orders of rows are remembered."""


@dataclass(frozen=True)
class Comparison:
    """How runs are compared.

    Args:
        metric: "weighted_f1", "macro_f1" or "accuracy": what groups are sorted by on validation
            and what is tested on test.
        confidence: Of the intervals.
        num_resamples: Of bootstrap and randomisation.
        seed: Of both.
        all_pairs: Whether all pairs are compared where no baseline is named, however many.
        baseline: Name of the group that all others are compared with; None for all pairs, or, of
            many groups, for the best on validation.
        differences: False to leave the tests out.
    """

    metric: str = "weighted_f1"
    confidence: float = 0.95
    num_resamples: int = 1000
    seed: int = 0
    all_pairs: bool = False
    baseline: str | None = None
    differences: bool = True

    def __post_init__(self) -> None:
        """Refuse a metric that there is not."""
        if self.metric not in METRICS:
            raise InputError(f"metric: expected one of {', '.join(METRICS)}, got '{self.metric}'")

    def compare(self, results: Sequence[RunResults], left_out: Sequence[LeftOut]) -> dict[str, Any]:
        """The document that tables, page and figures are made of.

        Raises:
            InputError: If no run is left, or the baseline is no group's name.
        """
        if not results:
            reasons = "; ".join(f"{run.run}: {run.reason}" for run in left_out[:3])
            raise InputError(f"expected at least one finished run, found none ({reasons})")
        groups, replaced = group_runs(results)
        by_protocol: dict[str, list[RunGroup]] = defaultdict(list)
        protocols: dict[str, dict[str, Any]] = {}
        for group in groups:
            for part, protocol in _by_protocol(group):
                key = repr(protocol)
                protocols[key] = protocol
                by_protocol[key].append(part)
        order = sorted(
            by_protocol, key=lambda key: (protocols[key]["leaky"], -_size(by_protocol[key]))
        )
        first = protocols[order[0]]
        tables = [self._table(protocols[key], first, by_protocol[key]) for key in order]
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
        utterances = _Utterances(groups[0], protocol["classes"])
        shown, names = differing_settings(groups), group_names(groups)
        rows = [
            _GroupRow(name, settings, group, utterances)
            for group, settings, name in zip(groups, shown, names, strict=True)
        ]
        rows.sort(key=lambda row: -float(np.mean(row.val.scores(METRICS[self.metric]))))
        tests = [row.test for row in rows]
        intervals = resampled_scores(tests, METRICS, self.num_resamples, self.seed)
        documents = []
        for place, row in enumerate(rows):
            bounds = {name: interval(d[place], self.confidence) for name, d in intervals.items()}
            documents.append(row.document(bounds))
        names = [row.name for row in rows]
        pairs = self._pairs(names) if self.differences else []
        tester = DifferenceTests(self.metric, self.confidence, self.num_resamples, self.seed)
        tested, notes = tester.run([row.scored for row in rows], intervals[self.metric], pairs)
        gain = _modality_gain(rows)
        leaky_protocol = rows[0].group.first.protocol
        return {
            "protocol": protocol,
            "stamp": split_stamp(leaky_protocol),
            "leak_warning": leak_warning(leaky_protocol),
            "differs": {k: [first[k], v] for k, v in protocol.items() if first[k] != v},
            "groups": documents,
            "baseline": self.baseline if self.baseline in names else None,
            "differences": tested,
            "notes": [
                *notes,
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


class _Utterances:
    """What all groups of a table were asked, in one order."""

    def __init__(self, group: RunGroup, classes: Sequence[str]) -> None:
        self.classes = classes
        first = group.replicates[0]
        self.keys = {"val": first.val["key"], "test": first.test["key"]}
        self.dialogues = {
            "val": dialogue_numbers(first.val),
            "test": dialogue_numbers(first.test),
        }

    def in_order(self, table: pd.DataFrame, split: str) -> pd.DataFrame:
        keys = self.keys[split]
        if table["key"].equals(keys):
            return table
        # A key may stand more than once: validation of several folds.
        places = np.empty(len(keys), np.int64)
        places[np.argsort(keys.to_numpy(), kind="stable")] = np.argsort(
            table["key"].to_numpy(), kind="stable"
        )
        return table.iloc[places].reset_index(drop=True)

    def counts(self, tables: Sequence[pd.DataFrame], split: str) -> DialogueCounts:
        return DialogueCounts.of(tables, self.classes, self.dialogues[split])


class _GroupRow:
    """A group with its tables, in one order, and its counts."""

    def __init__(
        self, name: str, settings: dict[str, Any], group: RunGroup, utterances: _Utterances
    ) -> None:
        self.name = name
        self.settings = settings
        self.group = group
        self.classes = utterances.classes
        replicates = group.replicates
        self.val_tables = [utterances.in_order(part.val, "val") for part in replicates]
        self.test_tables = [utterances.in_order(part.test, "test") for part in replicates]
        self.val = utterances.counts(self.val_tables, "val")
        self.test = utterances.counts(self.test_tables, "test")
        right = [(table["pred"] == table["target"]).to_numpy() for table in self.test_tables]
        seeds = tuple(replicate.seed for replicate in replicates)
        self.scored = Scored(name, seeds, self.test, np.stack(right))

    def document(self, intervals: Mapping[str, tuple[float, float] | None]) -> dict[str, Any]:
        test = {
            name: {**seed_summary(self.test.scores(metric)), "interval": intervals[name]}
            for name, metric in METRICS.items()
        }
        by_class = f1_by_class(self.test.counts.sum(axis=1))
        runs = [replicate.runs for replicate in self.group.replicates]
        return {
            "name": self.name,
            "settings": self.settings,
            "modalities": self.group.modalities,
            "seeds": list(self.scored.seeds),
            "runs": [run.name for fold_runs in runs for run in fold_runs],
            "val": {
                name: seed_summary(self.val.scores(metric)) for name, metric in METRICS.items()
            },
            "test": test,
            "per_class_f1": {
                name: seed_summary(by_class[:, place]) for place, name in enumerate(self.classes)
            },
            "confusion": self.test.counts.sum(axis=(0, 1)).astype(int).tolist(),
            "num_parameters": self.group.first.info.get("num_parameters"),
            "fit_s": _summary_or_none([_total(fold_runs, _fit_s) for fold_runs in runs]),
            "samples_per_s": _summary_or_none([_rate(fold_runs) for fold_runs in runs]),
            "curves": [_curves(run) for fold_runs in runs for run in fold_runs],
            "calibration": calibration_summary(
                list(zip(self.val_tables, self.test_tables, strict=True))
            ),
        }


def _by_protocol(group: RunGroup) -> list[tuple[RunGroup, dict[str, Any]]]:
    """A group's seeds, apart where their utterances differ."""
    parts: dict[str, tuple[list[Any], dict[str, Any]]] = {}
    for replicate in group.replicates:
        protocol = _protocol(replicate)
        parts.setdefault(repr(protocol), ([], protocol))[0].append(replicate)
    return [
        (RunGroup(group.settings, tuple(replicates)), protocol)
        for replicates, protocol in parts.values()
    ]


def _protocol(replicate: Replicate) -> dict[str, Any]:
    """What must be equal for two scores to be ranked."""
    given, val, test = replicate.runs[0].protocol, replicate.val, replicate.test
    protocol = {field: given[field] for field in PROTOCOL_FIELDS}
    is_pooled = len(replicate.runs) > 1
    protocol["split_settings"] = {
        key: value
        for key, value in given["split_settings"].items()
        if not (is_pooled and key == "test_fold")
    }
    return protocol | {
        "leaky": given["leaky"],
        "missing": given.get("missing"),
        "num_utterances": {"val": len(val), "test": len(test)},
        "val_utterances": _digest(val),
        "test_utterances": _digest(test),
    }


def _digest(table: pd.DataFrame) -> str:
    """Of which utterances there are, and what is right for each, in any order."""
    return _sorted_digest("\n".join(table["key"].tolist()), "\n".join(table["target"].tolist()))


@lru_cache(maxsize=MAX_ORDERS)
def _sorted_digest(keys: str, targets: str) -> str:
    rows = sorted(zip(keys.split("\n"), targets.split("\n"), strict=True))
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:12]


def _size(groups: Sequence[RunGroup]) -> int:
    return sum(len(group.replicates) for group in groups)


def _notes(rows: Sequence[_GroupRow]) -> list[str]:
    runs = [run for row in rows for replicate in row.group.replicates for run in replicate.runs]
    notes = [f"{row.name}: {note}" for row in rows for note in row.group.notes]
    commits = {run.info.get("git_commit") for run in runs}
    if len(commits) > 1:
        notes.append(
            f"The runs are of {len(commits)} states of the source (git_commit in run.json)."
        )
    if any(run.info.get("git_dirty") for run in runs):
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


def _modality_gain(rows: Sequence[_GroupRow]) -> dict[str, Any] | None:
    """Of the best group, by validation, of each kind."""
    best: dict[str, _GroupRow] = {}
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


def _curves(run: RunResults) -> dict[str, Any]:
    history = run.history
    numbers = history.select_dtypes("number").columns
    columns = [c for c in numbers if str(c).startswith(("train/", "val/"))]
    return {
        "seed": run.seed,
        "chosen_epoch": run.protocol["checkpoint_epoch"],
        "epoch": history["epoch"].tolist(),
        **{
            str(column): [v if math.isfinite(v) else None for v in history[column].tolist()]
            for column in columns
        },
    }


def _fit_s(run: RunResults) -> float | None:
    return run.info.get("fit_s")


def _num_trained(run: RunResults) -> float | None:
    return float(run.protocol["num_utterances"]["train"] * len(run.history))


def _total(runs: Sequence[RunResults], of: Any) -> float | None:  # noqa: ANN401
    values = [of(run) for run in runs]
    return None if None in values else float(sum(values))


def _rate(runs: Sequence[RunResults]) -> float | None:
    seconds = _total(runs, _fit_s)
    trained = _total(runs, _num_trained)
    return trained / seconds if seconds and trained is not None else None


def _summary_or_none(values: Sequence[float | None]) -> dict[str, Any] | None:
    known = [value for value in values if value is not None]
    return seed_summary(known) if len(known) == len(values) else None
