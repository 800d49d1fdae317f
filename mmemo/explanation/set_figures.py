"""Figures of a set of explanations, from its summary, checks and probes alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator

from mmemo.explanation.claims import ABOVE
from mmemo.explanation.explanation import METHODS, Explanation
from mmemo.explanation.feature_figures import importance_figure, utterance_features_figure
from mmemo.explanation.feature_shap import FeatureShapDocument
from mmemo.explanation.figures import class_grid_figure, has_frames, save_in_formats
from mmemo.explanation.probes import ProbesDocument
from mmemo.explanation.scale import AGAINST_COLOUR, FOR_COLOUR
from mmemo.explanation.summary import ModalityMean, SetSummary, TenthShare, ZoneShare
from mmemo.reporting.figures import COLOURS, GRID, INK, MUTED, inline_svg, style

DESCRIPTIONS = {
    **{
        f"classes_{method}": f"Waveforms of one utterance per class, coloured by {name}"
        for method, name in METHODS.items()
    },
    "modalities": "Contribution of sound and words by class, with intervals",
    "positions": "Share of attribution by tenth of the sound and by zone of samples, by class",
    "claims": "Claims of the paper with their means and intervals relative to the reference",
    "probes": "Macro F1 of linear probes by layer, before and after fine-tuning",
    "feature_importance": "Mean size of the SHAP values of the features that count most, by class",
    "utterance_features": "SHAP values of the features of one utterance per class",
    "curves": "Deletion and insertion curves beside those of random orders",
    "randomisation": "Correlation with the explanation as more of the model is random",
}

MODALITY_COLOURS = {"audio": COLOURS[0], "text": COLOURS[4]}
STAGE_LINES = {"before": (MUTED, "--", "o"), "after": (COLOURS[0], "-", "s")}
"""Colour, line and mark: told apart in grey too."""

MEASURES = {
    "shapley": "Shapley value, of F",
    "gradients_sum": "Integrated Gradients, signed sum, of F",
    "gradients_share": "Integrated Gradients, share of |attribution|",
}


class Interval(Protocol):
    """A row of a summary with a mean and its interval."""

    @property
    def low(self) -> float | None:
        """Lower bound; None for no interval."""
        ...

    @property
    def high(self) -> float | None:
        """Upper bound."""
        ...


@style()
def modalities_figure(summary: SetSummary) -> Figure:
    """How much comes from sound and from words, by class, with 95 % intervals."""
    rows = summary.modalities
    measures = [name for name in MEASURES if any(row.measure == name for row in rows)]
    figure = Figure(figsize=(3.4 * len(measures) + 0.6, 3.4), layout="constrained")
    all_axes = figure.subplots(1, len(measures), squeeze=False)[0]
    for axes, measure in zip(all_axes, measures, strict=True):
        _plot_modalities(axes, [row for row in rows if row.measure == measure])
        axes.set_title(MEASURES[measure], fontsize="small")
    all_axes[0].legend(fontsize="small")
    return figure


def _plot_modalities(axes: Axes, rows: Sequence[ModalityMean]) -> None:
    classes = list(dict.fromkeys(row.class_name for row in rows))
    there = [name for name in MODALITY_COLOURS if any(row.modality == name for row in rows)]
    for index, modality in enumerate(there):
        own = [row for row in rows if row.modality == modality]
        shift = 0.4 * (index - (len(there) - 1) / 2)
        places = [classes.index(row.class_name) + shift for row in own]
        colour = MODALITY_COLOURS[modality]
        axes.bar(places, [row.mean for row in own], 0.4, color=colour, label=modality)
        _draw_intervals(axes, places, own)
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.set_xticks(range(len(classes)), classes, rotation=30, ha="right")
    axes.grid(axis="y")


@style()
def positions_figure(summary: SetSummary) -> Figure:
    """Where in the clip the attribution of the sound lies, by class and method.

    Left by tenth of the real length, where a tenth of it would be even; right by the paper's
    samples, beside what the clips' lengths alone would give.
    """
    classes = list(dict.fromkeys(row.class_name for row in summary.tenths))
    figure = Figure(figsize=(9, 1.5 * len(classes) + 0.8), layout="constrained")
    grid = figure.subplots(len(classes), 2, squeeze=False, sharex="col", sharey="col")
    for (tenths, zones), name in zip(grid, classes, strict=True):
        of_class = [row for row in summary.tenths if row.class_name == name]
        there = [method for method in METHODS if any(r.method == method for r in of_class)]
        for index, method in enumerate(there):
            shift = METHOD_SHIFT * (index - (len(there) - 1) / 2)
            _plot_tenths(tenths, [r for r in of_class if r.method == method], method, shift)
        _plot_zones(zones, [row for row in summary.zones if row.class_name == name])
        num = max(row.num for row in of_class)
        tenths.set_ylabel(f"{name}\nN = {num}", fontsize="small")
    # Only here: a limit set earlier would keep the shared axes from growing with later classes.
    for axes in grid[0]:
        axes.set_ylim(bottom=0)
    grid[0, 0].legend(fontsize="x-small")
    grid[0, 1].legend(fontsize="x-small")
    grid[0, 0].set_title("share of |attribution| by tenth of the real sound", fontsize="small")
    grid[0, 1].set_title("the same by samples at 16 kHz", fontsize="small")
    grid[-1, 0].set_xlabel("tenth of the sound; dashed: even")
    grid[-1, 1].set_xlabel("sample; grey: what the lengths alone give")
    return figure


METHOD_LINES = {
    name: line
    for name, line in zip(
        METHODS,
        (
            *((FOR_COLOUR, "o"), (AGAINST_COLOUR, "s"), (COLOURS[0], "^")),
            *((COLOURS[1], "v"), (COLOURS[2], "D"), (INK, "x")),
        ),
        strict=True,
    )
}
"""Colour and mark of each method."""

METHOD_SHIFT = 0.16
"""Of the places of a method's points to those of the one before it, of a tenth."""


def _plot_tenths(axes: Axes, rows: Sequence[TenthShare], method: str, shift: float) -> None:
    colour, mark = METHOD_LINES[method]
    places = [row.tenth + shift for row in rows]
    values = [row.mean for row in rows]
    label = METHODS[method]
    axes.plot(places, values, mark, color=colour, markersize=3.5, linestyle="-", label=label)
    _draw_intervals(axes, places, rows, colour)
    axes.axhline(0.1, color=MUTED, linestyle="--", linewidth=0.8)
    axes.set_xticks(range(1, 11))


def _plot_zones(axes: Axes, rows: Sequence[ZoneShare]) -> None:
    every = {name: [row for row in rows if row.method == name] for name in METHODS}
    by_method = {name: own for name, own in every.items() if own}
    some = next(iter(by_method.values()), [])
    if some:
        edges = [row.start for row in some] + [some[-1].stop]
        lengths = [row.length_share for row in some]
        axes.stairs(lengths, edges, fill=True, color=GRID, label="length alone")
    for index, (name, own) in enumerate(by_method.items()):
        colour, mark = METHOD_LINES[name]
        shift = 900 * (index - (len(by_method) - 1) / 2)
        places = [(row.start + row.stop) / 2 + shift for row in own]
        values = [row.mean for row in own]
        axes.plot(places, values, mark, color=colour, markersize=3.5, label=METHODS[name])
        _draw_intervals(axes, places, own, colour)
    axes.xaxis.set_major_locator(MultipleLocator(40_000))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


@style()
def claims_figure(summary: SetSummary) -> Figure:
    """Each claim of the paper: how far its difference and 95 % interval lie on the claimed side.

    Units differ, so each row is in units of its own largest distance from the reference.
    """
    rows = [row for row in summary.claims if row.reference is not None]
    figure = Figure(figsize=(9, 0.34 * len(rows) + 1.2), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(rows):
        ends = [end for end in (row.difference, row.low, row.high) if end is not None]
        sign = 1 if row.claimed == ABOVE else -1
        distances = sign * np.array(ends)
        size = np.abs(distances).max() or 1.0
        colour, mark = VERDICT_MARKS[row.verdict]
        axes.plot(distances[1:] / size, [place] * len(distances[1:]), color=colour, linewidth=2)
        axes.plot(distances[0] / size, place, mark, color=colour)
    axes.axvline(0, color=INK, linewidth=0.9)
    names = [
        f"{row.figure}, {row.class_name or 'all'}: {row.sentence} (N = {row.num})" for row in rows
    ]
    axes.set_yticks(range(len(rows)), names, fontsize=8)
    axes.set(xlim=(-1.1, 1.1), ylim=(len(rows) - 0.4, -0.6))
    axes.set_xticks([-0.55, 0, 0.55], ["the opposite", "reference", "as claimed"])
    axes.tick_params(axis="x", length=0)
    for verdict, (colour, mark) in VERDICT_MARKS.items():
        axes.plot([], [], mark, color=colour, label=verdict)
    figure.legend(fontsize="x-small", ncols=4, loc="outside upper center")
    return figure


VERDICT_MARKS = {
    "holds": (FOR_COLOUR, "o"),
    "the opposite holds": (AGAINST_COLOUR, "X"),
    "not shown": (MUTED, "D"),
    "too few utterances": (MUTED, "."),
}


@style()
def probes_figure(document: ProbesDocument) -> Figure:
    """Macro F1 of linear probes by layer, before and after fine-tuning, with 95 % intervals."""
    encoders = list(dict.fromkeys(part.encoder for part in document.encoders))
    figure = Figure(figsize=(4.4 * len(encoders), 3.4), layout="constrained")
    all_axes = figure.subplots(1, len(encoders), squeeze=False, sharey=True)[0]
    for axes, encoder in zip(all_axes, encoders, strict=True):
        for part in (part for part in document.encoders if part.encoder == encoder):
            colour, line, mark = STAGE_LINES[part.stage]
            places = [probe.layer for probe in part.layers]
            scores = [probe.macro_f1 for probe in part.layers]
            label = f"{part.stage} fine-tuning"
            axes.plot(places, scores, line, color=colour, marker=mark, markersize=4, label=label)
            known = [(p.low, p.high) for p in part.layers if p.low is not None]
            if len(known) == len(places):
                axes.fill_between(places, *zip(*known, strict=True), color=colour, alpha=0.18)
        axes.set(title=encoder, xlabel="layer; 0 is the transformer's input")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid()
    all_axes[0].set_ylabel("macro F1 of a linear probe")
    all_axes[0].set_ylim(bottom=0)
    all_axes[0].legend(fontsize="small")
    return figure


def _draw_intervals(
    axes: Axes, places: Sequence[float], rows: Sequence[Interval], colour: str = INK
) -> None:
    for place, row in zip(places, rows, strict=True):
        if row.low is not None and row.high is not None:
            axes.plot([place, place], [row.low, row.high], color=colour, linewidth=1.2)


def set_figures(
    summary: SetSummary,
    chosen: Sequence[Explanation],
    probes: ProbesDocument | None,
    features: FeatureShapDocument | None = None,
    colours: Mapping[str, str] | None = None,
) -> dict[str, Figure]:
    """Figures of a set, by name; those that there is nothing for are left out.

    Args:
        summary: Of the set.
        chosen: One explanation for each class.
        probes: Of the run's encoders; None where they were not probed.
        features: SHAP values of them; None where there are none.
        colours: Of classes, by name.
    """
    figures = {}
    for method in METHODS:
        shown = [explanation for explanation in chosen if has_frames(explanation, method)]
        if shown:
            figures[f"classes_{method}"] = class_grid_figure(shown, method)
    if summary.modalities:
        figures["modalities"] = modalities_figure(summary)
    if summary.tenths:
        figures["positions"] = positions_figure(summary)
    if any(row.reference is not None for row in summary.claims):
        figures["claims"] = claims_figure(summary)
    if probes is not None:
        figures["probes"] = probes_figure(probes)
    if features is not None:
        figures["feature_importance"] = importance_figure(features, colours or {})
        single = utterance_features_figure(features)
        if single is not None:
            figures["utterance_features"] = single
    return figures


def save_figures(figures: Mapping[str, Figure], folder: Path) -> None:
    """Write figures into a folder, each in every format."""
    for name, figure in figures.items():
        save_in_formats(figure, folder / name)


def in_page(figures: Mapping[str, Figure]) -> dict[str, Markup]:
    """Figures as they stand in a page, by name."""
    return {
        name: inline_svg(figure, name.replace("_", "-"), DESCRIPTIONS[name])
        for name, figure in figures.items()
    }
