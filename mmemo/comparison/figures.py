"""Figures of a comparison with a row for each group, pair or kind of utterance; and the scatter."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from mmemo.comparison.contrasts import GAIN_NAMES, P_OF, difference_kinds, ranks_of
from mmemo.comparison.groups import interval_kinds
from mmemo.comparison.short_names import short_names
from mmemo.comparison.svg_axes import (
    AXIS_HEIGHT,
    MARKERS,
    WIDTH,
    Axes,
    limits,
    line,
    marker,
    picture,
    text,
)
from mmemo.comparison.svg_rows import NAME_WIDTH, ROW_HEIGHT, Row, Series, rows_figure
from mmemo.corpora.leaks import LEAKY
from mmemo.reporting.numbers import (
    counted,
    metric_name,
    p_value,
    percent,
    plain,
    score,
)

MAX_GROUPS = 12
MAX_LABEL_LENGTH = 64
"""What two lines beside a figure hold, wherever the first one breaks."""
MAX_PAIR_LABEL_LENGTH = 36
"""What one line holds, behind a minus and a rank."""
MAX_DIFFERENCES = 30
# Okabe and Ito (2008) without their yellow, which print loses: told apart by the colour-blind too.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
AUDIO_COLOUR, TEXT_COLOUR = COLOURS[0], COLOURS[1]
BOTH_COLOUR, NEITHER_COLOUR = COLOURS[2], "#bbbbbb"


def shown_groups(table: dict[str, Any]) -> list[dict[str, Any]]:
    """The groups that figures show: the best on validation, as many as can be told apart.

    Each has a ``label``, its name as far as there is room for it.
    """
    shown = list(table["groups"][:MAX_GROUPS])
    labels = short_names([group["name"] for group in shown], MAX_LABEL_LENGTH)
    return [{**group, "label": label} for group, label in zip(shown, labels, strict=True)]


def group_style(index: int) -> tuple[str, str]:
    """Colour and shape of the group of this rank, counted from 0."""
    return COLOURS[index % len(COLOURS)], MARKERS[index // len(COLOURS)]


def leaky_mark(table: dict[str, Any]) -> str:
    """What stands across a figure of a leaky protocol; nothing for another."""
    return LEAKY if table["protocol"]["leaky"] else ""


def seed_strip(document: dict[str, Any], table: dict[str, Any]) -> Markup:
    """Each seed's test score by group, with mean and interval, and the validation mean."""
    metric = document["metric"]
    kind, of = next(iter(interval_kinds(document, table).items()), ("interval", ""))
    rows = []
    for index, group in enumerate(shown_groups(table)):
        colour, shape = group_style(index)
        test, val = group["test"][metric], group["val"][metric]
        series = [
            Series(val["mean"], "#555", "diamond", is_hollow=True),
            Series(test["mean"], colour, shape, test["values"], test[kind]),
        ]
        rows.append(Row(f"{index + 1}  {group['label']}", series))
    return rows_figure(
        rows,
        f"{metric_name(metric)} (small: seeds, large: test mean, diamond: val mean"
        f"{_line_of(document, table, of)})",
        f"Test {metric_name(metric)} of each seed by group, with mean and interval",
        leaky_mark(table),
    )


def difference_forest(document: dict[str, Any], table: dict[str, Any]) -> Markup | None:
    """Differences with their intervals around zero; None where there are none."""
    shown = table["differences"][:MAX_DIFFERENCES]
    if not shown:
        return None
    ranks = ranks_of(table)
    names = [group["name"] for group in table["groups"]]
    labels = dict(zip(names, short_names(names, MAX_PAIR_LABEL_LENGTH), strict=True))
    kind, of = next(iter(difference_kinds(table).items()), ("interval", ""))
    # Without intervals the randomisation has a p nevertheless.
    p_name = P_OF[kind] if of else "randomisation_p"
    rows = [
        Row(
            _pair_name(pair["a"], pair["b"], ranks, labels),
            [Series(pair["difference"], COLOURS[0], "square", (), pair[kind])],
            f"p {p_value(pair[p_name])} (Holm {p_value(pair['holm'][p_name])})",
        )
        for pair in shown
    ]
    name = f"difference in {metric_name(document['metric'])}, test"
    if table["baseline"]:
        name += f", each minus {table['baseline']}"
    name += _line_of(document, table, of)
    name += f"; p of {of}" if of else "; p by randomisation, of these models"
    label = f"Differences with {percent(document['confidence'])} intervals and p"
    return rows_figure(rows, name, label, leaky_mark(table), has_zero=True)


def _line_of(document: dict[str, Any], table: dict[str, Any], of: str) -> str:
    """What a figure's lines are; ``of`` is empty where there are none."""
    inference = table["inference"]
    units = counted(inference["num_units"], inference["unit"])
    line = f"; line: {percent(document['confidence'])} interval of {of}, {units}"
    return line if of else f"; no intervals, {units}"


def _pair_name(a: str, b: str, ranks: dict[str, int], labels: dict[str, str]) -> str:
    """The ranks first: long names are short here, and the ranks stand beside them in the results.

    Args:
        a: A group's name.
        b: That of the one it is compared with.
        ranks: By name.
        labels: What there is room for, by name.
    """
    return f"{ranks[a]}  {labels[a]}\n− {ranks[b]}  {labels[b]}"


def gain_figures(table: dict[str, Any]) -> list[Markup]:
    """Gain of the fused model over each unimodal one, a figure for each breakdown."""
    gain = table["modality_gain"]
    figures = []
    for kind, lines in (gain["by"] if gain else {}).items():
        if not lines:
            continue
        rows = []
        for entry in lines:
            series = [
                Series(summary["mean"], colour, shape, summary["values"])
                for summary, colour, shape in (
                    (entry["gain_over_audio"], AUDIO_COLOUR, "circle"),
                    (entry["gain_over_text"], TEXT_COLOUR, "square"),
                )
                if summary
            ]
            rows.append(Row(f"{plain(entry['value'])} (N = {entry['num']})", series))
        name = GAIN_NAMES.get(kind, kind)
        measure = "gain" if kind.startswith("class") else "gain in accuracy"
        label = f"Gain of the fused model over audio alone and over text alone, by {name}"
        axis = f"{measure} by {name} (blue circles: over audio, orange squares: over text)"
        figures.append(rows_figure(rows, axis, label, leaky_mark(table), has_zero=True))
    return figures


def agreement_figure(table: dict[str, Any]) -> Markup | None:
    """Shares of utterances by which unimodal model is right; oracle and fused model below."""
    gain = table["modality_gain"]
    if not gain or not gain["agreement"]:
        return None
    axes = Axes((NAME_WIDTH, 24, WIDTH - NAME_WIDTH - 20, 3 * ROW_HEIGHT), (0, 1), (0, 1))
    parts = axes.x_axis("share of the test utterances")
    left = 0.0
    for index, (name, words, colour) in enumerate(
        (
            ("both_right", "both right", BOTH_COLOUR),
            ("only_audio_right", "only audio", AUDIO_COLOUR),
            ("only_text_right", "only text", TEXT_COLOUR),
            ("neither_right", "neither", NEITHER_COLOUR),
        )
    ):
        share = gain["agreement"][name]
        parts.append(_bar(axes, 0, left, share, colour))
        place = axes.left + index * axes.width / 4
        parts.append(marker(place + 6, 11, "square", colour, 5))
        parts.append(text(place + 16, 15, f"{words} {score(share)}", "tick"))
        left += share
    names = ["audio alone, text alone"]
    for name, words in (("oracle", "right by either (oracle)"), ("fused", "the fused model")):
        if gain[name]:
            parts.append(_bar(axes, len(names), 0, gain[name]["accuracy"], "#777"))
            names.append(f"{words}: {score(gain[name]['accuracy'])}")
    for index, words in enumerate(names):
        parts.append(text(NAME_WIDTH - 10, axes.top + (index + 0.65) * ROW_HEIGHT, words, "end"))
    label = "Which of the unimodal models is right, and the accuracy of an oracle and the fused one"
    return picture(WIDTH, axes.bottom + AXIS_HEIGHT, label, parts, leaky_mark(table))


def _bar(axes: Axes, row: int, start: float, share: float, colour: str) -> Markup:
    return Markup(
        '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill="{}" stroke="#fff"/>'
    ).format(
        axes.x(start), axes.top + row * ROW_HEIGHT + 4, axes.width * share, ROW_HEIGHT - 8, colour
    )


def seed_scatter(document: dict[str, Any], table: dict[str, Any]) -> Markup:
    """Validation against test: each seed small, each group's mean with its rank inside."""
    metric = document["metric"]
    groups = shown_groups(table)
    both = [group[split][metric] for group in groups for split in ("val", "test")]
    scale = limits(value for summary in both for value in summary["values"])
    axes = Axes((60, 12, 440, 440), scale, scale)
    parts = [*axes.x_axis(f"{metric_name(metric)}, val"), *axes.y_axis(5)]
    parts.append(line(axes.left, axes.bottom, axes.right, axes.top, "zero"))
    parts.append(text(axes.left + 6, axes.top + 14, f"{metric_name(metric)}, test", "tick"))
    means = []
    for index, group in enumerate(groups):
        colour, shape = group_style(index)
        val, test = group["val"][metric], group["test"][metric]
        for x, y in zip(val["values"], test["values"], strict=True):
            if x is not None and y is not None:
                parts.append(marker(axes.x(x), axes.y(y), shape, colour, 3.0, is_hollow=True))
        if val["mean"] is not None and test["mean"] is not None:
            x, y = axes.x(val["mean"]), axes.y(test["mean"])
            means += [marker(x, y, shape, colour, 8.0)]
            means += [text(x, y + 3.8, str(index + 1), "middle inside", group["name"])]
    label = f"{metric_name(metric)} on validation against test for each seed of each group"
    return picture(520, axes.bottom + AXIS_HEIGHT, label, parts + means, leaky_mark(table))
