"""The tables of a comparison for the terminal, Markdown, LaTeX and data frames."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from io import StringIO
from typing import Any

import pandas as pd
from rich.console import Console
from rich.text import Text

from mmemo.reporting import comparison_contrasts as contrasts
from mmemo.reporting import comparison_groups as groups
from mmemo.reporting import comparison_sentences as sentences
from mmemo.reporting.latex_tables import booktabs
from mmemo.reporting.terminal_tables import NUM_COLUMNS, print_table
from mmemo.reporting.text_table import TextTable

MAX_TERMINAL_DIFFERENCES = 20
TERMINAL_TABLES = ("results", "seeds", "classes", "cost", "differences", "published")
LATEX_TABLES = ("results", "classes", "differences", "published")
MAX_LATEX_ROWS = 40


def table_parts(document: dict[str, Any], table: dict[str, Any]) -> list[TextTable]:
    """All tables of one protocol, those without rows left out."""
    parts = [
        groups.results_table(document, table),
        groups.settings_table(table),
        groups.seeds_table(document, table),
        groups.class_table(document, table),
        groups.cost_table(table),
        groups.calibration_table(document, table),
        contrasts.differences_table(document, table),
        *contrasts.gain_tables(table),
        *contrasts.published_tables(table),
    ]
    return [part for part in parts if part.rows]


def terminal_text(document: dict[str, Any]) -> str:
    """The main tables as plain text of at most 120 columns, for a terminal or a pipe.

    Args:
        document: What ``comparison.json`` holds.
    """
    page = StringIO()
    console = Console(
        file=page,
        width=NUM_COLUMNS,
        color_system=None,
        force_terminal=False,
        legacy_windows=False,
    )
    console.print(Text(f"{sentences.title(document)}. {sentences.reading(document)}"))
    for number, table in enumerate(document["tables"], 1):
        console.print(Text(f"\n{sentences.heading(table, number)}"))
        for sentence in sentences.opening(table, number):
            console.print(Text(sentence))
        # Names tell what differs, but for the user's own.
        has_labels = any("label" in group["settings"] for group in table["groups"])
        for part in table_parts(document, table):
            is_told = part.name in TERMINAL_TABLES or (part.name == "settings" and has_labels)
            if is_told:
                if part.name == "differences":
                    print_table(console, _without_names(part), MAX_TERMINAL_DIFFERENCES)
                else:
                    print_table(console, part)
        if apart := contrasts.published_tables(table)[1].rows:
            console.print(
                Text(f"Published otherwise, not to be ranked: {len(apart)}, in the page.")
            )
        for sentence in filter(None, [*table["notes"], sentences.gain_summary(table)]):
            console.print(Text(f"Note: {sentence}"))
    if left_out := sentences.left_out(document):
        console.print(Text("\nLeft out:"))
        for line in left_out:
            console.print(Text(f"  {line}"))
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines()) + "\n"


def _without_names(differences: TextTable) -> TextTable:
    """The ranks alone: two names and eight numbers do not fit into a line."""
    header, align = differences.header, differences.align
    return replace(
        differences,
        header=[header[0], *header[2:]],
        align=align[0] + align[2:],
        rows=[[row[0], *row[2:]] for row in differences.rows],
    )


def markdown(document: dict[str, Any]) -> str:
    """All tables as Markdown; the best on validation is marked.

    Args:
        document: What ``comparison.json`` holds.
    """
    lines = [f"# {sentences.title(document)}", "", _escaped(sentences.reading(document))]
    for number, table in enumerate(document["tables"], 1):
        lines += ["", f"## {_escaped(sentences.heading(table, number))}"]
        opening = [_escaped(sentence) for sentence in sentences.opening(table, number)]
        if table["leak_warning"]:
            opening[0] = f"**{opening[0]}**"
        for sentence in opening:
            lines += ["", sentence]
        for part in table_parts(document, table):
            lines += ["", f"### {_escaped(part.title)}", "", *_markdown_table(part)]
            lines += ["", _escaped(part.note)] if part.note else []
        notes = [*table["notes"], sentences.gain_summary(table)]
        lines += ["", *(f"- {_escaped(note)}" for note in notes if note)] if any(notes) else []
    if left_out := sentences.left_out(document):
        lines += ["", "## Left out", "", *(f"- {_escaped(line)}" for line in left_out)]
    return "\n".join(lines) + "\n"


def _markdown_table(part: TextTable) -> list[str]:
    rows = [[_escaped(name.replace("\n", " ")) for name in part.header]]
    rows.append(["---" if side == "l" else "---:" for side in part.align])
    for row in part.rows:
        rows.append([_escaped(cell.text.replace("\n", " ")) for cell in row])
    return [f"| {' | '.join(row)} |" for row in rows]


def _escaped(text: str) -> str:
    """Text that Markdown shows as it reads; underscores inside words need no escape."""
    return re.sub(r"([\\`*<>|\[\]#~$])", r"\\\1", text)


def latex(document: dict[str, Any]) -> str:
    """The tables for a paper, with booktabs; the best on validation is marked.

    Args:
        document: What ``comparison.json`` holds.
    """
    lines = [
        r"% Needs \usepackage{booktabs,graphicx}.",
        f"% {sentences.title(document)}. {sentences.reading(document)}",
    ]
    for number, table in enumerate(document["tables"], 1):
        about = sentences.heading(table, number).partition(": ")[2]
        warning = f" {table['leak_warning']}" if table["leak_warning"] else ""
        lines += ["", f"% {_on_one_line(sentences.heading(table, number))}"]
        lines += [f"% {_on_one_line(text)}" for text in sentences.opening(table, number)]
        lines += [f"% {_on_one_line(note)}" for note in table["notes"]]
        for part in table_parts(document, table):
            if part.name in LATEX_TABLES:
                caption = f"{part.title} ({about}).{warning}"
                caption += f" {part.note}" if part.note else ""
                label = f"tab:comparison-{number}-{part.name}"
                lines += ["", booktabs(part, caption, label, MAX_LATEX_ROWS)]
    return "\n".join(lines) + "\n"


def _on_one_line(text: str) -> str:
    """A comment ends with its line."""
    return " ".join(text.split())


def frame(document: dict[str, Any]) -> pd.DataFrame:
    """One row for each group of each table, its scores as numbers.

    Args:
        document: What ``comparison.json`` holds.

    Returns:
        ``table, stamp, corpus, labels, leaky, rank, group, modalities, num_seeds, seeds``, sizes,
        settings (``setting fusion.bottleneck_dim``), for each metric its mean, sd and values on
        val and test with the interval's ``low`` and ``high``, F1 by class (``f1_joy_mean``),
        cost, calibration and run folders. What is undefined is missing.
    """
    rows = []
    for number, table in enumerate(document["tables"], 1):
        for rank, group in enumerate(table["groups"], 1):
            rows.append(_frame_row(number, rank, table, group))
    return pd.DataFrame(rows)


def _frame_row(
    number: int, rank: int, table: dict[str, Any], group: dict[str, Any]
) -> dict[str, Any]:
    protocol = table["protocol"]
    row: dict[str, Any] = {
        "table": number,
        "stamp": table["stamp"],
        **{name: protocol[name] for name in ("corpus", "labels", "leaky")},
        "num_val": protocol["num_utterances"]["val"],
        "num_test": protocol["num_utterances"]["test"],
        "rank": rank,
        "group": group["name"],
        "modalities": group["modalities"],
        "num_seeds": len(group["seeds"]),
        "seeds": _joined(group["seeds"]),
    }
    row |= {f"setting {name}": value for name, value in group["settings"].items()}
    for split in ("val", "test"):
        for metric, summary in group[split].items():
            row |= _summary(f"{split}_{metric}", summary)
            if summary.get("interval"):
                low, high = summary["interval"]
                row |= {f"{split}_{metric}_low": low, f"{split}_{metric}_high": high}
    for name, summary in group["per_class_f1"].items():
        row |= _summary(f"f1_{name}", summary)
    row["num_parameters"] = group["num_parameters"]
    for name in ("fit_s", "samples_per_s"):
        row |= _summary(name, group[name])
    for name in ("temperature", "ece", "ece_scaled", "brier", "brier_scaled"):
        row |= _summary(name, (group["calibration"] or {}).get(name))
    return row | {"runs": json.dumps(group["runs"])}


def _summary(name: str, summary: dict[str, Any] | None) -> dict[str, Any]:
    if not summary:
        return {}
    return {
        f"{name}_mean": summary["mean"],
        f"{name}_sd": summary["sd"],
        f"{name}_values": _joined(summary["values"]),
    }


def _joined(values: list[Any]) -> str:
    """The values of one cell, in the order of its seeds, apart by spaces."""
    return " ".join(map(str, values))
