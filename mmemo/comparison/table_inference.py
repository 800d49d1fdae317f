"""Intervals and tests of one table of a comparison, and what has to be said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmemo.comparison.compared_group import Bounds, ComparedGroup, TableUtterances, test_scores
from mmemo.comparison.differences import (
    DifferenceTests,
    Scored,
    Tested,
    num_resamples,
    seeds_cost,
)
from mmemo.comparison.fold_choice import FoldChoice, choose_by_fold, shares_test
from mmemo.comparison.setting_estimates import MIN_SEEDS, SettingModel
from mmemo.evaluation.confusion_scores import METRICS, Floats
from mmemo.evaluation.intervals import interval, resampled_scores, stacked
from mmemo.evaluation.significance import holm, seeds_note
from mmemo.evaluation.units import UNIT, Units

MANY_SEEDS = 10
"""What few seeds are compared with."""


@dataclass(frozen=True)
class InferredTable:
    """What is inferred from a table's groups.

    Args:
        document: What is drawn, how many there are, and what the numbers are of.
        bounds: Of each group by metric.
        differences: A document for each pair.
        fold_choice: What each fold's validation chooses; None where folds are not joined.
        notes: For the reader.
    """

    document: dict[str, Any]
    bounds: list[dict[str, Bounds]]
    differences: list[dict[str, Any]]
    fold_choice: dict[str, Any] | None
    notes: list[str]


@dataclass(frozen=True)
class Inference:
    """How it is inferred; arguments as of ``Comparison``.

    Args:
        metric: Its name.
        confidence: Of the intervals.
        num_resamples: At least.
        seed: Of bootstrap and randomisation.
        is_unit_of_split: Whether what is drawn is what the split keeps together.
    """

    metric: str
    confidence: float
    num_resamples: int
    seed: int
    is_unit_of_split: bool

    def run(
        self,
        rows: Sequence[ComparedGroup],
        utterances: TableUtterances,
        pairs: Sequence[tuple[int, int]],
    ) -> InferredTable:
        """Infer from groups, best on validation first.

        Args:
            rows: The groups.
            utterances: The table's.
            pairs: Places of the groups that are compared.
        """
        is_joined = any(shares_test(row) for row in rows)
        choice = choose_by_fold(rows, utterances, self.metric) if is_joined else None
        groups = [row.scored for row in rows] + ([choice.scored] if choice else [])
        units, draws = utterances.units, num_resamples(self.num_resamples, len(pairs))
        first = np.cumsum([0, *(group.counts.num_runs for group in groups)])
        places = [range(a, b) for a, b in zip(first, first[1:], strict=False)]
        resampled = self._resampled(groups, units, draws)
        models = {
            name: SettingModel.of(
                np.concatenate([group.counts.scores(metric) for group in groups]),
                resampled[name],
                units,
            )
            for name, metric in METRICS.items()
        }
        bounds = [
            {name: self._bounds(models[name], resampled[name], runs, units) for name in METRICS}
            for runs in places
        ]
        tests = DifferenceTests(self.metric, self.confidence, draws, self.seed, units)
        tested = tests.run(groups, places, models[self.metric], resampled[self.metric], pairs)
        document = self._document(tests, tested)
        return InferredTable(
            document,
            bounds[: len(rows)],
            tested.pairs,
            _fold_choice_document(choice, rows, bounds[-1]) if choice else None,
            [
                *_unit_notes(units, rows),
                *_seed_notes(rows, tested, self.confidence, units),
                *_least_notes(document, units),
                *_fold_notes(is_joined, rows),
            ],
        )

    def _resampled(self, groups: Sequence[Scored], units: Units, draws: int) -> dict[str, Floats]:
        """Scores of all runs; of what is not tested no more resamples than were asked for."""
        runs = stacked([group.counts for group in groups])
        tested = {self.metric: METRICS[self.metric]}
        others = {name: metric for name, metric in METRICS.items() if name != self.metric}
        return {
            **resampled_scores(runs, others, self.num_resamples, self.seed),
            **resampled_scores(runs, tested, draws, self.seed),
        }

    def _bounds(
        self, model: SettingModel, resampled: Floats, runs: Sequence[int], units: Units
    ) -> Bounds:
        estimate = model.score(runs)
        mean = resampled[:, list(runs)].mean(axis=1)
        return {
            "interval": None if estimate is None else estimate.interval(self.confidence, 0.0),
            "interval_models": interval(mean, self.confidence, units),
        }

    def _document(self, tests: DifferenceTests, tested: Tested) -> dict[str, Any]:
        units, smallest = tests.units, tests.smallest_p()
        num = {name: sum(pair[name] is not None for pair in tested.pairs) for name in smallest}
        return {
            UNIT: units.name,
            "num_units": units.num,
            "effective_units": round(units.effective_num, 1),
            "is_unit_of_split": self.is_unit_of_split,
            "kinds": {
                "interval": f"the setting: seeds and {units.name}s drawn anew",
                "interval_models": f"these trained models: {units.name}s drawn anew",
            },
            "num_comparisons": len(tested.pairs),
            "num_resamples": tests.num_resamples,
            "smallest_p": smallest if tested.pairs else dict.fromkeys(smallest),
            "smallest_adjusted_p": {
                name: holm([p] * num[name])[0] if p is not None and num[name] else None
                for name, p in smallest.items()
            },
        }


def _fold_choice_document(
    choice: FoldChoice, rows: Sequence[ComparedGroup], bounds: dict[str, Bounds]
) -> dict[str, Any]:
    return {
        "chosen": {fold: rows[place].name for fold, place in choice.chosen.items()},
        "seeds": list(choice.scored.seeds),
        "test": test_scores(choice.scored.counts, bounds),
    }


def _unit_notes(units: Units, rows: Sequence[ComparedGroup]) -> list[str]:
    notes = []
    groups = rows[0].group.first.protocol.group_columns
    lacking = [name for name in groups if name not in rows[0].test_tables[0]]
    if lacking and not rows[0].group.first.protocol.unit:
        notes.append(
            f"The split keeps each {groups[-1]} together, which these predictions do not name; "
            f"{units.name}s are drawn in its place. `mmemo evaluate run=DIR` names them."
        )
    return [*notes, units.few_note] if units.few_note else notes


def _seed_notes(
    rows: Sequence[ComparedGroup], tested: Tested, confidence: float, units: Units
) -> list[str]:
    fewest = min(len(row.scored.seeds) for row in rows)
    notes = []
    if not units.are_few and fewest < MIN_SEEDS:
        notes.append(
            f"A setting has an interval from {MIN_SEEDS} seeds on; of fewer there are those of "
            "these trained models alone, which tell nothing of other seeds."
        )
    if cost := seeds_cost(tested, confidence, MANY_SEEDS):
        half, ratio, with_many = cost
        notes.append(
            f"What the seeds cost: half the interval of a difference between settings is "
            f"{half:.3f} (median), {ratio:.1f} times that of these trained models; with "
            f"{MANY_SEEDS} seeds each it would be about {with_many:.3f}. A smaller difference is "
            "not told apart."
        )
    pairs = {seeds_note(pair["wilcoxon"]["num_pairs"]) for pair in tested.pairs}
    return [*notes, *sorted(note for note in pairs if note)]


def _least_notes(document: dict[str, Any], units: Units) -> list[str]:
    """The smallest p that so many resamples, units and comparisons can reach."""
    names = {"bootstrap_p": "bootstrap", "randomisation_p": "randomisation"}
    told = [
        f"{word} {document['smallest_p'][name]:.2g}, adjusted {adjusted:.2g}"
        for name, word in names.items()
        if (adjusted := document["smallest_adjusted_p"][name]) is not None
    ]
    if not told:
        return []
    draws = f"{document['num_resamples']:,} resamples"
    if document["smallest_p"]["randomisation_p"] == 2 / 2**units.num:
        draws = f"all 2^{units.num} ways to swap them"
    comparisons = document["num_comparisons"]
    return [
        f"The smallest p that {units.text} and {draws} can reach: {'; '.join(told)} for "
        f"{comparisons} comparison{'s' if comparisons > 1 else ''}."
    ]


def _fold_notes(is_joined: bool, rows: Sequence[ComparedGroup]) -> list[str]:
    if not is_joined:
        return []
    is_nested = rows[0].group.first.protocol.split_settings.get("nested")
    hint = "" if is_nested else " split.nested=true lets all validation folds choose."
    return [
        "Folds are joined, and what validates one fold is tested in another: the test score of "
        "the group that is ranked first has been chosen on its own test utterances, and is too "
        "high (by 0.02 for the best of 20 equal settings: benchmarks/statistics.py). What each "
        f"fold's own validation chooses is not.{hint}"
    ]
