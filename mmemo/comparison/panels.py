"""Figures of a comparison with a small panel for each group: curves, reliability, confusion."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from markupsafe import Markup

from mmemo.comparison.figures import group_style, leaky_mark, shown_groups
from mmemo.comparison.svg_axes import WIDTH, Axes, limits, line, marker, name_text, picture, text
from mmemo.reporting.numbers import metric_name

MAX_POINTS = 200
DARK_PERCENT = 55
FULL_COLOUR = (8, 81, 156)


def metric_curves(document: dict[str, Any], table: dict[str, Any], number: int) -> Markup | None:
    """Validation score by epoch: a panel for each group, the other groups grey behind it.

    Args:
        document: What ``comparison.json`` holds.
        table: One of its tables.
        number: Of the table, to keep names inside the page apart.
    """
    field = f"val/{document['metric']}"
    axes = _curve_axes(table, [field])
    if axes is None:
        return None
    behind = f"curves-{number}"
    every = [
        axes.curve(*_thinned(curve, field), "behind")
        for group in shown_groups(table)
        for curve in group["curves"]
        if field in curve
    ]
    shared = Markup('<g id="{}">{}</g>').format(behind, Markup("").join(every))

    def panel(index: int, group: dict[str, Any]) -> list[Markup]:
        colour, shape = group_style(index)
        parts = [Markup('<use href="#{}"/>').format(behind)]
        for curve in group["curves"]:
            parts += _curve_with_choice(axes, curve, field, colour, shape)
        return parts

    name = f"{metric_name(document['metric'])} on validation by epoch"
    label = f"{name}, a panel for each group, a line for each seed, the chosen epoch marked"
    return _panels(table, axes, panel, label, "epoch", shared)


def loss_curves(table: dict[str, Any]) -> Markup | None:
    """Training loss (dashed) and validation loss by epoch, a panel for each group."""
    axes = _curve_axes(table, ["train/loss", "val/loss"])
    if axes is None:
        return None

    def panel(index: int, group: dict[str, Any]) -> list[Markup]:
        colour, shape = group_style(index)
        parts = []
        for curve in group["curves"]:
            if "train/loss" in curve:
                parts.append(axes.curve(*_thinned(curve, "train/loss"), "seed dashed", colour))
            parts += _curve_with_choice(axes, curve, "val/loss", colour, shape)
        return parts

    label = "Loss by epoch, training dashed and validation solid, the chosen epoch marked"
    return _panels(table, axes, panel, label, "epoch")


def reliability(table: dict[str, Any]) -> Markup | None:
    """Accuracy by confidence before (hollow) and after the temperature, a panel for each group."""
    groups = [group for group in shown_groups(table) if group["calibration"]]
    if not groups:
        return None
    axes = Axes((0, 0, 165, 165), (0, 1), (0, 1))

    def panel(index: int, group: dict[str, Any]) -> list[Markup]:
        colour, _ = group_style(index)
        calibration = group["calibration"]
        if not calibration:
            return []
        parts = [line(axes.left, axes.bottom, axes.right, axes.top, "zero")]
        for name, is_before in (("reliability", True), ("reliability_scaled", False)):
            bins = calibration[name]
            most = max((part["count"] for part in bins), default=1)
            xs, ys = ([part[axis] for part in bins] for axis in ("confidence", "accuracy"))
            style = "seed dashed" if is_before else "seed"
            parts.append(axes.curve(xs, ys, style, "#777" if is_before else colour))
            for x, y, part in zip(xs, ys, bins, strict=True):
                size = 1.5 + 4 * math.sqrt(part["count"] / most)
                paint = "#777" if is_before else colour
                parts.append(marker(axes.x(x), axes.y(y), "circle", paint, size, is_before))
        errors = [calibration[name]["mean"] for name in ("ece", "ece_scaled")]
        if None not in errors:
            words = f"ECE {errors[0]:.3f} → {errors[1]:.3f}"
            parts.append(text(axes.right - 5, axes.bottom - 7, words, "end tick"))
        return parts

    label = "Reliability: accuracy by confidence, before (hollow, grey) and after the temperature"
    return _panels(table, axes, panel, label, "confidence (up: accuracy)")


def confusions(table: dict[str, Any]) -> list[dict[str, Any]]:
    """Confusion matrices with row percentages and the colours of their cells.

    Returns:
        For each shown group ``rank, name, num_seeds`` and ``rows`` of ``name, total`` and
        ``cells`` (``count, percent, background, is_dark``).
    """
    classes = table["protocol"]["classes"]
    return [
        {
            "rank": rank,
            "name": group["name"],
            "num_seeds": len(group["seeds"]),
            "rows": [
                {"name": name, "total": sum(row), "cells": [_shaded(n, sum(row)) for n in row]}
                for name, row in zip(classes, group["confusion"], strict=True)
            ],
        }
        for rank, group in enumerate(shown_groups(table), 1)
    ]


def _shaded(count: int, total: int) -> dict[str, Any]:
    percent = 100 * count / total if total else 0.0
    mixed = [round(255 - (255 - part) * percent / 100) for part in FULL_COLOUR]
    return {
        "count": count,
        "percent": percent,
        "background": "#{:02x}{:02x}{:02x}".format(*mixed),
        "is_dark": percent > DARK_PERCENT,
    }


def _curve_axes(table: dict[str, Any], fields: list[str]) -> Axes | None:
    """Axes that hold these fields of all shown groups; None where no run has them."""
    curves = [curve for group in shown_groups(table) for curve in group["curves"]]
    values = [value for curve in curves for name in fields for value in curve.get(name, [])]
    epochs = [epoch for curve in curves for epoch in curve["epoch"]]
    if not epochs or not any(value is not None for value in values):
        return None
    return Axes((0, 0, 255, 130), (min(epochs), max(*epochs, min(epochs) + 1)), limits(values))


def _thinned(curve: dict[str, Any], field: str) -> tuple[list[float], list[float | None]]:
    """No more points than can be seen."""
    stride = math.ceil(len(curve["epoch"]) / MAX_POINTS)
    return curve["epoch"][::stride], curve[field][::stride]


def _curve_with_choice(
    axes: Axes, curve: dict[str, Any], field: str, colour: str, shape: str
) -> list[Markup]:
    if field not in curve:
        return []
    parts = [axes.curve(*_thinned(curve, field), "seed", colour)]
    value = dict(zip(curve["epoch"], curve[field], strict=True)).get(curve["chosen_epoch"])
    if value is not None:
        x, y = axes.x(curve["chosen_epoch"]), axes.y(value)
        parts.append(marker(x, y, shape, colour, 3.5, is_hollow=True))
    return parts


def _panels(
    table: dict[str, Any],
    axes: Axes,
    draw: Callable[[int, dict[str, Any]], list[Markup]],
    label: str,
    x_name: str,
    shared: Markup | None = None,
) -> Markup:
    """The panels of all shown groups, in rows; the axes are the same in all of them."""
    groups = shown_groups(table)
    column, row = axes.width + 48, axes.height + 80
    num_columns = min(len(groups), int((WIDTH + 10) // column))
    parts = [Markup("<defs>{}</defs>").format(shared)] if shared else []
    frame = Markup("").join([*axes.x_axis(x_name, 4, x_name == "epoch"), *axes.y_axis()])
    for index, group in enumerate(groups):
        name = f"{index + 1}  {group['label']}"
        heading = name_text(0, -16, name, axes.width + 30, "strong")
        inside = Markup("").join([heading, frame, *draw(index, group)])
        left, top = 38 + column * (index % num_columns), 32 + row * (index // num_columns)
        parts.append(
            Markup('<g transform="translate({:.0f} {:.0f})">{}</g>').format(left, top, inside)
        )
    height = row * math.ceil(len(groups) / num_columns)
    return picture(column * num_columns, height, label, parts, leaky_mark(table))
