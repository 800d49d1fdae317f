"""What is chosen in each fold of a cross-validation by that fold's own validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmemo.comparison.compared_group import ComparedGroup, TableUtterances
from mmemo.comparison.differences import Scored
from mmemo.comparison.run_groups import FOLD
from mmemo.evaluation.confusion_scores import METRICS, Tallies, confusion_counts

NAME = "chosen fold by fold"


def shares_test(group: ComparedGroup) -> bool:
    """Whether what validates in one fold of a group's cross-validation is tested in another."""
    replicate = group.group.replicates[0]
    if len(replicate.test_folds) < 2:
        return False
    return bool(replicate.val["key"].isin(set(replicate.test["key"])).any())


@dataclass(frozen=True)
class FoldChoice:
    """The settings that validation chooses in each fold, and how they do on that fold's test.

    What is chosen for a fold has seen none of the fold's test utterances, so that the joined
    score is not too high. It is of the choice among these settings, not of one of them. Source:
    Varma and Simon 2006; Cawley and Talbot 2010.

    Args:
        chosen: Place of the group by fold.
        scored: The joined answers of the seeds that all groups have.
    """

    chosen: dict[str, int]
    scored: Scored


def choose_by_fold(
    rows: Sequence[ComparedGroup], utterances: TableUtterances, metric: str
) -> FoldChoice | None:
    """Choose in each fold by the mean over seeds, and validation folds, of its validation score.

    Args:
        rows: The groups, of joined folds.
        utterances: The table's.
        metric: What is chosen by.

    Returns:
        None where there is nothing to choose, or no seed that all groups have.
    """
    seeds = [seed for seed in rows[0].scored.seeds if all(seed in r.scored.seeds for r in rows)]
    folds = sorted(set(utterances.test_folds))
    if len(rows) < 2 or len(folds) < 2 or not seeds:
        return None
    scores = np.array([[_val_score(row, fold, metric) for fold in folds] for row in rows])
    best = {fold: int(place) for fold, place in zip(folds, scores.argmax(axis=0), strict=True)}
    preds = []
    for seed in seeds:
        joined = np.empty_like(utterances.target)
        for fold, place in best.items():
            row, here = rows[place], utterances.test_folds == fold
            joined[here] = row.preds[row.scored.seeds.index(seed)][here]
        preds.append(joined)
    return FoldChoice(best, utterances.scored(NAME, seeds, preds))


def _val_score(row: ComparedGroup, fold: str, metric: str) -> float:
    """Mean over a group's runs of that fold."""
    tables: list[pd.DataFrame] = [
        run.val
        for replicate in row.group.replicates
        for run in replicate.runs
        if str(run.settings.get(FOLD)) == fold
    ]
    confusions = np.stack([confusion_counts(table, row.classes) for table in tables])
    return float(METRICS[metric](Tallies.of(confusions)).mean())
