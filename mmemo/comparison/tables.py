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

from mmemo.comparison import contrasts, groups, sentences
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
        for sentence in sentences.opening(document, table, number):
            console.print(Text(sentence))
        # Names tell what differs, but for the user's own.
        has_labels = any("label" in group["settings"] for group in table["groups"])
        for part in map(_narrow, table_parts(document, table)):
            is_told = part.name in TERMINAL_TABLES or (part.name == "settings" and has_labels)
            if is_told:
                is_long = part.name == "differences"
                print_table(console, part, MAX_TERMINAL_DIFFERENCES if is_long else None)
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


def _narrow(part: TextTable) -> TextTable:
    """What fits into a line: ranks without names, one kind of interval, the setting's if any."""
    left_out = ["a − b", "group", "sign test"] if part.name == "differences" else []
    if any(name.endswith("the setting") for name in part.header):
        left_out += ["bootstrap", *(n for n in part.header if n.endswith("these models"))]
    kept = [place for place, name in enumerate(part.header) if not name.startswith(tuple(left_out))]
    return replace(
        part,
        header=[part.header[place] for place in kept],
        align="".join(part.align[place] for place in kept),
        rows=[[row[place] for place in kept] for row in part.rows],
    )


def markdown(document: dict[str, Any]) -> str:
    """All tables as Markdown; the best on validation is marked.

    Args:
        document: What ``comparison.json`` holds.
    """
    lines = [f"# {sentences.title(document)}", "", _escaped(sentences.reading(document))]
    for number, table in enumerate(document["tables"], 1):
        lines += ["", f"## {_escaped(sentences.heading(table, number))}"]
        opening = [_escaped(text) for text in sentences.opening(document, table, number)]
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
        lines += [f"% {_on_one_line(text)}" for text in sentences.opening(document, table, number)]
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
        ``unit, num_units, effective_units`` (what the intervals draw), settings (``setting
        fusion.bottleneck_dim``), for each metric its mean, sd and values on val and test with the
        interval of the setting (``low`` and ``high``) and of these trained models (``models_low``
        and ``models_high``), F1 by class (``f1_joy_mean``), cost, calibration and run folders.
        What is undefined is missing.
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
        **{name: table["inference"][name] for name in ("unit", "num_units", "effective_units")},
    }
    row |= {f"setting {name}": value for name, value in group["settings"].items()}
    for split in ("val", "test"):
        for metric, summary in group[split].items():
            row |= _summary(f"{split}_{metric}", summary)
            for kind, suffix in (("interval", ""), ("interval_models", "_models")):
                if bounds := summary.get(kind):
                    name = f"{split}_{metric}{suffix}"
                    row |= {f"{name}_low": bounds[0], f"{name}_high": bounds[1]}
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
