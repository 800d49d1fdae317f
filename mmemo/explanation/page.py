"""The page of one explanation: one file that needs nothing but itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mmemo.explanation.attribution_scale import (
    AGAINST_COLOUR,
    FOR_COLOUR,
    NORMALISATION,
    gradient_stops,
)
from mmemo.explanation.check_figures import CHECKS_MEANING, write_check_figures
from mmemo.explanation.explained_set import CHECKS_FILE
from mmemo.explanation.explanation import RECORD_FILE, Explanation
from mmemo.explanation.figures import write_explanation_figures
from mmemo.explanation.panels import (
    WIDTH,
    TimeAxis,
    frame_panels,
    panel_title,
    shown_words,
    spectrogram_image,
    steps,
    waveform_outline,
    word_methods,
)
from mmemo.folders import write_whole
from mmemo.reporting.self_contained import render_page, sound_data_uri

PAGE_FILE = "explanation.html"
WAVEFORM_HEIGHT = 100.0
LINE_HEIGHT = 110.0

OUTPUTS = {
    "log_odds": "log odds, log(p / (1 - p))",
    "logit": "logit",
    "log_probability": "log probability",
    "probability": "probability",
}


def write_explanation_page(folder: Path, colours: Mapping[str, str] | None = None) -> Path:
    """Write ``explanation.html`` of the explanation in a folder, and its figures for a paper.

    Only files of the folder are read: the explanation and, where there are, its ``checks.json``.
    Text of the corpus is escaped.

    Args:
        folder: Holds ``explanation.npz`` and ``explanation.json``.
        colours: Of classes, by name; None for grey.

    Returns:
        The page.

    Raises:
        InputError: If the folder has no complete explanation.
    """
    explanation = Explanation.load(folder)
    write_explanation_figures(explanation, folder)
    checks = read_checks(folder)
    images = write_check_figures([checks], folder) if checks else {}
    page = folder / PAGE_FILE
    rows = checks["rows"] if checks else []
    text = render_explanation(explanation, rows, colours or {}, images)
    write_whole(page, text)
    return page


def has_page(folder: Path) -> bool:
    """Whether the page is there and nothing that it shows is newer."""
    page = folder / PAGE_FILE
    sources = [folder / name for name in (RECORD_FILE, CHECKS_FILE) if (folder / name).exists()]
    return page.exists() and all(
        page.stat().st_mtime_ns >= source.stat().st_mtime_ns for source in sources
    )


def read_checks(folder: Path) -> dict[str, Any] | None:
    """The folder's ``checks.json``; None if there is no such file."""
    path = folder / CHECKS_FILE
    if not path.exists():
        return None
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def render_explanation(
    explanation: Explanation,
    checks: list[dict[str, Any]],
    colours: Mapping[str, str],
    images: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """The page as text.

    Args:
        explanation: What is shown.
        checks: Rows of method, modality, name, value, reference, verdict.
        colours: Of classes, by name.
        images: Of the checks, as ``write_check_figures`` gives them.
    """
    sound = explanation.sound
    axis = TimeAxis(explanation.duration_s) if sound is not None and len(sound) else None
    panels = [] if axis is None else frame_panels(explanation, axis)
    methods = word_methods(explanation) if explanation.words else []
    first = explanation.words[0].start if explanation.words else len(explanation.transcript)
    shapley = explanation.shapley.values.values() if explanation.shapley else []
    return render_page(
        "explanation.html.j2",
        e=explanation,
        colours=colours,
        output=OUTPUTS.get(explanation.output, explanation.output),
        probabilities=list(zip(explanation.classes, explanation.probabilities, strict=True)),
        shapley_size=max((abs(value) for value in shapley), default=0.0) or 1.0,
        for_colour=FOR_COLOUR,
        against_colour=AGAINST_COLOUR,
        normalisation=NORMALISATION,
        stops=gradient_stops(),
        width=WIDTH,
        axis=axis,
        panels=panels,
        lines={panel.name: steps(panel.frames, LINE_HEIGHT) for panel in panels},
        outline="" if axis is None else waveform_outline(explanation, axis, WAVEFORM_HEIGHT),
        spectrogram="" if axis is None else spectrogram_image(explanation),
        sound=""
        if axis is None or sound is None
        else sound_data_uri(sound, explanation.sample_rate),
        num_samples=0 if sound is None else len(sound),
        unattributed=explanation.transcript[:first],
        words={name: shown_words(explanation, name, axis) for name in methods},
        titles={name: panel_title(name) for name in methods},
        checks=checks,
        meaning=CHECKS_MEANING,
        images=images,
        settings=json.dumps(explanation.settings, indent=2, ensure_ascii=False),
    )
