"""The page of an audit: one file that needs nothing but itself."""

from __future__ import annotations

from pathlib import Path

from mmemo.audit import tables
from mmemo.audit.figures import OUTSIDE_COLOUR, classes_figure, durations_figure, speakers_figure
from mmemo.audit.findings import Audit
from mmemo.documents import read_document
from mmemo.folders import write_whole
from mmemo.reporting.figures import inline_svg, save_figure
from mmemo.reporting.self_contained import render_page

AUDIT_FILE = "audit.json"
PAGE_FILE = "audit.html"
FIGURES = {
    "classes": (classes_figure, "Share and count of each class in each split"),
    "durations": (durations_figure, "Durations by split"),
    "speakers": (speakers_figure, "Share of each split's rows by speaker"),
}


def read_audit(folder: Path) -> Audit:
    """What ``audit.json`` in a folder holds.

    Raises:
        InputError: If it is missing, damaged or of another version.
    """
    return read_document(folder / AUDIT_FILE, Audit, "an audit", "run `mmemo audit` again")


def write_audit_page(folder: Path) -> None:
    """Draw the figures of an audit and write its ``audit.html``.

    Only the folder's ``audit.json`` is read. Text of the corpus is escaped.

    Raises:
        InputError: If it is missing, damaged or of another version.
    """
    audit = read_audit(folder)
    figures = {}
    for name, (draw, title) in FIGURES.items():
        figure = draw(audit)
        save_figure(figure, folder / f"{name}.png")
        figures[name] = inline_svg(figure, name, title)
    colours = {
        label: audit.protocol.colours.get(label, OUTSIDE_COLOUR)
        for label in tables.labels_of(audit)
    }
    page = render_page(
        "audit.html.j2",
        audit=audit,
        tables=tables,
        figures=figures,
        colours=colours,
        max_shown=tables.MAX_SHOWN,
    )
    write_whole(folder / PAGE_FILE, page)
