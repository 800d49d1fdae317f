"""Figures with a row of marks for each name, on one common scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mmemo.comparison.svg_axes import (
    AXIS_HEIGHT,
    WIDTH,
    Axes,
    limits,
    line,
    marker,
    name_text,
    picture,
    text,
)

NAME_WIDTH = 300.0
REMARK_WIDTH = 130.0
ROW_HEIGHT = 30.0


@dataclass(frozen=True)
class Series:
    """What one row shows of one kind.

    Args:
        mean: Large mark; None for nothing.
        colour: Of all its marks.
        shape: Of the large mark.
        values: Small marks.
        bounds: Ends of the line through the large mark.
        is_hollow: Whether the large mark is.
    """

    mean: float | None
    colour: str
    shape: str = "circle"
    values: Sequence[float] = ()
    bounds: Sequence[float] | None = None
    is_hollow: bool = False


@dataclass(frozen=True)
class Row:
    """A name, what is drawn beside it, and a remark at the right."""

    name: str
    series: Sequence[Series]
    remark: str = ""

    @property
    def numbers(self) -> list[float]:
        """All that is drawn, for the limits of the scale."""
        found = [value for series in self.series for value in series.values]
        found += [series.mean for series in self.series if series.mean is not None]
        return found + [bound for series in self.series for bound in series.bounds or ()]


def rows_figure(
    rows: Sequence[Row], axis_name: str, label: str, mark: str, has_zero: bool = False
) -> Markup:
    """Names at the left, their marks on a common scale, remarks at the right.

    Args:
        rows: From top to bottom.
        axis_name: Below the scale.
        label: What a reader hears who does not see the figure.
        mark: Warning across it; empty for none.
        has_zero: Whether zero is on the scale and marked.
    """
    right = REMARK_WIDTH if any(row.remark for row in rows) else 20.0
    numbers = [number for row in rows for number in row.numbers]
    scale = limits([*numbers, 0.0] if has_zero else numbers)
    box = (NAME_WIDTH, 6.0, WIDTH - NAME_WIDTH - right, ROW_HEIGHT * len(rows))
    axes = Axes(box, scale, (0, 1))
    parts = axes.x_axis(axis_name, 7)
    if has_zero:
        parts.append(line(axes.x(0), axes.top, axes.x(0), axes.bottom, "zero"))
    for index, row in enumerate(rows):
        middle = axes.top + (index + 0.5) * ROW_HEIGHT
        parts.append(name_text(NAME_WIDTH - 10, middle, row.name, NAME_WIDTH - 14, "end"))
        for place, series in enumerate(row.series):
            y = middle + 8 * (place - (len(row.series) - 1) / 2)
            parts += _series_marks(axes, series, y)
        if row.remark:
            parts.append(text(axes.right + 8, middle + 4, row.remark, "tick"))
    return picture(WIDTH, axes.bottom + AXIS_HEIGHT, label, parts, mark)


def _series_marks(axes: Axes, series: Series, y: float) -> list[Markup]:
    parts = []
    if series.bounds:
        low, high = series.bounds
        parts.append(line(axes.x(low), y, axes.x(high), y, "whisker", series.colour))
    parts += [
        marker(axes.x(value), y, "circle", series.colour, 2.2, is_hollow=True)
        for value in series.values
        if value is not None
    ]
    if series.mean is not None:
        hollow = series.is_hollow
        parts.append(marker(axes.x(series.mean), y, series.shape, series.colour, 4.5, hollow))
    return parts
