"""Groups under the conditions of ``mmemo stress``, side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mmemo.comparison.document import (
    ComparisonDocument,
    ComparisonTable,
    StressedCondition,
    StressedGroup,
)
from mmemo.comparison.runs import RunResults
from mmemo.errors import InputError
from mmemo.evaluation.seed_summary import SeedSummary
from mmemo.reporting.numbers import UNDEFINED, counted, mean_sd, signed
from mmemo.reporting.tables import Cell, Table, mean_cell, named, table_of
from mmemo.stress.document import METRICS, STRESS_FILE, STRESS_FOLDER, StressDocument, read_stress
from mmemo.stress.tables import level_of, metric_title

USUAL_METRIC = "macro_f1"
"""Told where the comparison's metric is none of those that a stress test has."""


def stressed_groups(
    tables: Sequence[ComparisonTable], results: Sequence[RunResults], metric: str
) -> tuple[tuple[StressedGroup, ...], tuple[str, ...]]:
    """What each group is worth under each condition, over its runs that were tried.

    Args:
        tables: Of a comparison.
        results: The runs that they are of.
        metric: That it ranks by.

    Returns:
        The groups of which a run was tried, and a sentence for each run whose results cannot be
        read, or are of another draw of utterances than those of its group.
    """
    told = metric if metric in METRICS else USUAL_METRIC
    by_name = {
        run.name: run
        for run in results
        if run.part is None and run.protocol.evaluated_on is None and run.protocol.missing is None
    }
    found, notes = [], []
    for number, table in enumerate(tables, 1):
        if table.protocol.evaluated_on is not None or table.protocol.part is not None:
            continue
        for group in table.groups:
            documents: dict[str, StressDocument] = {}
            for name in group.runs:
                run = by_name.get(name)
                if run is None or not (run.folder.path / STRESS_FOLDER / STRESS_FILE).is_file():
                    continue
                try:
                    documents[name] = read_stress(run.folder.path)
                except InputError as error:
                    notes.append(str(error))
            if documents:
                widest = max(map(_draw, documents.values()))
                alike = [one for one in documents.values() if _draw(one) == widest]
                found.append(_group(number, group.name, alike, told))
                notes += [
                    f"{name}: tried {_told(one)}, others of its group {_told(alike[0])}: it is "
                    "in no mean under stress; try it on the same ones with `mmemo stress run=DIR`"
                    for name, one in documents.items()
                    if _draw(one) != widest
                ]
    return tuple(found), tuple(notes)


def _draw(document: StressDocument) -> tuple[float, int]:
    """Equal where as much of test was tried: of two the larger one is the wider draw.

    All of test is the widest; the folds of a cross-validation have each their own.
    """
    if document.num_utterances == document.num_of_test:
        return math.inf, 0
    return document.num_utterances, -document.seed


def _told(document: StressDocument) -> str:
    num, num_of_test = document.num_utterances, document.num_of_test
    if num == num_of_test:
        return "on all test utterances"
    return f"on {num:,} of {num_of_test:,} test utterances (seed={document.seed})"


def _group(
    number: int, name: str, documents: Sequence[StressDocument], metric: str
) -> StressedGroup:
    order = dict.fromkeys(one.name for document in documents for one in document.conditions)
    by_name = [{one.name: one for one in document.conditions} for document in documents]
    conditions = []
    for key in order:
        tried = [conditions_of[key] for conditions_of in by_name if key in conditions_of]
        scores = [one.scores[metric] for one in tried]
        conditions.append(
            StressedCondition(
                panel=key[0],
                line=key[1],
                level=level_of(tried[0]),
                score=SeedSummary.of(one.value for one in scores),
                to_clean=SeedSummary.of(one.difference for one in scores),
            )
        )
    return StressedGroup(
        table=number,
        group=name,
        metric=metric,
        num_utterances=min(document.num_utterances for document in documents),
        clean=SeedSummary.of(document.clean[metric] for document in documents),
        conditions=tuple(conditions),
    )


def stress_tables(document: ComparisonDocument) -> list[Table]:
    """For each table of the comparison of which groups were tried: conditions by groups."""
    numbers = dict.fromkeys(one.table for one in document.stressed)
    return [
        _table(number, [g for g in document.stressed if g.table == number]) for number in numbers
    ]


def _table(number: int, groups: Sequence[StressedGroup]) -> Table:
    keys = dict.fromkeys((c.panel, c.line, c.level) for group in groups for c in group.conditions)
    rows: list[list[Cell | str]] = [[named("clean"), "", *(mean_cell(g.clean) for g in groups)]]
    by_key = [
        ({(c.panel, c.line, c.level): c for c in group.conditions}, len(group.clean.values))
        for group in groups
    ]
    for key in keys:
        panel, line, level = key
        name = f"{panel}: {line}" if line else panel
        rows.append([named(name), level, *(_cell(found.get(key), num) for found, num in by_key)])
    # Narrow enough for two or three groups beside each other in a terminal.
    names = [group.group.replace(", ", ",\n") for group in groups]
    header = ["condition", "", *names]
    title = f"Under stress, table {number}"
    counts = ", ".join(
        f"{counted(len(group.clean.values), 'run')} on {counted(group.num_utterances, 'utterance')}"
        for group in groups
    )
    note = (
        f"{metric_title(groups[0].metric)} on test, in brackets the difference to clean; means "
        f"over seeds ({counts}). Intervals stand on each run's own page, stress/stress.html. What "
        "denoising is called otherwise than in training depends on the training."
    )
    return table_of("stress", title, header, "ll" + "r" * len(groups), rows, note)


def _cell(found: StressedCondition | None, num_runs: int) -> Cell:
    if found is None:
        return Cell(UNDEFINED)
    text = f"{mean_sd(found.score)} ({signed(found.to_clean.mean)})"
    num = len(found.score.values)
    if num < num_runs:
        text += f", {num} of {num_runs} runs"
    return Cell(text, found.score.mean)
