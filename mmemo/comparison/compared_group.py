"""One group of runs in a comparison: its scores, its costs and its curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmemo.comparison.differences import Scored
from mmemo.comparison.run_groups import FOLD, RunGroup
from mmemo.comparison.run_results import RunResults
from mmemo.evaluation.calibration import calibration_summary
from mmemo.evaluation.confusion_scores import (
    METRICS,
    Floats,
    Tallies,
    class_numbers,
    confusion_counts,
    f1_by_class,
)
from mmemo.evaluation.intervals import Interval, UnitTallies
from mmemo.evaluation.seed_summary import seed_summary
from mmemo.evaluation.units import table_units

Bounds = dict[str, Interval | None]
"""``interval`` of the setting and ``interval_models`` of these trained models."""


class TableUtterances:
    """What all groups of a table were asked, in one order.

    Args:
        group: Any of them.
        classes: The table's classes.
        unit: What is drawn; None for what the split keeps together.
    """

    def __init__(self, group: RunGroup, classes: Sequence[str], unit: str | None) -> None:
        self.classes = classes
        first = group.replicates[0]
        test = first.test
        self.keys = {"val": first.val["key"], "test": test["key"]}
        run = group.first
        known = pd.concat([run.val, run.test], ignore_index=True)
        self.units = table_units(test, known, run.protocol, unit)
        self.target = class_numbers(test["target"], classes)
        folds = [np.full(len(part.test), str(part.settings.get(FOLD))) for part in first.runs]
        self.test_folds = np.concatenate(folds)

    def in_order(self, table: pd.DataFrame, split: str) -> pd.DataFrame:
        """A prediction table's rows in that order."""
        keys = self.keys[split]
        if table["key"].equals(keys):
            return table
        # A key may stand more than once: validation of several folds.
        places = np.empty(len(keys), np.int64)
        places[np.argsort(keys.to_numpy(), kind="stable")] = np.argsort(
            table["key"].to_numpy(), kind="stable"
        )
        return table.iloc[places].reset_index(drop=True)

    def scored(self, name: str, seeds: Sequence[int], preds: Sequence[NDArray[np.int64]]) -> Scored:
        """Test predictions (N,) of some seeds, as class numbers in that order, counted."""
        counts = UnitTallies.of(self.target, preds, len(self.classes), self.units)
        return Scored(name, tuple(seeds), counts, np.stack([p == self.target for p in preds]))


class ComparedGroup:
    """A group with its tables, in one order, and its counts.

    Args:
        name: The group's, in its table.
        settings: Those in which the table's groups differ.
        group: The runs.
        utterances: The table's.
    """

    def __init__(
        self, name: str, settings: dict[str, Any], group: RunGroup, utterances: TableUtterances
    ) -> None:
        self.name = name
        self.settings = settings
        self.group = group
        self.classes = utterances.classes
        replicates = group.replicates
        self.val_tables = [utterances.in_order(part.val, "val") for part in replicates]
        self.test_tables = [utterances.in_order(part.test, "test") for part in replicates]
        val = np.stack([confusion_counts(table, self.classes) for table in self.val_tables])
        self.val_scores = {name: metric(Tallies.of(val)) for name, metric in METRICS.items()}
        self.preds = [class_numbers(table["pred"], self.classes) for table in self.test_tables]
        seeds = [replicate.seed for replicate in replicates]
        self.scored = utterances.scored(name, seeds, self.preds)
        self._target = utterances.target

    @property
    def test(self) -> UnitTallies:
        """Counts of the test split, by unit."""
        return self.scored.counts

    @property
    def confusion(self) -> Floats:
        """Of the test split, summed over the seeds: (C, C)."""
        size = len(self.classes)
        places = np.concatenate([self._target * size + pred for pred in self.preds])
        return np.bincount(places, minlength=size**2).reshape(size, size).astype(np.float64)

    def document(self, bounds: Mapping[str, Bounds]) -> dict[str, Any]:
        """What ``comparison.json`` says of the group; ``bounds`` are of test, by metric."""
        by_class = f1_by_class(self.test.totals)
        runs = [replicate.runs for replicate in self.group.replicates]
        return {
            "name": self.name,
            "settings": self.settings,
            "modalities": self.group.modalities,
            "seeds": list(self.scored.seeds),
            "runs": [run.name for fold_runs in runs for run in fold_runs],
            "val": {name: seed_summary(scores) for name, scores in self.val_scores.items()},
            "test": test_scores(self.test, bounds),
            "per_class_f1": {
                name: seed_summary(by_class[:, place]) for place, name in enumerate(self.classes)
            },
            "confusion": self.confusion.astype(int).tolist(),
            "num_parameters": self.group.first.info.num_parameters,
            "fit_s": _summary_or_none([_total(fold_runs, _fit_s) for fold_runs in runs]),
            "samples_per_s": _summary_or_none([_rate(fold_runs) for fold_runs in runs]),
            "curves": [_curves(run) for fold_runs in runs for run in fold_runs],
            "calibration": calibration_summary(
                list(zip(self.val_tables, self.test_tables, strict=True))
            ),
        }


def test_scores(counts: UnitTallies, bounds: Mapping[str, Bounds]) -> dict[str, Any]:
    """Mean, deviation, values by seed and intervals of each metric."""
    return {
        name: {**seed_summary(counts.scores(metric)), **bounds[name]}
        for name, metric in METRICS.items()
    }


def _curves(run: RunResults) -> dict[str, Any]:
    history = run.history
    is_number = pd.api.types.is_any_real_numeric_dtype
    columns = [
        column
        for column, kind in history.dtypes.items()
        if str(column).startswith(("train/", "val/")) and is_number(kind)
    ]
    return {
        "seed": run.seed,
        "chosen_epoch": run.protocol.checkpoint_epoch,
        "epoch": history["epoch"].tolist(),
        **{
            str(column): [v if math.isfinite(v) else None for v in history[column].tolist()]
            for column in columns
        },
    }


def _fit_s(run: RunResults) -> float | None:
    return run.info.fit_s


def _num_trained(run: RunResults) -> float | None:
    return float(run.protocol.num_utterances["train"] * len(run.history))


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
