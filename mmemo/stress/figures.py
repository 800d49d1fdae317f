"""Small multiples of a stress test: one panel for each kind of condition."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmemo.reporting.figures import COLOURS, GRID, INK, MUTED, draw_mark, style
from mmemo.stress.conditions import CLEAN
from mmemo.stress.document import ConditionResult, StressDocument
from mmemo.stress.tables import metric_title

NUM_COLUMNS = 3
WIDTH_IN, ROW_IN = 11.0, 2.9
MAX_NAME = 26
LINE_STYLES = ("-", "--")


@style()
def small_multiples(document: StressDocument, metric: str, mark: str = "") -> Figure:
    """A metric by panel: curves over their axis, named conditions below each other.

    Args:
        document: What was found.
        metric: Of ``METRICS``.
        mark: A warning over each panel; nothing for none.
    """
    panels = list(dict.fromkeys(one.panel for one in document.conditions))
    num_rows = -(-len(panels) // NUM_COLUMNS)
    figure = Figure(figsize=(WIDTH_IN, ROW_IN * num_rows), layout="constrained")
    places = figure.subplots(num_rows, NUM_COLUMNS, squeeze=False).ravel()
    for axes, panel in zip(places, panels, strict=False):
        results = [one for one in document.conditions if one.panel == panel]
        draw_mark(axes, mark)
        if any(one.value is not None for one in results):
            _draw_curves(axes, document, results, metric)
        else:
            _draw_named(axes, document, results, metric)
        axes.set_title(panel)
    for axes in places[len(panels) :]:
        axes.set_axis_off()
    return figure


def _draw_curves(
    axes: Axes, document: StressDocument, results: Sequence[ConditionResult], metric: str
) -> None:
    levels = list(dict.fromkeys([CLEAN, *(one.level for one in results)]))
    clean = document.clean[metric]
    curves = list(dict.fromkeys(one.curve for one in results))
    for line in dict.fromkeys(one.line for one in results):
        points = [one for one in results if one.line == line]
        colour = COLOURS[curves.index(points[0].curve) % len(COLOURS)]
        is_usual = points[0].as_trained
        if not is_usual and len(curves) == 1:
            colour = COLOURS[1]
        places = [levels.index(one.level) for one in points]
        values = [one.scores[metric].value for one in points]
        bounds = [_bounds(one, metric) for one in points]
        if is_usual:
            places, values = [0, *places], [clean, *values]
            bounds = [(clean, clean), *bounds]
        usual = f"with {document.denoiser}" if document.denoiser else "without denoising"
        has_both = len({one.as_trained for one in results}) > 1
        label = line or (usual if has_both else "")
        kind = LINE_STYLES[0 if is_usual else 1]
        axes.plot(places, values, kind, color=colour, marker="o", markersize=3, label=label or None)
        shown = [(p, *b) for p, b in zip(places, bounds, strict=True) if b is not None]
        if len(shown) > 1 and len(shown) == len(places):
            axes.fill_between(*zip(*shown, strict=True), color=colour, alpha=0.15, linewidth=0)
        if label and axes.get_legend_handles_labels()[1]:
            axes.legend(fontsize="small", framealpha=0.6)
    _draw_levels(axes, document, metric, is_upright=False)
    axes.set_xticks(range(len(levels)), levels)
    axes.set(xlabel=results[0].axis, ylabel=metric_title(metric))


def _draw_named(
    axes: Axes, document: StressDocument, results: Sequence[ConditionResult], metric: str
) -> None:
    for place, one in enumerate(results):
        value, bounds = one.scores[metric].value, _bounds(one, metric)
        if bounds is not None:
            axes.plot(bounds, [place, place], color=COLOURS[0], alpha=0.5, linewidth=3)
        axes.plot([value], [place], "o", color=COLOURS[0], markersize=5)
    _draw_levels(axes, document, metric, is_upright=True)
    names = ["\n".join(textwrap.wrap(one.level, MAX_NAME)) for one in results]
    axes.set_yticks(range(len(results)), names)
    axes.set_ylim(len(results) - 0.5, -0.5)
    axes.set(xlabel=metric_title(metric))


def _draw_levels(axes: Axes, document: StressDocument, metric: str, is_upright: bool) -> None:
    """Lines where clean is, and where it is to answer always with the same."""
    draw = axes.axvline if is_upright else axes.axhline
    draw(document.clean[metric], color=INK, linewidth=0.8, zorder=1)
    if metric != "ece":
        draw(document.majority[metric], color=MUTED, linewidth=0.8, linestyle=":", zorder=1)
    axes.grid(axis="x" if is_upright else "y", color=GRID)


def _bounds(one: ConditionResult, metric: str) -> tuple[float, float] | None:
    """The interval of the difference, put where the value is."""
    score = one.scores[metric]
    if score.interval is None:
        return None
    compared = score.value - score.difference
    return compared + score.interval[0], compared + score.interval[1]


def first_level_that_helps(document: StressDocument, metric: str) -> dict[str, str | None]:
    """By curve the best level from which on, downwards, denoising is worth more than chance.

    From there to the worst level the interval of the gain has to be above 0 (below it, for the
    calibration error); None where it is at no level, or there are no intervals.
    """
    found: dict[str, str | None] = {}
    sign = -1.0 if metric == "ece" else 1.0
    gains = [one for one in document.denoising if one.value is not None]
    for panel, curve in dict.fromkeys((one.panel, one.curve) for one in gains):
        helps: str | None = None
        own = [one for one in gains if (one.panel, one.curve) == (panel, curve)]
        for one in reversed(own):
            bounds = one.gains[metric].interval
            if bounds is None or min(sign * bound for bound in bounds) <= 0:
                break
            helps = one.level
        found[f"{panel}, {curve}" if curve else panel] = helps
    return found
