"""Groups of runs with their answers on the utterances of one table, counted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmemo.comparison.document import Curve, GroupResult, ScoreWithIntervals
from mmemo.comparison.groups import FOLD, RunGroup
from mmemo.comparison.ranking_metric import ComparedMetric, ComparedMetrics
from mmemo.comparison.runs import RunResults, Setting
from mmemo.comparison.subgroup_scores import SubgroupScorer
from mmemo.errors import InputError
from mmemo.evaluation.abstention import table_area
from mmemo.evaluation.calibration import calibration_summary
from mmemo.evaluation.confusion_scores import (
    Floats,
    Tallies,
    class_numbers,
    confusion_counts,
    f1_by_class,
    recall_by_class,
)
from mmemo.evaluation.intervals import Interval, UnitTallies
from mmemo.evaluation.own_metrics import Answers
from mmemo.evaluation.seed_summary import SeedSummary
from mmemo.evaluation.subgroups import Subgroups
from mmemo.evaluation.units import table_units


@dataclass(frozen=True)
class Bounds:
    """Intervals of one score.

    Args:
        setting: Bounds for the setting: seeds and units drawn anew.
        models: Bounds for these trained models: units drawn anew.
    """

    setting: Interval | None
    models: Interval | None


@dataclass(frozen=True)
class GroupAnswers:
    """One group's answers on the test split.

    Args:
        name: Name of the group.
        seeds: S seeds.
        counts: Tallies of its S runs, by unit.
        right: (S, N), who was right; utterances in the same order for all groups.
        answers: Each run's answers, in the same order; empty where counts suffice.
    """

    name: str
    seeds: tuple[int, ...]
    counts: UnitTallies
    right: NDArray[np.bool_]
    answers: tuple[Answers, ...] = ()

    def only(self, seeds: Sequence[int]) -> GroupAnswers:
        """The answers of some of its seeds."""
        if tuple(seeds) == self.seeds:
            return self
        places = [self.seeds.index(seed) for seed in seeds]
        answers = tuple(self.answers[place] for place in places) if self.answers else ()
        counts, right = self.counts.only(places), self.right[places]
        return GroupAnswers(self.name, tuple(seeds), counts, right, answers)

    def values(self, metric: ComparedMetric) -> Floats:
        """The metric of each run (S,)."""
        if metric.of_tallies is not None:
            return self.counts.scores(metric.of_tallies)
        return np.array([_own_score(metric, answers) for answers in self.answers])

    def scores(
        self, bounds: Mapping[str, Bounds], metrics: ComparedMetrics
    ) -> dict[str, ScoreWithIntervals]:
        """Each metric over the seeds with its intervals; ``bounds`` are by metric."""
        summaries = {
            name: SeedSummary.of(self.values(metric)) for name, metric in metrics.by_name.items()
        }
        return {
            name: ScoreWithIntervals(
                **vars(summary),
                interval=bounds[name].setting,
                interval_models=bounds[name].models,
            )
            for name, summary in summaries.items()
        }


def _own_score(metric: ComparedMetric, answers: Answers) -> float:
    """Of a metric that needs each answer.

    Raises:
        InputError: If it is undefined: nothing can be ranked by it.
    """
    assert metric.of_answers is not None
    value = metric.of_answers.score(answers)
    if not math.isfinite(value):
        raise InputError(
            f"metric={metric.name}: expected a number of every run, got {value}; rank by another"
        )
    return value


class TableUtterances:
    """What all groups of a table were asked, in one order.

    Args:
        group: Any of them.
        classes: The table's classes.
        unit: What is drawn; None for what the split keeps together.
        metrics: The table's.
        subgroups: That its groups are scored by.
    """

    def __init__(
        self,
        group: RunGroup,
        classes: Sequence[str],
        unit: str | None,
        metrics: ComparedMetrics,
        subgroups: Subgroups,
    ) -> None:
        self.classes = classes
        self.metrics = metrics
        first = group.replicates[0]
        test = first.test
        self.keys = {"val": first.val["key"], "test": test["key"]}
        run = group.first
        known = pd.concat([run.val, run.test], ignore_index=True)
        self.units = table_units(test, known, run.protocol, unit)
        self.target = class_numbers(test["target"], classes)
        self.subgroups = SubgroupScorer.of(
            subgroups, subgroups.groupings(test), self.target, classes, self.units
        )
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

    def answers(
        self,
        name: str,
        seeds: Sequence[int],
        preds: Sequence[NDArray[np.int64]],
        answers: Sequence[Answers] = (),
    ) -> GroupAnswers:
        """Test predictions (N,) of some seeds, as class numbers in that order, counted."""
        counts = UnitTallies.of(self.target, preds, len(self.classes), self.units)
        right = np.stack([pred == self.target for pred in preds])
        return GroupAnswers(name, tuple(seeds), counts, right, tuple(answers))


class ScoredGroup:
    """A group with its prediction tables, in one order, and its counts.

    Args:
        name: The group's, in its table.
        settings: Settings in which the table's groups differ.
        group: The runs.
        utterances: The table's.
    """

    def __init__(
        self,
        name: str,
        settings: Mapping[str, Setting],
        group: RunGroup,
        utterances: TableUtterances,
    ) -> None:
        self.name = name
        self.settings = settings
        self.group = group
        self.classes = utterances.classes
        replicates = group.replicates
        self.val_tables = [utterances.in_order(part.val, "val") for part in replicates]
        self.test_tables = [utterances.in_order(part.test, "test") for part in replicates]
        val = np.stack([confusion_counts(table, self.classes) for table in self.val_tables])
        self.metrics = utterances.metrics
        self.val_scores = {
            name: metric.of_tallies(Tallies.of(val))
            if metric.of_tallies is not None
            else np.array([_own_score(metric, Answers.of(table)) for table in self.val_tables])
            for name, metric in self.metrics.by_name.items()
        }
        self.preds = [class_numbers(table["pred"], self.classes) for table in self.test_tables]
        seeds = [replicate.seed for replicate in replicates]
        needs_each = self.metrics.ranking.of_answers is not None
        each = [Answers.of(table) for table in self.test_tables] if needs_each else []
        self.answers = utterances.answers(name, seeds, self.preds, each)
        self.subgroups = utterances.subgroups.scores(self.preds)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of its runs."""
        return self.answers.seeds

    def result(self, bounds: Mapping[str, Bounds]) -> GroupResult:
        """What the comparison says of the group; ``bounds`` are of test, by metric."""
        by_class = f1_by_class(self.answers.counts.totals)
        recall = recall_by_class(self.answers.counts.totals)
        confusion = sum(confusion_counts(table, self.classes) for table in self.test_tables)
        runs = [replicate.runs for replicate in self.group.replicates]
        calibration = calibration_summary(list(zip(self.val_tables, self.test_tables, strict=True)))
        scaled_by = zip(self.test_tables, calibration.temperature.values, strict=True)
        return GroupResult(
            name=self.name,
            settings=self.settings,
            modalities=self.group.modalities,
            seeds=self.seeds,
            runs=tuple(run.name for fold_runs in runs for run in fold_runs),
            val={name: SeedSummary.of(scores) for name, scores in self.val_scores.items()},
            test=self.answers.scores(bounds, self.metrics),
            per_class_f1={
                name: SeedSummary.of(by_class[:, place]) for place, name in enumerate(self.classes)
            },
            per_class_recall={
                name: SeedSummary.of(recall[:, place]) for place, name in enumerate(self.classes)
            },
            confusion=tuple(tuple(map(int, row)) for row in np.asarray(confusion)),
            num_parameters=self.group.first.info.num_parameters,
            num_trainable=self.group.first.info.num_trainable,
            fit_s=_summary_or_none([_total(fold_runs, _fit_s) for fold_runs in runs]),
            samples_per_s=_summary_or_none([_rate(fold_runs) for fold_runs in runs]),
            curves=tuple(_curve(run) for fold_runs in runs for run in fold_runs),
            calibration=calibration,
            aurc=SeedSummary.of(table_area(table, value) for table, value in scaled_by),
            subgroups=self.subgroups,
        )


def _curve(run: RunResults) -> Curve:
    history = run.history
    is_number = pd.api.types.is_any_real_numeric_dtype
    columns = [
        str(column)
        for column, kind in history.dtypes.items()
        if str(column).startswith(("train/", "val/")) and is_number(kind)
    ]
    return Curve(
        seed=run.seed,
        chosen_epoch=run.protocol.checkpoint_epoch,
        epoch=tuple(history["epoch"].tolist()),
        metrics={
            column: tuple(v if math.isfinite(v) else None for v in history[column].tolist())
            for column in columns
        },
    )


def _fit_s(run: RunResults) -> float | None:
    return run.info.fit_s


def _num_trained(run: RunResults) -> float | None:
    return float(run.protocol.num_utterances["train"] * len(run.history))


def _total(
    runs: Sequence[RunResults], value_of: Callable[[RunResults], float | None]
) -> float | None:
    values = [value_of(run) for run in runs]
    known = [value for value in values if value is not None]
    return float(sum(known)) if len(known) == len(values) else None


def _rate(runs: Sequence[RunResults]) -> float | None:
    seconds = _total(runs, _fit_s)
    trained = _total(runs, _num_trained)
    return trained / seconds if seconds and trained is not None else None


def _summary_or_none(values: Sequence[float | None]) -> SeedSummary | None:
    known = [value for value in values if value is not None]
    return SeedSummary.of(known) if len(known) == len(values) else None
