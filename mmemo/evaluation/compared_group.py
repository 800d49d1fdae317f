"""One group of runs in a comparison: its scores, its costs and its curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mmemo.evaluation.calibration import calibration_summary
from mmemo.evaluation.confusion_scores import METRICS, f1_by_class
from mmemo.evaluation.differences import Scored
from mmemo.evaluation.intervals import DialogueCounts, dialogue_numbers
from mmemo.evaluation.run_groups import RunGroup
from mmemo.evaluation.run_results import RunResults
from mmemo.evaluation.seed_summary import seed_summary


class TableUtterances:
    """What all groups of a table were asked, in one order.

    Args:
        group: Any of them.
        classes: The table's classes.
    """

    def __init__(self, group: RunGroup, classes: Sequence[str]) -> None:
        self.classes = classes
        first = group.replicates[0]
        self.keys = {"val": first.val["key"], "test": first.test["key"]}
        self.dialogues = {
            "val": dialogue_numbers(first.val),
            "test": dialogue_numbers(first.test),
        }

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

    def counts(self, tables: Sequence[pd.DataFrame], split: str) -> DialogueCounts:
        """Confusion counts of prediction tables in that order, one for each seed."""
        return DialogueCounts.of(tables, self.classes, self.dialogues[split])


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
        self.val = utterances.counts(self.val_tables, "val")
        self.test = utterances.counts(self.test_tables, "test")
        right = [(table["pred"] == table["target"]).to_numpy() for table in self.test_tables]
        seeds = tuple(replicate.seed for replicate in replicates)
        self.scored = Scored(name, seeds, self.test, np.stack(right))

    def document(self, intervals: Mapping[str, tuple[float, float] | None]) -> dict[str, Any]:
        """What ``comparison.json`` says of the group; ``intervals`` are of test, by metric."""
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
