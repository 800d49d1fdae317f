"""Training corpus by test corpus: what each group is worth on its own corpus and on others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmemo.comparison.document import (
    ComparisonDocument,
    ComparisonTable,
    CrossCorpusResult,
    GroupResult,
)
from mmemo.comparison.runs import RunResults
from mmemo.reporting.numbers import UNDEFINED, counted, interval, mean_sd, metric_name, percent
from mmemo.reporting.tables import Cell, Table, named, table_of


def cross_corpus_results(
    tables: Sequence[ComparisonTable], results: Sequence[RunResults], metric: str
) -> tuple[CrossCorpusResult, ...]:
    """The scores of groups on another corpus, or on each of several, and on their own.

    Args:
        tables: Of a comparison.
        results: The runs that they are of.
        metric: What is told.
    """
    runs = {run.name: run for run in results if run.part is None}
    own_names = {
        (str(runs[name].folder.path), runs[name].folder.missing): group.name
        for table in tables
        if table.protocol.evaluated_on is None and table.protocol.part is None
        for group in table.groups
        for name in group.runs
    }
    found = [
        (table, _result(table, group, runs[group.runs[0]], own_names, metric))
        for table in tables
        for group in table.groups
    ]
    crossed = {
        (one.trained_on, one.group)
        for table, one in found
        if table.protocol.evaluated_on or table.protocol.part
    }
    return tuple(one for _, one in found if (one.trained_on, one.group) in crossed)


def _result(
    table: ComparisonTable,
    group: GroupResult,
    run: RunResults,
    own_names: Mapping[tuple[str, str | None], str],
    metric: str,
) -> CrossCorpusResult:
    other = run.protocol.evaluated_on
    name = own_names.get((str(run.folder.path), run.folder.missing), group.name)
    evaluated_on = other.corpus if other else run.trained_on
    return CrossCorpusResult(
        trained_on=run.trained_on,
        group=name,
        evaluated_on=table.protocol.part or evaluated_on,
        rows=other.rows if other else f"test of {table.stamp}",
        num_utterances=table.protocol.num_utterances["test"],
        classes=table.protocol.classes,
        num_seeds=len(group.seeds),
        score=group.test[metric],
    )


def cross_corpus_table(document: ComparisonDocument) -> Table | None:
    """A row for each group, a column for each corpus; None where each was on its own alone."""
    found = document.cross_corpus
    if not found:
        return None
    columns = sorted({one.evaluated_on for one in found})
    rows = [
        [
            named(trained_on),
            named(group),
            *(
                _cell([o for o in found if _key(o) == (trained_on, group, column)])
                for column in columns
            ),
        ]
        for trained_on, group in dict.fromkeys((one.trained_on, one.group) for one in found)
    ]
    confidence = percent(document.confidence)
    note = (
        f"{metric_name(document.metric)}, mean over seeds; in brackets the {confidence} interval "
        "of the setting, or of these trained models (m) where seeds are few; N rows, of so many "
        "classes: those that model and corpus have. Numbers of one column are of the same rows "
        "only where N and rows are the same (split=test of `mmemo evaluate`)."
    )
    header = ["trained on", "group", *(f"on {column}" for column in columns)]
    align = "ll" + "r" * len(columns)
    title = "Training corpus by test corpus"
    return table_of("cross corpus", title, header, align, rows, note)


def _key(one: CrossCorpusResult) -> tuple[str, str, str]:
    return one.trained_on, one.group, one.evaluated_on


def _cell(found: Sequence[CrossCorpusResult]) -> Cell:
    """The group's results on one corpus, a line for each choice of rows."""
    if not found:
        return Cell(UNDEFINED)
    return Cell("\n".join(map(_line, found)), found[0].score.mean)


def _line(one: CrossCorpusResult) -> str:
    bounds = one.score.interval or one.score.interval_models
    mark = "" if one.score.interval else " m"
    shown = f" {interval(bounds)}{mark}" if bounds else ""
    classes = counted(len(one.classes), "class").replace("classs", "classes")
    return f"{mean_sd(one.score)}{shown}\n{one.rows}, N = {one.num_utterances}, {classes}"
