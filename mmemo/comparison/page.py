"""The page of a comparison: one file that needs nothing but itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mmemo.comparison import sentences
from mmemo.comparison.figures import (
    MAX_DIFFERENCES,
    agreement_figure,
    difference_forest,
    gain_figures,
    seed_scatter,
    seed_strip,
    shown_groups,
)
from mmemo.comparison.panels import confusions, loss_curves, metric_curves, reliability
from mmemo.comparison.tables import table_parts
from mmemo.folders import write_whole
from mmemo.reporting.numbers import told
from mmemo.reporting.self_contained import render_page
from mmemo.runs.run_folder import RunFolder


def write_comparison_page(document: dict[str, Any], path: Path) -> None:
    """Write the comparison as ``comparison.html``, figures inside, text escaped.

    Args:
        document: What ``comparison.json`` holds.
        path: The page to write.
    """
    sections = [
        _section(document, table, number, path.parent)
        for number, table in enumerate(document["tables"], 1)
    ]
    page = render_page(
        "comparison.html.j2",
        title=sentences.title(document),
        reading=sentences.reading(document),
        sections=sections,
        left_out=sentences.left_out(document),
        max_differences=MAX_DIFFERENCES,
    )
    write_whole(path, page)


def _reports(group: dict[str, Any], folder: Path) -> list[dict[str, str]]:
    """Name and address, from the page's folder, of each report that the runs of a group have."""
    reports = [(Path(run).name, RunFolder(Path(run)).report_file) for run in group["runs"]]
    return [
        {"name": name, "address": quote(Path(os.path.relpath(report, folder)).as_posix())}
        for name, report in reports
        if report.is_file()
    ]


def _section(
    document: dict[str, Any], table: dict[str, Any], number: int, folder: Path
) -> dict[str, Any]:
    parts = table_parts(document, table)
    gains = [part for part in parts if part.name.startswith("gain by ")]
    return {
        "heading": sentences.heading(table, number),
        "leak_warning": table["leak_warning"],
        "not_ranked": sentences.not_ranked(table, number),
        "classes": sentences.classes(table),
        "drawn": sentences.drawn(document, table),
        "fold_choice": sentences.fold_choice(document, table),
        "notes": table["notes"],
        "protocol": told(table["protocol"]),
        "tables": {part.name: part for part in parts if part not in gains},
        "reports": [(group["name"], _reports(group, folder)) for group in table["groups"]],
        "num_groups": len(table["groups"]),
        "num_shown": len(shown_groups(table)),
        "strip": seed_strip(document, table),
        "scatter": seed_scatter(document, table),
        "metric_curves": metric_curves(document, table, number),
        "loss_curves": loss_curves(table),
        "confusions": confusions(table),
        "reliability": reliability(table),
        "forest": difference_forest(document, table),
        "gains": list(zip(gains, gain_figures(table), strict=True)),
        "gain_summary": sentences.gain_summary(table),
        "agreement": agreement_figure(table),
    }
