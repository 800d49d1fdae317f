"""The page of a set of explanations: one per class, numbers over all, and a way to each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmemo.errors import InputError
from mmemo.explanation.attribution_scale import NORMALISATION, gradient_stops
from mmemo.explanation.check_figures import CHECKS_MEANING, write_check_figures
from mmemo.explanation.explained_set import METHODS, SUMMARY_FILE, explanation_folders
from mmemo.explanation.explanation import ARRAYS_FILE, RECORD_FILE, Explanation
from mmemo.explanation.figures import class_grid_figure, has_frames, save_in_formats
from mmemo.explanation.page import OUTPUTS, PAGE_FILE, read_checks
from mmemo.explanation.panels import ShownWord, shown_words, word_methods
from mmemo.explanation.set_figures import (
    MEASURES,
    claims_figure,
    modalities_figure,
    positions_figure,
    probes_figure,
)
from mmemo.folders import write_whole
from mmemo.reporting.self_contained import as_data_uri, render_page

INDEX_FILE = "index.html"
PROBES_FILE = "probes.csv"
MAX_LISTED = 500


@dataclass(frozen=True)
class Entry:
    """An explanation in the list.

    Args:
        key: The utterance's.
        link: To its page, relative to the index; None where it has no page.
        predicted: The most probable class.
        true: The utterance's own.
        target: The explained class.
        class_index: Its place in label order.
        probability: Of the predicted class.
        transcript: As the model read it.
        notes: What could not be done.
        folder: Of its files.
    """

    key: str
    link: str | None
    predicted: str
    true: str
    target: str
    class_index: int
    probability: float
    transcript: str
    notes: tuple[str, ...]
    folder: Path


def write_explanation_index(
    root: Path, title: str, colours: Mapping[str, str] | None = None, leak_warning: str = ""
) -> Path:
    """Write ``index.html`` of the explanations below a folder, and its figures as PNG and PDF.

    Only files are read: the explanations, ``summary.json`` and, where there is, ``probes.csv``
    (encoder, stage, layer, macro_f1, low, high). Text of the corpus is escaped.

    Args:
        root: Folder of the set; ``write_set_summary`` has been there.
        title: Of the page: which run, which utterances.
        colours: Of classes, by name; None for grey.
        leak_warning: What a reader must know before the numbers of a leaky protocol.

    Returns:
        The page.

    Raises:
        InputError: If there is no summary.
    """
    summary = _read_summary(root)
    entries = [_entry(folder, root) for folder in explanation_folders(root)]
    chosen = [Explanation.load(entry.folder) for entry in one_per_class(entries)]
    figures = _figures(root, summary, chosen)
    for name, figure in figures.items():
        save_in_formats(figure, root / name)
    documents = [checks for entry in entries if (checks := read_checks(entry.folder))]
    images = write_check_figures(documents, root)
    page = root / INDEX_FILE
    text = render_page(
        "explanation_index.html.j2",
        title=title,
        leak_warning=leak_warning,
        colours=colours or {},
        s=summary,
        output=OUTPUTS.get(summary["output"], summary["output"]),
        methods=METHODS,
        measures=MEASURES,
        normalisation=NORMALISATION,
        stops=gradient_stops(),
        images=images | {name: as_data_uri(root / f"{name}.png") for name in figures},
        meaning=CHECKS_MEANING,
        chosen=[(explanation, _words(explanation)) for explanation in chosen],
        links={entry.key: entry.link for entry in entries},
        entries=entries[:MAX_LISTED],
        num_entries=len(entries),
        min_utterances=summary["min_utterances"],
        words=_words_by_class(summary["words"]),
    )
    write_whole(page, text)
    return page


def one_per_class(entries: list[Entry]) -> list[Entry]:
    """For each explained class the most confident one, right ones before wrong ones.

    Classes stand in label order.
    """
    ranked = sorted(entries, key=lambda e: (e.predicted != e.true, -e.probability, e.key))
    first: dict[int, Entry] = {}
    for entry in ranked:
        first.setdefault(entry.class_index, entry)
    return [first[index] for index in sorted(first)]


def _figures(
    root: Path, summary: Mapping[str, Any], chosen: list[Explanation]
) -> dict[str, Figure]:
    figures = {}
    for method in METHODS:
        shown = [explanation for explanation in chosen if has_frames(explanation, method)]
        if shown:
            figures[f"classes_{method}"] = class_grid_figure(shown, method)
    if summary["modalities"]:
        figures["modalities"] = modalities_figure(summary)
    if summary["tenths"]:
        figures["positions"] = positions_figure(summary)
    if any(row["reference"] is not None for row in summary["claims"]):
        figures["claims"] = claims_figure(summary)
    if (root / PROBES_FILE).exists():
        figures["probes"] = probes_figure(pd.read_csv(root / PROBES_FILE))
    return figures


def _read_summary(root: Path) -> dict[str, Any]:
    try:
        text = (root / SUMMARY_FILE).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{root}: expected {SUMMARY_FILE} of a set of explanations, cannot read it "
            f"({type(error).__name__}); run `mmemo explain` again"
        ) from error
    summary: dict[str, Any] = json.loads(text)
    return summary


def _entry(folder: Path, root: Path) -> Entry:
    """From the record and the probabilities: the sounds of thousands would not fit in memory."""
    record = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
    with np.load(folder / ARRAYS_FILE) as arrays:
        probability = float(arrays["probabilities"].max())
    path = folder / PAGE_FILE
    names = ("key", "predicted", "true", "target", "transcript")
    return Entry(
        **{name: record[name] for name in names},
        link=quote(path.relative_to(root).as_posix()) if path.exists() else None,
        class_index=record["classes"].index(record["target"]),
        probability=probability,
        notes=tuple(record["notes"]),
        folder=folder,
    )


def _words(explanation: Explanation) -> list[ShownWord]:
    methods = word_methods(explanation)
    return shown_words(explanation, methods[0], None) if methods and explanation.words else []


def _words_by_class(rows: list[dict[str, Any]]) -> dict[str, dict[str, list[dict[str, Any]]]]:
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for row in rows:
        found.setdefault(row["class"], {}).setdefault(row["method"], []).append(row)
    return found
