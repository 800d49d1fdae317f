"""Small multiples of a stress test: one panel for each kind of condition."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmemo.reporting.figures import COLOURS, GRID, INK, MUTED, draw_mark, style
from mmemo.stress.conditions import CLEAN
from mmemo.stress.document import ConditionResult, StressDocument, denoised_by
from mmemo.stress.tables import metric_title

NUM_COLUMNS = 3
WIDTH_IN, ROW_IN = 11.0, 2.9
MAX_NAME, MAX_TITLE = 22, 36
LINE_STYLES = ("-", "--")


@style()
def small_multiples(document: StressDocument, metric: str, mark: str = "") -> Figure:
    """A metric by panel: curves over their axis, named conditions below each other.

    Args:
        document: What was found.
        metric: Of ``METRICS``.
        mark: A warning over each panel; nothing for none.
    """
    by_panel: dict[str, list[ConditionResult]] = {}
    for one in document.conditions:
        by_panel.setdefault(one.panel, []).append(one)
    curves = [p for p, own in by_panel.items() if any(one.value is not None for one in own)]
    named = [panel for panel in by_panel if panel not in curves]
    # Names take more room than numbers: both kinds are laid out apart.
    kinds = [(_draw_curves, curves), (_draw_named, named)]
    kinds = [(draw, panels) for draw, panels in kinds if panels]
    heights = [-(-len(panels) // NUM_COLUMNS) for _, panels in kinds]
    figure = Figure(figsize=(WIDTH_IN, ROW_IN * sum(heights)), layout="constrained")
    parts = figure.subfigures(len(kinds), 1, squeeze=False, height_ratios=heights)[:, 0]
    for part, height, (draw, panels) in zip(parts, heights, kinds, strict=True):
        places = part.subplots(height, NUM_COLUMNS, squeeze=False).ravel()
        for axes, panel in zip(places, panels, strict=False):
            draw_mark(axes, mark)
            draw(axes, document, by_panel[panel], metric)
            axes.set_title("\n".join(textwrap.wrap(panel, MAX_TITLE)))
        for axes in places[len(panels) :]:
            axes.set_axis_off()
    return figure


def _limits(document: StressDocument, metric: str) -> tuple[float, float]:
    """The same in every panel, so that they can be held against each other."""
    values = [document.clean[metric], *(one.scores[metric].value for one in document.conditions)]
    bounds = [b for one in document.conditions for b in _bounds(one, metric) or ()]
    least, most = min([*values, *bounds]), max([*values, *bounds])
    return max(least - 0.02, -0.02), min(most + 0.02, 1.02)


def _draw_curves(
    axes: Axes, document: StressDocument, results: Sequence[ConditionResult], metric: str
) -> None:
    levels = _ordered_levels(results)
    shown_levels = [level.removesuffix(" %") for level in levels]
    clean = document.clean[metric]
    curves = list(dict.fromkeys(one.curve for one in results))
    for line in dict.fromkeys(one.line for one in results):
        points = [one for one in results if one.line == line]
        colour = COLOURS[curves.index(points[0].curve) % len(COLOURS)]
        is_usual = points[0].as_trained
        if not is_usual and len(curves) == 1:
            colour = COLOURS[1]
        drawn = [
            (levels.index(one.level), one.scores[metric].value, _bounds(one, metric))
            for one in points
        ]
        if is_usual:
            drawn.append((levels.index(CLEAN), clean, (clean, clean)))
        places, values, bounds = zip(*sorted(drawn, key=lambda point: point[0]), strict=True)
        usual = denoised_by(document.denoiser)
        has_both = len({one.as_trained for one in results}) > 1
        label = line or (usual if has_both else "")
        kind = LINE_STYLES[0 if is_usual else 1]
        axes.plot(places, values, kind, color=colour, marker="o", markersize=3, label=label or None)
        known = [bound for bound in bounds if bound is not None]
        if len(known) == len(places):
            low, high = zip(*known, strict=True)
            axes.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)
        if label and axes.get_legend_handles_labels()[1]:
            axes.legend(fontsize="small", framealpha=0.6)
    _draw_levels(axes, document, metric, is_upright=False)
    axes.set_xticks(range(len(levels)), shown_levels)
    limits = _limits(document, metric)
    axes.set(xlabel=results[0].axis, ylabel=metric_title(metric), ylim=limits)


def _ordered_levels(results: Sequence[ConditionResult]) -> list[str]:
    """The levels of a panel, clean first, or where it lies between them."""
    levels = [level for level in dict.fromkeys(one.level for one in results) if level != CLEAN]
    neutral = next((one.neutral for one in results if one.neutral is not None), None)
    values = {one.level: one.value for one in results if one.value is not None}
    before = 0
    if neutral is not None:
        # Rising or falling: those on the side of the first one.
        sides = [values[level] < neutral for level in levels]
        before = next((n for n, side in enumerate(sides) if side != sides[0]), len(sides))
    return [*levels[:before], CLEAN, *levels[before:]]


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
    axes.set(xlabel=metric_title(metric), xlim=_limits(document, metric))


def _draw_levels(axes: Axes, document: StressDocument, metric: str, is_upright: bool) -> None:
    """Lines where clean is, and where it is to answer always with the same."""
    draw = axes.axvline if is_upright else axes.axhline
    draw(document.clean[metric], color=INK, linewidth=0.8, zorder=1)
    if metric != "ece":
        draw(document.majority[metric], color=MUTED, linewidth=0.8, linestyle=":", zorder=1)
    axes.grid(axis="x" if is_upright else "y", color=GRID)


def _bounds(one: ConditionResult, metric: str) -> tuple[float, float] | None:
    """The interval of the difference, put where the value is; no score is outside of 0 and 1."""
    score = one.scores[metric]
    if score.interval is None:
        return None
    compared = score.value - score.difference
    low, high = (compared + bound for bound in score.interval)
    return max(low, 0.0), min(high, 1.0)
