"""Figures of a set of explanations, from ``summary.json`` and the table of probes alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator

from mmemo.explanation.attribution_scale import AGAINST_COLOUR, FOR_COLOUR
from mmemo.explanation.explained_set import METHODS

MODALITY_COLOURS = {"audio": "#0072b2", "text": "#e69f00"}
STAGE_LINES = {"before": ("0.45", "--", "o"), "after": ("#0072b2", "-", "s")}
"""Colour, line and mark: told apart in grey too."""

MEASURES = {
    "shapley": "Shapley value, of F",
    "gradients_sum": "Integrated Gradients, signed sum, of F",
    "gradients_share": "Integrated Gradients, share of |attribution|",
}

Row = Mapping[str, Any]


def modalities_figure(document: Mapping[str, Any]) -> Figure:
    """How much comes from sound and from words, by class, with 95 % intervals."""
    rows = document["modalities"]
    measures = [name for name in MEASURES if any(row["measure"] == name for row in rows)]
    figure = Figure(figsize=(3.4 * len(measures) + 0.6, 3.4), layout="constrained")
    all_axes = figure.subplots(1, len(measures), squeeze=False)[0]
    for axes, measure in zip(all_axes, measures, strict=True):
        _plot_modalities(axes, [row for row in rows if row["measure"] == measure])
        axes.set_title(MEASURES[measure], fontsize="small")
    all_axes[0].legend(fontsize="small")
    return figure


def _plot_modalities(axes: Axes, rows: Sequence[Row]) -> None:
    classes = list(dict.fromkeys(row["class"] for row in rows))
    there = [name for name in MODALITY_COLOURS if any(row["modality"] == name for row in rows)]
    for index, modality in enumerate(there):
        own = [row for row in rows if row["modality"] == modality]
        shift = 0.4 * (index - (len(there) - 1) / 2)
        places = [classes.index(row["class"]) + shift for row in own]
        colour = MODALITY_COLOURS[modality]
        axes.bar(places, [row["mean"] for row in own], 0.4, color=colour, label=modality)
        _draw_intervals(axes, places, own)
    axes.axhline(0, color="0.4", linewidth=0.8)
    axes.set_xticks(range(len(classes)), classes, rotation=30, ha="right")
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)


def positions_figure(document: Mapping[str, Any]) -> Figure:
    """Where in the clip the attribution of the sound lies, by class and method.

    Left by tenth of the real length, where a tenth of it would be even; right by the paper's
    samples, beside what the clips' lengths alone would give.
    """
    classes = list(dict.fromkeys(row["class"] for row in document["tenths"]))
    figure = Figure(figsize=(9, 1.5 * len(classes) + 0.8), layout="constrained")
    grid = figure.subplots(len(classes), 2, squeeze=False, sharex="col", sharey="col")
    for (tenths, zones), name in zip(grid, classes, strict=True):
        of_class = [row for row in document["tenths"] if row["class"] == name]
        for index, (method, label) in enumerate(METHODS.items()):
            _plot_tenths(tenths, [r for r in of_class if r["method"] == method], index, label)
        _plot_zones(zones, [row for row in document["zones"] if row["class"] == name])
        num = max(row["num"] for row in of_class)
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


METHOD_LINES = ((FOR_COLOUR, "o"), (AGAINST_COLOUR, "s"))


def _plot_tenths(axes: Axes, rows: Sequence[Row], index: int, label: str) -> None:
    colour, mark = METHOD_LINES[index]
    places = [row["tenth"] + 0.16 * (index - 0.5) for row in rows]
    values = [row["mean"] for row in rows]
    axes.plot(places, values, mark, color=colour, markersize=3.5, linestyle="-", label=label)
    _draw_intervals(axes, places, rows, colour)
    axes.axhline(0.1, color="0.4", linestyle="--", linewidth=0.8)
    axes.set_xticks(range(1, 11))


def _plot_zones(axes: Axes, rows: Sequence[Row]) -> None:
    by_method = {name: [row for row in rows if row["method"] == name] for name in METHODS}
    some = next((own for own in by_method.values() if own), [])
    if some:
        edges = [row["start"] for row in some] + [some[-1]["stop"]]
        lengths = [row["length_share"] for row in some]
        axes.stairs(lengths, edges, fill=True, color="0.82", label="length alone")
    for index, (name, own) in enumerate(by_method.items()):
        colour, mark = METHOD_LINES[index]
        places = [(row["start"] + row["stop"]) / 2 + 900 * (index - 0.5) for row in own]
        values = [row["mean"] for row in own]
        axes.plot(places, values, mark, color=colour, markersize=3.5, label=METHODS[name])
        _draw_intervals(axes, places, own, colour)
    axes.xaxis.set_major_locator(MultipleLocator(40_000))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def claims_figure(document: Mapping[str, Any]) -> Figure:
    """Each claim of the paper: how far its difference and 95 % interval lie on the claimed side.

    Units differ, so each row is in units of its own largest distance from the reference.
    """
    rows = [row for row in document["claims"] if row["reference"] is not None]
    figure = Figure(figsize=(9, 0.34 * len(rows) + 1.2), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(rows):
        ends = [row[end] for end in ("difference", "low", "high") if row[end] is not None]
        sign = 1 if row["claimed"] == "above" else -1
        distances = sign * np.array(ends)
        size = np.abs(distances).max() or 1.0
        colour, mark = VERDICT_MARKS[row["verdict"]]
        axes.plot(distances[1:] / size, [place] * len(distances[1:]), color=colour, linewidth=2)
        axes.plot(distances[0] / size, place, mark, color=colour)
    axes.axvline(0, color="0.3", linewidth=0.9)
    names = [
        f"{row['figure']}, {row['class_name'] or 'all'}: {row['sentence']} (N = {row['num']})"
        for row in rows
    ]
    axes.set_yticks(range(len(rows)), names, fontsize=8, parse_math=False)
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
    "not shown": ("0.45", "D"),
    "too few utterances": ("0.7", "."),
}


def probes_figure(table: pd.DataFrame) -> Figure:
    """Macro F1 of linear probes by layer, before and after fine-tuning, with 95 % intervals.

    Args:
        table: encoder, stage ("before" or "after"), layer, macro_f1, low, high.
    """
    encoders = list(dict.fromkeys(table["encoder"]))
    figure = Figure(figsize=(4.4 * len(encoders), 3.4), layout="constrained")
    all_axes = figure.subplots(1, len(encoders), squeeze=False, sharey=True)[0]
    for axes, encoder in zip(all_axes, encoders, strict=True):
        for stage, (colour, line, mark) in STAGE_LINES.items():
            own = table[(table["encoder"] == encoder) & (table["stage"] == stage)]
            own = own.sort_values("layer")
            if own.empty:
                continue
            axes.plot(
                own["layer"],
                own["macro_f1"],
                color=colour,
                linestyle=line,
                marker=mark,
                markersize=4,
                label=f"{stage} fine-tuning",
            )
            axes.fill_between(own["layer"], own["low"], own["high"], color=colour, alpha=0.18)
        axes.set(title=encoder, xlabel="layer; 0 is the transformer's input")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    all_axes[0].set_ylabel("macro F1 of a linear probe")
    all_axes[0].set_ylim(bottom=0)
    all_axes[0].legend(fontsize="small")
    return figure


def _draw_intervals(
    axes: Axes, places: Sequence[float], rows: Sequence[Row], colour: str = "0.2"
) -> None:
    for place, row in zip(places, rows, strict=True):
        if row["low"] is not None:
            axes.plot([place, place], [row["low"], row["high"]], color=colour, linewidth=1.2)
