"""Axes drawn as SVG inside a page: small, sharp in print, and written in a millisecond.

matplotlib needs two seconds for a page of a comparison (its import is one of them); the whole
of a comparison is to take less than five.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence

from markupsafe import Markup

WIDTH = 940.0
AXIS_HEIGHT = 38.0
CHARACTER_WIDTH = 6.6
MARKERS = ("circle", "square", "triangle", "diamond")


def ticks(low: float, high: float, num: int = 5) -> list[float]:
    """About ``num`` round numbers (steps of 1, 2 or 5 times a power of ten) within the limits."""
    span = high - low
    if span <= 0:
        return [low]
    rough = span / num
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= 0.75 * rough)
    digits = max(0, -math.floor(math.log10(step)))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, digits) for index in range(first, last + 1)]


def limits(values: Iterable[float | None], around: float = 0.06) -> tuple[float, float]:
    """Lowest and highest of the values that are defined, with some room around them."""
    defined = [value for value in values if value is not None and math.isfinite(value)]
    if not defined:
        return 0.0, 1.0
    low, high = min(defined), max(defined)
    room = around * (high - low) or 0.05
    return low - room, high + room


def text(x: float, y: float, content: str, style: str = "", full: str | None = None) -> Markup:
    """Text at a place; its classes are those of the page's style.

    Args:
        x: Pixels from the left.
        y: Pixels from the top, of the base line.
        content: What is shown; escaped.
        style: Classes: ``end``, ``middle``, ``muted``, ``strong``.
        full: What is shown where the pointer rests, if it is more.
    """
    title = Markup("<title>{}</title>").format(full) if full and full != content else ""
    return Markup('<text x="{:.1f}" y="{:.1f}" class="{}">{}{}</text>').format(
        x, y, style, content, title
    )


def name_text(x: float, y: float, name: str, width: float, style: str = "") -> Markup:
    """A name in at most two lines around a height; one that is cut is whole under the pointer.

    Args:
        x: Pixels from the left.
        y: Pixels from the top, of the middle.
        name: What is shown; it breaks between words, or where it has a line break.
        width: Pixels that it has.
        style: Classes, as for ``text``.
    """
    most = max(8, int(width / CHARACTER_WIDTH))
    if "\n" in name:
        lines = [part if len(part) <= most else f"{part[: most - 1]}…" for part in name.split("\n")]
    else:
        lines = textwrap.wrap(name, most, max_lines=2, placeholder=" …", break_on_hyphens=False)
    first = y + 4 - 6.5 * (len(lines) - 1)
    return Markup("").join(
        text(x, first + 13 * index, line, style, name) for index, line in enumerate(lines)
    )


def line(x1: float, y1: float, x2: float, y2: float, style: str = "", colour: str = "") -> Markup:
    """A straight line between two places, in pixels."""
    paint = Markup(' stroke="{}"').format(colour) if colour else ""
    return Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"{}/>').format(
        x1, y1, x2, y2, style, paint
    )


def marker(
    x: float, y: float, shape: str, colour: str, size: float = 4.0, is_hollow: bool = False
) -> Markup:
    """A mark around a place, in pixels; the shape tells it apart without its colour."""
    fill = "#fff" if is_hollow else colour
    paint = Markup('fill="{}" stroke="{}"').format(fill, colour)
    if shape == "circle":
        return Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{:.1f}" {}/>').format(x, y, size, paint)
    corners = {
        "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
        "triangle": ((0, -1.2), (1.1, 0.8), (-1.1, 0.8)),
        "diamond": ((0, -1.3), (1.1, 0), (0, 1.3), (-1.1, 0)),
    }[shape]
    points = " ".join(f"{x + dx * size:.1f},{y + dy * size:.1f}" for dx, dy in corners)
    return Markup('<polygon points="{}" {}/>').format(points, paint)


def picture(
    width: float, height: float, label: str, parts: Iterable[Markup], mark: str = ""
) -> Markup:
    """A figure of so many pixels.

    Args:
        width: It shrinks with the page but never grows beyond.
        height: In proportion.
        label: What a reader hears who does not see it.
        parts: What is drawn, the last on top.
        mark: Warning across the figure; empty for none.
    """
    x, y, size = width / 2, height / 2, min(56.0, 0.4 * height)
    warning = Markup(
        '<text x="{0:.0f}" y="{1:.0f}" transform="rotate(-12 {0:.0f} {1:.0f})" class="mark" '
        'font-size="{2:.0f}">{3}</text>'
    ).format(x, y + size / 3, size, mark)
    return Markup(
        '<svg viewBox="0 0 {0:.0f} {1:.0f}" width="{0:.0f}" role="img" aria-label="{2}">'
        "{3}{4}</svg>"
    ).format(width, height, label, Markup("").join(parts), warning if mark else "")


class Axes:
    """A rectangle of a figure with two linear scales.

    Args:
        box: Left, top, width and height in pixels.
        x_limits: What stands at the left and right edge.
        y_limits: What stands at the bottom and top edge.
    """

    def __init__(
        self,
        box: tuple[float, float, float, float],
        x_limits: tuple[float, float],
        y_limits: tuple[float, float],
    ) -> None:
        self.left, self.top, self.width, self.height = box
        self.x_limits = x_limits
        self.y_limits = y_limits

    @property
    def bottom(self) -> float:
        """Pixels from the top to the lower edge."""
        return self.top + self.height

    @property
    def right(self) -> float:
        """Pixels from the left to the right edge."""
        return self.left + self.width

    def x(self, value: float) -> float:
        """Where a value stands, in pixels from the left."""
        low, high = self.x_limits
        return self.left + self.width * (value - low) / (high - low)

    def y(self, value: float) -> float:
        """Where a value stands, in pixels from the top."""
        low, high = self.y_limits
        return self.bottom - self.height * (value - low) / (high - low)

    def x_axis(self, name: str, num: int = 5, is_whole: bool = False) -> list[Markup]:
        """Grid, numbers and name of the horizontal scale."""
        values = ticks(*self.x_limits, num)
        values = [value for value in values if not is_whole or value == int(value)]
        parts = [line(self.x(v), self.top, self.x(v), self.bottom, "grid") for v in values]
        parts += [
            text(self.x(v), self.bottom + 14, f"{v:g}".replace("-", "−"), "middle tick")
            for v in values
        ]
        return [*parts, text(self.left + self.width / 2, self.bottom + 29, name, "middle tick")]

    def y_axis(self, num: int = 4) -> list[Markup]:
        """Grid and numbers of the vertical scale."""
        values = ticks(*self.y_limits, num)
        parts = [line(self.left, self.y(v), self.right, self.y(v), "grid") for v in values]
        parts += [
            text(self.left - 5, self.y(v) + 3.5, f"{v:g}".replace("-", "−"), "end tick")
            for v in values
        ]
        return parts

    def curve(
        self,
        xs: Sequence[float],
        ys: Sequence[float | None],
        style: str,
        colour: str = "",
    ) -> Markup:
        """A line through the points; it is broken where a value is undefined."""
        path, pen = [], "M"
        for x, y in zip(xs, ys, strict=True):
            if y is None or not math.isfinite(y):
                pen = "M"
                continue
            path.append(f"{pen}{self.x(x):.1f} {self.y(y):.1f}")
            pen = "L"
        paint = Markup(' stroke="{}"').format(colour) if colour else ""
        return Markup('<path d="{}" class="{}"{}/>').format("".join(path), style, paint)
