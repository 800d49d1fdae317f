"""The page of one explanation: one file that needs nothing but itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from matplotlib.figure import Figure

from mmemo.explanation.check_figures import CHECKS_MEANING, check_figures
from mmemo.explanation.checks import CHECKS_FILE, ChecksDocument, read_checks
from mmemo.explanation.explanation import OWN_UNITS, RECORD_FILE, Explanation
from mmemo.explanation.figures import explanation_figures, page_figures, save_explanation_figures
from mmemo.explanation.scale import (
    AGAINST_COLOUR,
    DIFFERENCE,
    FOR_COLOUR,
    NORMALISATION,
    TITLES,
    coloured_words,
    frame_values,
    gradient_stops,
    word_values,
)
from mmemo.explanation.selection import OUTPUTS
from mmemo.explanation.set_figures import in_page, save_figures
from mmemo.folders import write_whole
from mmemo.reporting.self_contained import render_page, sound_data_uri

PAGE_FILE = "explanation.html"


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
        InputError: If the folder has no complete explanation, or a file cannot be read.
    """
    explanation = Explanation.load(folder)
    checks = read_checks(folder)
    figures = explanation_figures(explanation)
    save_explanation_figures(figures, folder)
    of_checks = check_figures([checks] if checks else [])
    save_figures(of_checks, folder)
    page = folder / PAGE_FILE
    text = render_explanation(explanation, checks, colours or {}, figures, of_checks)
    write_whole(page, text)
    return page


def has_page(folder: Path) -> bool:
    """Whether the page is there and nothing that it shows is newer."""
    page = folder / PAGE_FILE
    sources = [folder / name for name in (RECORD_FILE, CHECKS_FILE) if (folder / name).exists()]
    return page.exists() and all(
        page.stat().st_mtime_ns >= source.stat().st_mtime_ns for source in sources
    )


def render_explanation(
    explanation: Explanation,
    checks: ChecksDocument | None,
    colours: Mapping[str, str],
    figures: Mapping[str, Figure],
    of_checks: Mapping[str, Figure],
    is_saved: bool = True,
) -> str:
    """The page as text.

    Args:
        explanation: What is shown.
        checks: Of it; None where it was not checked.
        colours: Of classes, by name.
        figures: As ``explanation_figures`` draws them.
        of_checks: As ``check_figures`` draws them.
        is_saved: Whether the page lies beside the explanation's files.
    """
    words = explanation.words
    sound = explanation.sound if explanation.duration_s > 0 else None
    first = words[0].start if words else len(explanation.transcript)
    methods = word_values(explanation) if words else []
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
        has_difference=DIFFERENCE in {*frame_values(explanation), *word_values(explanation)},
        stops=gradient_stops(),
        sound="" if sound is None else sound_data_uri(sound, explanation.sample_rate),
        num_samples=0 if sound is None else len(sound),
        figures=page_figures(figures, explanation),
        unattributed=explanation.transcript[:first],
        words={name: coloured_words(explanation, name) for name in methods},
        titles=TITLES,
        own_units=OWN_UNITS,
        is_saved=is_saved,
        checks=checks,
        check_images=in_page(of_checks),
        meaning=CHECKS_MEANING,
        settings=json.dumps(asdict(explanation.settings), indent=2, ensure_ascii=False),
    )
