"""The page of a comparison: one file that needs nothing but itself."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from mmemo.comparison import sentences
from mmemo.comparison.cross_corpus import cross_corpus_table
from mmemo.comparison.document import ComparisonDocument, ComparisonTable, GroupResult
from mmemo.comparison.figures import (
    MAX_DIFFERENCES,
    MAX_GROUPS,
    TitledFigure,
    agreement_figure,
    difference_forest,
    gain_figures,
    seed_scatter,
    seed_strip,
)
from mmemo.comparison.panels import loss_curves, metric_curves, reliability
from mmemo.comparison.tables import comparison_tables
from mmemo.folders import write_whole
from mmemo.reporting.numbers import in_words
from mmemo.reporting.self_contained import render_page
from mmemo.reporting.tables import Table
from mmemo.runs.run_folder import RunFolder

DARK_PERCENT = 55
FULL_COLOUR = (8, 81, 156)


@dataclass(frozen=True)
class ReportLink:
    """The report of a run: its name, and its address from the page's folder."""

    name: str
    address: str


@dataclass(frozen=True)
class ConfusionCell:
    """A cell of a confusion matrix.

    Args:
        count: Utterances.
        percent: Share of the row's utterances, in per cent.
        background: Colour of the cell.
        is_dark: Whether the background is dark, so that text has to be light.
    """

    count: int
    percent: float
    background: str
    is_dark: bool


@dataclass(frozen=True)
class ConfusionRow:
    """The utterances of one annotated class, by predicted class."""

    name: str
    total: int
    cells: tuple[ConfusionCell, ...]


@dataclass(frozen=True)
class ConfusionMatrix:
    """The confusion matrix of a group, summed over its seeds."""

    rank: int
    name: str
    num_seeds: int
    rows: tuple[ConfusionRow, ...]


@dataclass(frozen=True)
class Section:
    """What the page has of one table: sentences, tables by name, figures."""

    heading: str
    leak_warning: str | None
    not_ranked: str | None
    classes: str
    drawn: str
    fold_choice: str | None
    notes: Sequence[str]
    protocol: Mapping[str, str]
    tables: Mapping[str, Table]
    reports: Sequence[tuple[str, Sequence[ReportLink]]]
    num_groups: int
    num_shown: int
    strip: Markup
    scatter: Markup
    metric_curves: Markup | None
    loss_curves: Markup | None
    confusions: Sequence[ConfusionMatrix]
    reliability: Markup
    forest: Markup | None
    gains: Sequence[tuple[Table, Markup]]
    gain_summary: str | None
    agreement: Markup | None


def write_comparison_page(document: ComparisonDocument, path: Path) -> None:
    """Write the comparison as ``comparison.html``, figures inside, text escaped."""
    page = render_page(
        "comparison.html.j2",
        title=sentences.title(document),
        reading=sentences.reading(document),
        sections=[
            _section(document, table, number, path.parent)
            for number, table in enumerate(document.tables, 1)
        ],
        cross_corpus=cross_corpus_table(document),
        left_out=sentences.left_out(document),
        max_differences=MAX_DIFFERENCES,
    )
    write_whole(path, page)


def _section(
    document: ComparisonDocument, table: ComparisonTable, number: int, folder: Path
) -> Section:
    parts = comparison_tables(document, table)
    gains = [part for part in parts if part.name.startswith("gain by ")]

    def svg(titled: TitledFigure | None, name: str) -> Markup | None:
        return None if titled is None else titled.svg(f"table{number}-{name}")

    return Section(
        heading=sentences.heading(table, number),
        leak_warning=table.leak_warning,
        not_ranked=sentences.not_ranked(table, number),
        classes=sentences.classes(table),
        drawn=sentences.drawn(document, table),
        fold_choice=sentences.fold_choice(document, table),
        notes=table.notes,
        protocol=in_words(table.protocol.fields),
        tables={part.name: part for part in parts if part not in gains},
        reports=[(group.name, report_links(group, folder)) for group in table.groups],
        num_groups=len(table.groups),
        num_shown=min(len(table.groups), MAX_GROUPS),
        strip=seed_strip(document, table).svg(f"table{number}-strip"),
        scatter=seed_scatter(document, table).svg(f"table{number}-scatter"),
        metric_curves=svg(metric_curves(document, table), "metric"),
        loss_curves=svg(loss_curves(table), "loss"),
        confusions=confusions(table),
        reliability=reliability(table).svg(f"table{number}-reliability"),
        forest=svg(difference_forest(document, table), "forest"),
        gains=[
            (part, figure.svg(f"table{number}-gain{place}"))
            for place, (part, figure) in enumerate(zip(gains, gain_figures(table), strict=True))
        ],
        gain_summary=sentences.gain_summary(table),
        agreement=svg(agreement_figure(table), "agreement"),
    )


def report_links(group: GroupResult, folder: Path) -> list[ReportLink]:
    """Links, from the page's folder, to the reports that the runs of a group have."""
    reports = [(Path(run).name, RunFolder(Path(run)).report_file) for run in group.runs]
    return [
        ReportLink(name, quote(Path(os.path.relpath(report, folder)).as_posix()))
        for name, report in reports
        if report.is_file()
    ]


def confusions(table: ComparisonTable) -> list[ConfusionMatrix]:
    """The confusion matrices of the shown groups, with the colours of their cells."""
    return [
        ConfusionMatrix(
            rank=rank,
            name=group.name,
            num_seeds=len(group.seeds),
            rows=tuple(
                ConfusionRow(name, sum(row), tuple(_shaded(count, sum(row)) for count in row))
                for name, row in zip(table.protocol.classes, group.confusion, strict=True)
            ),
        )
        for rank, group in enumerate(table.groups[:MAX_GROUPS], 1)
    ]


def _shaded(count: int, total: int) -> ConfusionCell:
    percent = 100 * count / total if total else 0.0
    mixed = [round(255 - (255 - part) * percent / 100) for part in FULL_COLOUR]
    background = "#{:02x}{:02x}{:02x}".format(*mixed)
    return ConfusionCell(count, percent, background, percent > DARK_PERCENT)
