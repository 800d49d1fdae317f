"""Intervals and tests of one table of a comparison: what other seeds and units would change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmemo.comparison.differences import DifferenceTests, num_resamples
from mmemo.comparison.document import Difference, FoldChoice, InferenceFacts, SmallestP
from mmemo.comparison.groups import FOLD
from mmemo.comparison.scored_groups import Bounds, GroupAnswers, ScoredGroup, TableUtterances
from mmemo.evaluation.confusion_scores import METRICS, Floats, Tallies, confusion_counts
from mmemo.evaluation.intervals import interval, resampled_scores, stacked
from mmemo.evaluation.setting_estimates import SettingEstimate, SettingModel
from mmemo.evaluation.significance import holm
from mmemo.evaluation.units import Units

CHOSEN_BY_FOLD = "chosen fold by fold"


@dataclass(frozen=True)
class InferredTable:
    """What is inferred from a table's groups.

    Args:
        facts: What intervals and tests rest on.
        bounds: Intervals of each group by metric.
        differences: Difference of each pair, with its tests.
        estimates: The setting's difference of each pair; None where there is none.
        is_joined: Whether folds are joined of which one validates what another tests.
        fold_choice: What each fold's validation chooses; None where there is nothing to choose.
    """

    facts: InferenceFacts
    bounds: list[dict[str, Bounds]]
    differences: list[Difference]
    estimates: list[SettingEstimate | None]
    is_joined: bool
    fold_choice: FoldChoice | None


@dataclass(frozen=True)
class Inference:
    """How intervals and tests are made.

    Args:
        metric: Name of the metric that is tested.
        confidence: Coverage of the intervals.
        num_resamples: Resamples of bootstrap and randomisation, at least.
        seed: Seed of bootstrap and randomisation.
        is_unit_of_split: Whether what is drawn is what the split keeps together.
    """

    metric: str
    confidence: float
    num_resamples: int
    seed: int
    is_unit_of_split: bool

    def run(
        self,
        rows: Sequence[ScoredGroup],
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
        groups = [row.answers for row in rows] + ([choice.answers] if choice else [])
        units, draws = utterances.units, num_resamples(self.num_resamples, len(pairs))
        first = np.cumsum([0, *(group.counts.num_runs for group in groups)])
        places = [range(a, b) for a, b in zip(first, first[1:], strict=False)]
        resampled = self._resampled(groups, draws)
        models = {
            name: SettingModel.of(
                np.concatenate([group.counts.scores(metric) for group in groups]),
                resampled[name],
                units,
            )
            for name, metric in METRICS.items()
        }
        means = {
            name: [scores[:, list(runs)].mean(axis=1) for runs in places]
            for name, scores in resampled.items()
        }
        bounds = [
            {
                name: self._bounds(models[name].score(runs), means[name][k], units)
                for name in METRICS
            }
            for k, runs in enumerate(places)
        ]
        tests = DifferenceTests(self.metric, self.confidence, draws, self.seed, units)
        estimates = [models[self.metric].difference(places[a], places[b]) for a, b in pairs]
        differences = tests.run(groups, means[self.metric], pairs, estimates)
        return InferredTable(
            self._facts(tests, differences),
            bounds[: len(rows)],
            differences,
            estimates,
            is_joined,
            choice.result(rows, bounds[-1]) if choice else None,
        )

    def _resampled(self, groups: Sequence[GroupAnswers], draws: int) -> dict[str, Floats]:
        """Scores of all runs; of what is not tested no more resamples than were asked for."""
        runs = stacked([group.counts for group in groups])
        tested = {self.metric: METRICS[self.metric]}
        others = {name: metric for name, metric in METRICS.items() if name != self.metric}
        return {
            **resampled_scores(runs, others, self.num_resamples, self.seed),
            **resampled_scores(runs, tested, draws, self.seed),
        }

    def _bounds(self, estimate: SettingEstimate | None, mean: Floats, units: Units) -> Bounds:
        return Bounds(
            setting=None if estimate is None else estimate.interval(self.confidence, 0.0),
            models=interval(mean, self.confidence, units),
        )

    def _facts(self, tests: DifferenceTests, differences: Sequence[Difference]) -> InferenceFacts:
        units, smallest = tests.units, tests.smallest_p()

        def adjusted(p: float | None, defined: Sequence[float | None]) -> float | None:
            num = sum(found is not None for found in defined)
            return holm([p] * num)[0] if p is not None and num else None

        return InferenceFacts(
            unit=units.name,
            num_units=units.num,
            effective_units=round(units.effective_num, 1),
            is_unit_of_split=self.is_unit_of_split,
            kinds={
                "interval": f"the setting: seeds and {units.name}s drawn anew",
                "interval_models": f"these trained models: {units.name}s drawn anew",
            },
            num_comparisons=len(differences),
            num_resamples=tests.num_resamples,
            smallest_p=smallest if differences else SmallestP(None, None),
            smallest_adjusted_p=SmallestP(
                adjusted(smallest.bootstrap_p, [pair.bootstrap_p for pair in differences]),
                adjusted(smallest.randomisation_p, [pair.randomisation_p for pair in differences]),
            ),
        )


def shares_test(group: ScoredGroup) -> bool:
    """Whether what validates in one fold of a group's cross-validation is tested in another."""
    replicate = group.group.replicates[0]
    if len(replicate.test_folds) < 2:
        return False
    return bool(replicate.val["key"].isin(set(replicate.test["key"])).any())


@dataclass(frozen=True)
class ChosenByFold:
    """The settings that validation chooses in each fold, and how they do on that fold's test.

    What is chosen for a fold has seen none of the fold's test utterances, so that the joined
    score is not too high. It is of the choice among these settings, not of one of them. Source:
    Varma and Simon 2006; Cawley and Talbot 2010.

    Args:
        places: Place of the group by fold.
        answers: The joined answers of the seeds that all groups have.
    """

    places: dict[str, int]
    answers: GroupAnswers

    def result(self, rows: Sequence[ScoredGroup], bounds: dict[str, Bounds]) -> FoldChoice:
        """What the comparison says of it; ``bounds`` are of the joined answers, by metric."""
        return FoldChoice(
            chosen={fold: rows[place].name for fold, place in self.places.items()},
            seeds=self.answers.seeds,
            test=self.answers.scores(bounds),
        )


def choose_by_fold(
    rows: Sequence[ScoredGroup], utterances: TableUtterances, metric: str
) -> ChosenByFold | None:
    """Choose in each fold by the mean over seeds, and validation folds, of its validation score.

    Args:
        rows: The groups, of joined folds.
        utterances: The table's.
        metric: What is chosen by.

    Returns:
        None where there is nothing to choose, or no seed that all groups have.
    """
    seeds = [seed for seed in rows[0].seeds if all(seed in row.seeds for row in rows)]
    folds = sorted(set(utterances.test_folds))
    if len(rows) < 2 or len(folds) < 2 or not seeds:
        return None
    scores = np.array([[_val_score(row, fold, metric) for fold in folds] for row in rows])
    best = {str(fold): int(row) for fold, row in zip(folds, scores.argmax(axis=0), strict=True)}
    preds = []
    for seed in seeds:
        joined = np.empty_like(utterances.target)
        for fold, place in best.items():
            row, here = rows[place], utterances.test_folds == fold
            joined[here] = row.preds[row.seeds.index(seed)][here]
        preds.append(joined)
    return ChosenByFold(best, utterances.answers(CHOSEN_BY_FOLD, seeds, preds))


def _val_score(row: ScoredGroup, fold: str, metric: str) -> float:
    """Mean over a group's runs of that fold."""
    tables: list[pd.DataFrame] = [
        run.val
        for replicate in row.group.replicates
        for run in replicate.runs
        if str(run.settings.get(FOLD)) == fold
    ]
    confusions = np.stack([confusion_counts(table, row.classes) for table in tables])
    return float(METRICS[metric](Tallies.of(confusions)).mean())
