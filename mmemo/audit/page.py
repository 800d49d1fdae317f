"""The page of an audit: one file that needs nothing but itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmemo.audit.figures import plot_classes, plot_durations, plot_speakers
from mmemo.folders import write_whole
from mmemo.reporting.self_contained import as_data_uri, render_page

AUDIT_FILE = "audit.json"
PAGE_FILE = "audit.html"
MAX_SHOWN = 12

FIGURES: dict[str, Callable[[dict[str, Any], Path], None]] = {
    "durations": plot_durations,
    "classes": plot_classes,
    "speakers": plot_speakers,
}


def write_audit_page(folder: Path) -> None:
    """Draw the figures of an audit and write its ``audit.html``.

    Only the folder's ``audit.json`` is read. Text of the corpus is escaped.
    """
    document: dict[str, Any] = json.loads((folder / AUDIT_FILE).read_text(encoding="utf-8"))
    images = {}
    for name, plot in FIGURES.items():
        path = folder / f"{name}.png"
        plot(document, path)
        images[name] = as_data_uri(path)
    page = render_page(
        "audit.html.j2", **document, images=images, max_shown=MAX_SHOWN, labels=_labels(document)
    )
    write_whole(folder / PAGE_FILE, page)


def _labels(document: dict[str, Any]) -> list[str]:
    """All classes that occur: those of the label set in its order, then the others."""
    found = sorted({label for split in document["splits"] for label in split["labels"]})
    return list(dict.fromkeys([*document["protocol"]["classes"], *found]))
