"""Figures of a comparison with a small panel for each group: curves and reliability."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmemo.comparison.document import ComparisonDocument, ComparisonTable, Curve
from mmemo.comparison.figures import (
    WIDTH,
    ShownGroup,
    TitledFigure,
    axes_at,
    draw_mark,
    plot_marks,
    shown_groups,
    wrapped,
)
from mmemo.evaluation.intervals import Interval
from mmemo.reporting.figures import MUTED, PAGE_PIXELS_PER_INCH, PAPER, style
from mmemo.reporting.numbers import metric_name

MAX_POINTS = 200
"""More epochs than these cannot be told apart in a small panel."""
BEHIND_COLOUR = "#9a9a9a"
# Pixels of the page.
BOLD_CHARACTER_WIDTH = 7.2


@style()
def metric_curves(document: ComparisonDocument, table: ComparisonTable) -> TitledFigure | None:
    """Validation score by epoch: a panel for each group, the other groups grey behind it."""
    name = f"val/{document.metric}"
    groups = shown_groups(table)
    every = [_points(curve, name) for group in groups for curve in group.result.curves]

    def draw(axes: Axes, group: ShownGroup) -> None:
        lines = [list(zip(*points, strict=True)) for points in every]
        axes.add_collection(LineCollection(lines, colors=BEHIND_COLOUR, linewidths=0.5, alpha=0.6))
        for curve in group.result.curves:
            _plot_curve(axes, curve, name, group)

    label = f"{metric_name(document.metric)} on validation by epoch"
    title = f"{label}, a panel for each group, a line for each seed, the chosen epoch marked"
    return _curve_panels(table, [name], draw, title)


@style()
def loss_curves(table: ComparisonTable) -> TitledFigure | None:
    """Training loss (dashed) and validation loss by epoch, a panel for each group."""

    def draw(axes: Axes, group: ShownGroup) -> None:
        for curve in group.result.curves:
            axes.plot(*_points(curve, "train/loss"), "--", color=group.colour, linewidth=1)
            _plot_curve(axes, curve, "val/loss", group)

    title = "Loss by epoch, training dashed and validation solid, the chosen epoch marked"
    return _curve_panels(table, ["train/loss", "val/loss"], draw, title)


@style()
def reliability(table: ComparisonTable) -> TitledFigure:
    """Accuracy by confidence before (hollow) and after the temperature, a panel for each group."""

    def draw(axes: Axes, group: ShownGroup) -> None:
        found = group.result.calibration
        axes.plot((0, 1), (0, 1), "--", color=MUTED, linewidth=1)
        for bins, colour, line in (
            (found.reliability, "#808080", "--"),
            (found.reliability_scaled, group.colour, "-"),
        ):
            x, y = [part.confidence for part in bins], [part.accuracy for part in bins]
            most = max((part.count for part in bins), default=1)
            sizes = [(2.3 + 6 * math.sqrt(part.count / most)) ** 2 for part in bins]
            axes.plot(x, y, line, color=colour, linewidth=1)
            paint = PAPER if line == "--" else colour
            axes.scatter(x, y, sizes, color=paint, edgecolors=colour, linewidths=1, zorder=3)
        words = f"ECE {found.ece.mean:.3f} → {found.ece_scaled.mean:.3f}"
        paper = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.7, "pad": 1}
        corner = axes.transAxes
        axes.text(0.97, 0.04, words, ha="right", fontsize=8, transform=corner, bbox=paper)

    axis = "confidence (up: accuracy)"
    figure = _panels(table, (165, 165), (48, 78), draw, axis, ((-0.03, 1.03), (-0.03, 1.03)))
    title = "Reliability: accuracy by confidence, before (hollow, grey) and after the temperature"
    return TitledFigure(figure, title)


def _panels(
    table: ComparisonTable,
    panel: tuple[float, float],
    between: tuple[float, float],
    draw: Callable[[Axes, ShownGroup], None],
    x_name: str,
    limits: tuple[Interval, Interval],
) -> Figure:
    """A panel for each shown group, in rows; the scales are the same in all of them.

    Args:
        table: The groups.
        panel: Width and height of each, in pixels.
        between: Pixels between them, for numbers, names and titles.
        draw: Draws one.
        x_name: Below each.
        limits: Ends of the horizontal and of the vertical scale.
    """
    groups = shown_groups(table)
    column, row = panel[0] + between[0], panel[1] + between[1]
    num_columns = min(len(groups), int((WIDTH + 10) // column))
    size = (column * num_columns, row * math.ceil(len(groups) / num_columns))
    figure = Figure(figsize=(size[0] / PAGE_PIXELS_PER_INCH, size[1] / PAGE_PIXELS_PER_INCH))
    for index, group in enumerate(groups):
        left, top = 38 + column * (index % num_columns), 36 + row * (index // num_columns)
        axes = axes_at(figure, size, (left, top, *panel))
        draw(axes, group)
        axes.set(xlim=limits[0], ylim=limits[1])
        axes.set_xlabel(x_name, fontsize=8.5, labelpad=1)
        title = wrapped(group.label, int((panel[0] + 10) / BOLD_CHARACTER_WIDTH))
        # Its height is given: Matplotlib would measure all numbers of the axes for it.
        axes.set_title(title, loc="left", y=1, fontsize=8.5, fontweight="bold")
        axes.grid(visible=True)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=x_name == "epoch"))
    draw_mark(figure, table)
    return figure


def _curve_panels(
    table: ComparisonTable,
    names: Sequence[str],
    draw: Callable[[Axes, ShownGroup], None],
    title: str,
) -> TitledFigure | None:
    """Panels of some metrics by epoch; None where no shown run has them."""
    curves = [curve for group in shown_groups(table) for curve in group.result.curves]
    values = [v for curve in curves for name in names for v in curve.metrics.get(name, ())]
    epochs = [epoch for curve in curves for epoch in curve.epoch]
    if not epochs or all(value is None for value in values):
        return None
    limits = (min(epochs), max(*epochs, min(epochs) + 1)), _with_room(values)
    return TitledFigure(_panels(table, (255, 130), (48, 80), draw, "epoch", limits), title)


def _points(curve: Curve, name: str) -> tuple[Sequence[int], Sequence[float]]:
    """Epochs and values of a metric, no more than can be seen; an undefined value is NaN."""
    stride = math.ceil(len(curve.epoch) / MAX_POINTS)
    values = curve.metrics.get(name, (None,) * len(curve.epoch))
    return curve.epoch[::stride], [math.nan if v is None else v for v in values[::stride]]


def _plot_curve(axes: Axes, curve: Curve, name: str, group: ShownGroup) -> None:
    """A line, with a mark at the chosen epoch; broken where it is undefined."""
    axes.plot(*_points(curve, name), color=group.colour, linewidth=1.3)
    found = dict(zip(curve.epoch, curve.metrics.get(name, ()), strict=False))
    value = found.get(curve.chosen_epoch)
    if value is not None:
        x = [curve.chosen_epoch]
        plot_marks(axes, x, [value], group.colour, group.marker, 6.5, is_hollow=True)


def _with_room(values: Iterable[float | None]) -> Interval:
    """Lowest and highest of the values that are defined, with some room around them."""
    defined = [value for value in values if value is not None]
    room = 0.06 * (max(defined) - min(defined)) or 0.05
    return min(defined) - room, max(defined) + room
