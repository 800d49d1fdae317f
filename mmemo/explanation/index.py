"""The page of a set of explanations: one per class, numbers over all, and a way to each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np

from mmemo.explanation.check_figures import CHECKS_MEANING, check_figures
from mmemo.explanation.checks import read_checks
from mmemo.explanation.explanation import (
    ARRAYS_FILE,
    METHODS,
    OF_NO_CLASS,
    Explanation,
    ExplanationRecord,
    read_record,
)
from mmemo.explanation.feature_attributions import ALGORITHMS
from mmemo.explanation.feature_shap import read_feature_shap
from mmemo.explanation.members import explanation_folders
from mmemo.explanation.page import PAGE_FILE
from mmemo.explanation.probes import read_probes
from mmemo.explanation.scale import NORMALISATION, ColouredWord, coloured_words, gradient_stops
from mmemo.explanation.selection import OUTPUTS
from mmemo.explanation.set_figures import (
    MEASURES,
    in_page,
    save_figures,
    set_figures,
)
from mmemo.explanation.summary import read_summary
from mmemo.explanation.word_influence import InfluentialWord
from mmemo.folders import write_whole
from mmemo.reporting.self_contained import render_page

INDEX_FILE = "index.html"
MAX_LISTED = 500
MAX_FEATURES = 50


@dataclass(frozen=True)
class Entry:
    """An explanation in the list.

    Args:
        record: All but its arrays.
        link: To its page, relative to the index; None where it has no page.
        probability: Of the predicted class.
        folder: Of its files.
    """

    record: ExplanationRecord
    link: str | None
    probability: float
    folder: Path


def write_explanation_index(
    root: Path,
    title: str,
    colours: Mapping[str, str] | None = None,
    leak_warning: str = "",
    claims_source: str = "",
) -> Path:
    """Write ``index.html`` of the explanations below a folder, and its figures as PNG and PDF.

    Only files are read: the explanations, their checks, the set's summary and, where there are,
    probes and SHAP values of features. Text of the corpus is escaped.

    Args:
        root: Folder of the set; ``write_set_summary`` has been there.
        title: Of the page: which run, which utterances.
        colours: Of classes, by name; None for grey.
        leak_warning: What a reader must know before the numbers of a leaky protocol.
        claims_source: The paper whose claims were held against the set.

    Returns:
        The page.

    Raises:
        InputError: If there is no summary, or a file cannot be read.
    """
    summary = read_summary(root)
    entries = [_entry(folder, root) for folder in explanation_folders(root)]
    chosen = [Explanation.load(entry.folder) for entry in one_per_class(entries)]
    checks = [found for entry in entries if (found := read_checks(entry.folder)) is not None]
    features = read_feature_shap(root)
    figures = set_figures(summary, chosen, read_probes(root), features, colours)
    figures |= check_figures(checks)
    save_figures(figures, root)
    page = root / INDEX_FILE
    text = render_page(
        "explanation_index.html.j2",
        title=title,
        leak_warning=leak_warning,
        claims_source=claims_source,
        colours=colours or {},
        s=summary,
        output=OUTPUTS.get(summary.output, summary.output),
        methods=METHODS,
        measures=MEASURES,
        normalisation=NORMALISATION,
        stops=gradient_stops(),
        figures=in_page(figures),
        meaning=CHECKS_MEANING,
        chosen=[(explanation, _words(explanation)) for explanation in chosen],
        links={entry.record.key: entry.link for entry in entries},
        entries=entries[:MAX_LISTED],
        num_entries=len(entries),
        words=_words_by_class(summary.words),
        features=features,
        algorithms=ALGORITHMS,
        max_features=MAX_FEATURES,
    )
    write_whole(page, text)
    return page


def one_per_class(entries: Sequence[Entry]) -> list[Entry]:
    """For each explained class the most confident one, right ones before wrong ones.

    Classes stand in label order.
    """
    ranked = sorted(
        entries,
        key=lambda e: (e.record.predicted != e.record.true, -e.probability, e.record.key),
    )
    first: dict[int, Entry] = {}
    for entry in ranked:
        first.setdefault(entry.record.classes.index(entry.record.target), entry)
    return [first[index] for index in sorted(first)]


def _entry(folder: Path, root: Path) -> Entry:
    """From the record and the probabilities: the sounds of thousands would not fit in memory."""
    record = read_record(folder)
    with np.load(folder / ARRAYS_FILE) as arrays:
        probability = float(arrays["probabilities"].max())
    page = folder / PAGE_FILE
    link = quote(page.relative_to(root).as_posix()) if page.exists() else None
    return Entry(record, link, probability, folder)


def _words(explanation: Explanation) -> list[ColouredWord]:
    """In the colours of the first method that has attributed them to the class."""
    found = [
        name
        for name, attribution in explanation.attributions.items()
        if attribution.words is not None and name not in OF_NO_CLASS
    ]
    return coloured_words(explanation, found[0]) if found and explanation.words else []


def _words_by_class(
    words: Sequence[InfluentialWord],
) -> dict[str, dict[str, list[InfluentialWord]]]:
    found: dict[str, dict[str, list[InfluentialWord]]] = {}
    for word in words:
        found.setdefault(word.class_name, {}).setdefault(word.method, []).append(word)
    return found
