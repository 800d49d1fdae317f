"""A comparison as text: for the terminal, as Markdown, as LaTeX and as a row for each group."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pandas as pd
from rich.text import Text

from mmemo.comparison import sentences
from mmemo.comparison.cross_corpus import cross_corpus_table
from mmemo.comparison.document import ComparisonDocument, ComparisonTable, GroupResult
from mmemo.comparison.published import published_tables
from mmemo.comparison.stressed_groups import stress_tables
from mmemo.comparison.tables import comparison_tables
from mmemo.evaluation.intervals import Interval
from mmemo.evaluation.seed_summary import SeedSummary
from mmemo.reporting import tables
from mmemo.reporting.tables import Table, escape_markdown, plain_console, print_table, printed

MAX_TERMINAL_DIFFERENCES = 20
TERMINAL_TABLES = ("results", "seeds", "classes", "cost", "differences", "published")
LATEX_TABLES = ("results", "classes", "differences", "published")
MAX_LATEX_ROWS = 40

Value = str | int | float | bool | None


def terminal_text(document: ComparisonDocument) -> str:
    """The main tables as plain text of at most 120 columns, for a terminal or a pipe."""
    console = plain_console()
    console.print(Text(f"{sentences.title(document)}. {sentences.reading(document)}"))
    for number, table in enumerate(document.tables, 1):
        console.print(Text(f"\n{sentences.heading(table, number)}"))
        for sentence in sentences.opening(document, table, number):
            console.print(Text(sentence))
        # Names tell what differs, but for the user's own.
        has_labels = any("label" in group.settings for group in table.groups)
        for part in map(_narrow, comparison_tables(document, table)):
            if part.name in TERMINAL_TABLES or (part.name == "settings" and has_labels):
                is_long = part.name == "differences"
                print_table(console, part, MAX_TERMINAL_DIFFERENCES if is_long else None)
        if num_apart := len(published_tables(table.published)[1]):
            console.print(Text(f"Published otherwise, not to be ranked: {num_apart}, in the page."))
        for sentence in filter(None, [*table.notes, sentences.gain_summary(table)]):
            console.print(Text(f"Note: {sentence}"))
    if crossed := cross_corpus_table(document):
        console.print()
        print_table(console, crossed)
    for stressed in stress_tables(document):
        console.print()
        print_table(console, stressed)
    for note in document.stress_notes:
        console.print(Text(f"Note: {note}"))
    if left_out := sentences.left_out(document):
        console.print(Text("\nLeft out:"))
        for line in left_out:
            console.print(Text(f"  {line}"))
    return printed(console)


def _narrow(part: Table) -> Table:
    """What fits into a line: ranks without names, one kind of interval, the setting's if any."""
    left_out = ["a − b", "group", "sign test"] if part.name == "differences" else []
    if any(name.endswith("the setting") for name in part.header):
        left_out += ["bootstrap", *(n for n in part.header if n.endswith("these models"))]
    return part.without(lambda name: name.startswith(tuple(left_out))) if left_out else part


def markdown(document: ComparisonDocument) -> str:
    """All tables as Markdown; the best on validation is marked."""
    lines = [f"# {sentences.title(document)}", "", escape_markdown(sentences.reading(document))]
    for number, table in enumerate(document.tables, 1):
        lines += ["", f"## {escape_markdown(sentences.heading(table, number))}"]
        opening = [escape_markdown(text) for text in sentences.opening(document, table, number)]
        if table.leak_warning:
            opening[0] = f"**{opening[0]}**"
        for sentence in opening:
            lines += ["", sentence]
        for part in comparison_tables(document, table):
            lines += ["", f"### {escape_markdown(part.title)}", "", tables.markdown(part)]
            lines += ["", escape_markdown(part.note)] if part.note else []
        notes = [note for note in [*table.notes, sentences.gain_summary(table)] if note]
        lines += ["", *(f"- {escape_markdown(note)}" for note in notes)] if notes else []
    if crossed := cross_corpus_table(document):
        lines += ["", f"## {crossed.title}", "", tables.markdown(crossed)]
        lines += ["", escape_markdown(crossed.note)]
    for stressed in stress_tables(document):
        lines += ["", f"## {escape_markdown(stressed.title)}", "", tables.markdown(stressed)]
        lines += ["", escape_markdown(stressed.note)]
    if left_out := sentences.left_out(document):
        lines += ["", "## Left out", "", *(f"- {escape_markdown(line)}" for line in left_out)]
    return "\n".join(lines) + "\n"


def latex(document: ComparisonDocument) -> str:
    """The tables for a paper, with booktabs; the best on validation is marked."""
    lines = [
        r"% Needs \usepackage{booktabs,graphicx}.",
        f"% {sentences.title(document)}. {sentences.reading(document)}",
    ]
    for number, table in enumerate(document.tables, 1):
        heading = sentences.heading(table, number)
        comments = [heading, *sentences.opening(document, table, number), *table.notes]
        # A comment ends with its line.
        lines += ["", *(f"% {' '.join(text.split())}" for text in comments)]
        warning = f" {table.leak_warning}" if table.leak_warning else ""
        for part in comparison_tables(document, table):
            if part.name in LATEX_TABLES:
                caption = f"{part.title} ({heading.partition(': ')[2]}).{warning}"
                caption += f" {part.note}" if part.note else ""
                label = f"tab:comparison-{number}-{part.name}"
                lines += ["", tables.latex(part, caption, label, MAX_LATEX_ROWS)]
    if crossed := cross_corpus_table(document):
        caption, label = f"{crossed.title}. {crossed.note}", "tab:comparison-cross-corpus"
        lines += ["", tables.latex(crossed, caption, label, MAX_LATEX_ROWS)]
    for stressed in stress_tables(document):
        caption, label = f"{stressed.title}. {stressed.note}", "tab:comparison-stress"
        label += f"-{stressed.title.rpartition(' ')[2]}"
        lines += ["", tables.latex(stressed, caption, label, MAX_LATEX_ROWS)]
    return "\n".join(lines) + "\n"


def frame(document: ComparisonDocument) -> pd.DataFrame:
    """One row for each group of each table, its scores as numbers.

    Returns:
        ``table, stamp, corpus, evaluated_on`` (another corpus, else missing), ``part`` (the one of
        several corpora that test is of, else missing), ``labels, leaky, rank, group, modalities,
        num_seeds, seeds``, sizes,
        ``unit, num_units, effective_units`` (what the intervals draw), settings (``setting
        fusion.bottleneck_dim``), for each metric its mean, sd and values on val and test with the
        interval of the setting (``low`` and ``high``) and of these trained models (``models_low``
        and ``models_high``), F1 and recall by class (``f1_joy_mean``), cost, calibration and run
        folders. What is undefined is missing.
    """
    return pd.DataFrame(
        [
            _frame_row(number, rank, table, group)
            for number, table in enumerate(document.tables, 1)
            for rank, group in enumerate(table.groups, 1)
        ]
    )


def _frame_row(
    number: int, rank: int, table: ComparisonTable, group: GroupResult
) -> dict[str, object]:
    protocol, inference, calibration = table.protocol, table.inference, group.calibration
    row: dict[str, object] = {
        "table": number,
        "stamp": table.stamp,
        "corpus": protocol.corpus,
        "evaluated_on": protocol.evaluated_on,
        "part": protocol.part,
        "labels": protocol.labels,
        "leaky": protocol.leaky,
        "num_val": protocol.num_utterances["val"],
        "num_test": protocol.num_utterances["test"],
        "rank": rank,
        "group": group.name,
        "modalities": group.modalities,
        "num_seeds": len(group.seeds),
        "seeds": _joined(group.seeds),
        "unit": inference.unit,
        "num_units": inference.num_units,
        "effective_units": inference.effective_units,
    }
    row |= {f"setting {name}": value for name, value in group.settings.items()}
    for metric, val in group.val.items():
        row |= _summary(f"val_{metric}", val)
    for metric, test in group.test.items():
        name = f"test_{metric}"
        row |= _summary(name, test)
        row |= _bounds(name, test.interval) | _bounds(f"{name}_models", test.interval_models)
    for name, f1 in group.per_class_f1.items():
        row |= _summary(f"f1_{name}", f1)
    for name, recall in group.per_class_recall.items():
        row |= _summary(f"recall_{name}", recall)
    row |= {"num_parameters": group.num_parameters, "num_trainable": group.num_trainable}
    row |= _summary("fit_s", group.fit_s) | _summary("samples_per_s", group.samples_per_s)
    row |= _summary("temperature", calibration.temperature)
    row |= _summary("ece", calibration.ece) | _summary("ece_scaled", calibration.ece_scaled)
    row |= _summary("brier", calibration.brier) | _summary("brier_scaled", calibration.brier_scaled)
    row |= _summary("aurc", group.aurc)
    return row | {"runs": json.dumps(group.runs)}


def _summary(name: str, summary: SeedSummary | None) -> dict[str, Value]:
    if summary is None:
        return {}
    return {
        f"{name}_mean": summary.mean,
        f"{name}_sd": summary.sd,
        f"{name}_values": _joined(summary.values),
    }


def _bounds(name: str, bounds: Interval | None) -> dict[str, Value]:
    return {f"{name}_low": bounds[0], f"{name}_high": bounds[1]} if bounds else {}


def _joined(values: Sequence[float]) -> str:
    """The values of one cell, in the order of its seeds, apart by spaces."""
    return " ".join(map(str, values))
