"""Intervals and tests of one table of a comparison: what other seeds and units would change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmemo.comparison.difference_results import Difference, InferenceFacts, SmallestP
from mmemo.comparison.differences import DifferenceTests, num_resamples
from mmemo.comparison.document import FoldChoice
from mmemo.comparison.groups import FOLD
from mmemo.comparison.ranking_metric import ComparedMetric, ComparedMetrics
from mmemo.comparison.scored_groups import Bounds, GroupAnswers, ScoredGroup, TableUtterances
from mmemo.evaluation.confusion_scores import Floats, Tallies, confusion_counts
from mmemo.evaluation.intervals import (
    Interval,
    UnitTallies,
    left_out_scores,
    resampled_scores,
    score_interval,
    stacked,
)
from mmemo.evaluation.own_metrics import Answers
from mmemo.evaluation.row_intervals import left_out_answers, resampled_answers
from mmemo.evaluation.setting_estimates import SettingEstimate, SettingModel
from mmemo.evaluation.significance import holm
from mmemo.evaluation.units import Units, plural

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
        metrics: The table's; the one that ranks is tested.
        confidence: Coverage of the intervals.
        num_resamples: Resamples of bootstrap and randomisation, at least.
        seed: Seed of bootstrap and randomisation.
        is_unit_of_split: Whether what is drawn is what the split keeps together.
    """

    metrics: ComparedMetrics
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
        metrics, tested = self.metrics.by_name, self.metrics.ranking
        choice = choose_by_fold(rows, utterances, tested) if is_joined else None
        groups = [row.answers for row in rows] + ([choice.answers] if choice else [])
        units, draws = utterances.units, num_resamples(self.num_resamples, len(pairs))
        first = np.cumsum([0, *(group.counts.num_runs for group in groups)])
        places = [range(a, b) for a, b in zip(first, first[1:], strict=False)]
        resampled = self._resampled(groups, draws, units)
        values = {
            name: np.concatenate([group.values(metric) for group in groups])
            for name, metric in metrics.items()
        }
        models = {n: SettingModel.of(values[n], resampled[n], units) for n in metrics}
        means = {
            name: [scores[:, list(runs)].mean(axis=1) for runs in places]
            for name, scores in resampled.items()
        }
        bounds = [
            {
                name: Bounds(
                    setting=self._of_setting(models[name].score(runs), metric),
                    models=self._of_models(
                        metric, float(values[name][list(runs)].mean()), means[name][k], units
                    ),
                )
                for name, metric in metrics.items()
            }
            for k, runs in enumerate(places)
        ]
        tests = DifferenceTests(tested, self.confidence, draws, self.seed, units)
        estimates = [models[tested.name].difference(places[a], places[b]) for a, b in pairs]
        differences = tests.run(groups, means[tested.name], pairs, estimates)
        return InferredTable(
            self._facts(tests, differences),
            bounds[: len(rows)],
            differences,
            estimates,
            is_joined,
            choice.result(rows, bounds[-1]) if choice else None,
        )

    def _resampled(
        self, groups: Sequence[GroupAnswers], draws: int, units: Units
    ) -> dict[str, Floats]:
        """Scores of all runs in resamples of units, or of few without one at a time.

        Of what is not tested no more resamples than were asked for.
        """
        runs = stacked([group.counts for group in groups])
        ranking = self.metrics.ranking
        if units.has_jackknife:
            return {n: _left_out(m, groups, runs, units) for n, m in self.metrics.by_name.items()}
        others = {n: m.of_draws for n, m in self.metrics.others.items() if m.of_draws}
        found = resampled_scores(runs, others, self.num_resamples, self.seed)
        if ranking.of_draws is not None:
            tested = {ranking.name: ranking.of_draws}
            return found | resampled_scores(runs, tested, draws, self.seed)
        assert ranking.of_answers is not None
        answers = [one for group in groups for one in group.answers]
        own = resampled_answers(answers, ranking.of_answers, units, draws, self.seed)
        return found | {ranking.name: own}

    def _of_setting(
        self, estimate: SettingEstimate | None, metric: ComparedMetric
    ) -> Interval | None:
        if estimate is None:
            return None
        return estimate.interval(self.confidence, metric.lowest, metric.highest)

    def _of_models(
        self, metric: ComparedMetric, value: float, drawn: Floats, units: Units
    ) -> Interval | None:
        """Of a score (in resamples (R,), or without each of few units (G,))."""
        limits = (metric.lowest, metric.highest)
        return score_interval(value, drawn, self.confidence, units, limits)

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
                "interval": f"the setting: seeds and {plural(units.name)} drawn anew",
                "interval_models": f"these trained models: {_how(units)}",
            },
            is_jackknife=units.has_jackknife,
            num_comparisons=len(differences),
            num_resamples=tests.num_resamples,
            smallest_p=smallest if differences else SmallestP(None, None),
            smallest_adjusted_p=SmallestP(
                adjusted(smallest.bootstrap_p, [pair.bootstrap_p for pair in differences]),
                adjusted(smallest.randomisation_p, [pair.randomisation_p for pair in differences]),
            ),
        )


def _how(units: Units) -> str:
    if units.has_jackknife:
        return f"one {units.name} left out at a time ({units.jackknife_text})"
    return f"{plural(units.name)} drawn anew"


def _left_out(
    metric: ComparedMetric, groups: Sequence[GroupAnswers], runs: UnitTallies, units: Units
) -> Floats:
    """(G, S), scores of all runs without one unit at a time."""
    if metric.of_draws is not None:
        return left_out_scores(runs, metric.of_draws)
    assert metric.of_answers is not None
    answers = [one for group in groups for one in group.answers]
    return left_out_answers(answers, metric.of_answers, units)


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
            test=self.answers.scores(bounds, rows[0].metrics),
        )


def choose_by_fold(
    rows: Sequence[ScoredGroup], utterances: TableUtterances, metric: ComparedMetric
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
    places = (metric.sign * scores).argmax(axis=0)
    best = {str(fold): int(row) for fold, row in zip(folds, places, strict=True)}
    preds, answers = [], []
    for seed in seeds:
        joined = np.empty_like(utterances.target)
        probabilities = np.empty((len(joined), len(utterances.classes)))
        for fold, place in best.items():
            row, here = rows[place], utterances.test_folds == fold
            number = row.seeds.index(seed)
            joined[here] = row.preds[number][here]
            if row.answers.answers:
                probabilities[here] = row.answers.answers[number].probabilities[here]
        preds.append(joined)
        if metric.of_answers is not None:
            answers.append(Answers(joined, utterances.target, probabilities))
    return ChosenByFold(best, utterances.answers(CHOSEN_BY_FOLD, seeds, preds, answers))


def _val_score(row: ScoredGroup, fold: str, metric: ComparedMetric) -> float:
    """Mean over a group's runs of that fold."""
    tables: list[pd.DataFrame] = [
        run.val
        for replicate in row.group.replicates
        for run in replicate.runs
        if str(run.settings.get(FOLD)) == fold
    ]
    if metric.of_answers is not None:
        return float(np.mean([metric.of_answers.score(Answers.of(table)) for table in tables]))
    assert metric.of_tallies is not None
    confusions = np.stack([confusion_counts(table, row.classes) for table in tables])
    return float(metric.of_tallies(Tallies.of(confusions)).mean())
