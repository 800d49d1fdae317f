"""The page of a stress test: one file that needs nothing but itself."""

from __future__ import annotations

from pathlib import Path

from mmemo.corpora.leaks import LEAKY
from mmemo.evaluation.protocol import leak_warning
from mmemo.folders import write_whole
from mmemo.reporting.figures import inline_svg
from mmemo.reporting.numbers import counted, interval, metric_name, signed
from mmemo.reporting.self_contained import render_page
from mmemo.stress import tables
from mmemo.stress.document import METRICS, StressDocument
from mmemo.stress.figures import small_multiples

SHOWN_METRIC = "macro_f1"
"""The others' figures are folded up."""


def write_stress_page(document: StressDocument, path: Path) -> None:
    """Write ``stress.html``, figures inside, text escaped.

    Raises:
        InputError: If it cannot be written.
    """
    mark = LEAKY if document.protocol.leaky else ""
    figures = {}
    for metric in (SHOWN_METRIC, *(name for name in METRICS if name != SHOWN_METRIC)):
        title = f"{tables.metric_title(metric)} under each condition"
        figure = small_multiples(document, metric, mark)
        figures[tables.metric_title(metric)] = inline_svg(
            figure, metric.replace("_", "-"), title, _described(document, metric)
        )
    conflict = document.conflict
    classes = document.protocol.classes
    page = render_page(
        "stress.html.j2",
        document=document,
        leak_warning=leak_warning(document.protocol),
        sound=sound_sentence(document),
        figures=figures,
        denoising=tables.denoising_table(document),
        helps=denoising_sentences(document),
        conflict=tables.conflict_matrix(conflict, classes) if conflict else (),
        conflict_sentence=tables.conflict_sentence(conflict) if conflict else "",
        all_conditions=tables.conditions_table(document),
    )
    write_whole(path, page)


def _described(document: StressDocument, metric: str) -> str:
    worst = min(
        document.conditions,
        key=lambda one: one.scores[metric].value * (-1 if metric == "ece" else 1),
    )
    return (
        f"Clean {document.clean[metric]:.3f}; worst {worst.scores[metric].value:.3f} under "
        f"{', '.join(filter(None, worst.name))}."
    )


def sound_sentence(document: StressDocument) -> str:
    """Where the sound came from that was changed."""
    if not document.hears:
        return "The model hears nothing: words alone are changed."
    num, left = document.num_utterances, document.num_utterances - document.num_decoded
    if left == 0:
        return (
            f"All {num:,} clips were decoded again: noise is added to the sound as it was "
            "recorded, before it is denoised and resampled."
        )
    where = "All clips are" if left == num else f"Of {num:,} clips {left:,} are"
    return (
        f"{where} gone: there noise is added to the prepared sound"
        + (f", which {document.denoiser} has denoised once before" if document.denoiser else "")
        + "."
    )


def denoising_sentences(document: StressDocument) -> list[str]:
    """Whether denoising helps, from which level on, and what it is worth of clean sound."""
    name = metric_name(SHOWN_METRIC)
    found = []
    for one in tables.levels_that_are_helped(document, SHOWN_METRIC):
        if one.from_level is None:
            text = f"{one.curve}: a gain in {name} beyond chance is shown at no level down to the "
            text += "worst one"
        else:
            text = f"{one.curve}: denoising is worth {name} beyond chance from {one.from_level} on"
        if one.beyond_clean is not None:
            levels = ", ".join(one.beyond_clean) or "no level"
            text += f", and more than of clean sound at {levels}"
        found.append(f"{text}.")
    clean = [one.gains[SHOWN_METRIC] for one in document.denoising if one.value is None]
    if found and clean:
        bounds = f" {interval(clean[0].interval, with_sign=True)}" if clean[0].interval else ""
        found.append(
            f"Of clean sound it is worth {signed(clean[0].difference)}{bounds} {name}: the model "
            f"was trained {'with' if document.denoiser else 'without'} it, and misses what it was "
            "trained with. What is beyond that is due to the noise."
        )
    if found:
        found.append(tables.gains_by_chance(document))
    return found


def summary_lines(document: StressDocument) -> list[str]:
    """What the terminal tells beside the table."""
    lines = [sound_sentence(document), *denoising_sentences(document)]
    if document.conflict is not None:
        lines.append(tables.conflict_sentence(document.conflict))
    passes = counted(document.num_passes, "answer")
    lines.append(f"{passes} in all, {document.seconds:.0f} s.")
    return lines
