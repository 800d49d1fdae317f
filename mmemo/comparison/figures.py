"""The figures of a comparison, for its page, but those with a panel for each group."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from mmemo.comparison.document import (
    ComparisonDocument,
    ComparisonTable,
    GroupResult,
)
from mmemo.comparison.group_names import short_names
from mmemo.comparison.tables import (
    GAIN_NAMES,
    THE_SETTING,
    bounds_of,
    difference_kinds,
    interval_kinds,
    ranks_of,
    units_text,
)
from mmemo.corpora.leaks import LEAKY
from mmemo.evaluation.intervals import Interval
from mmemo.reporting.figures import (
    COLOURS,
    MARK_COLOUR,
    MUTED,
    PAGE_PIXELS_PER_INCH,
    PAPER,
    inline_svg,
    style,
)
from mmemo.reporting.numbers import metric_name, p_value, percent, score

MAX_GROUPS = 12
MAX_DIFFERENCES = 30
MAX_LABEL_LENGTH = 64
"""What two lines beside a figure hold, wherever the first one breaks."""
MAX_PAIR_LABEL_LENGTH = 36
"""What one line holds, behind a minus and a rank."""

MARKERS = ("o", "s", "^", "D")
AUDIO_COLOUR, TEXT_COLOUR, BOTH_COLOUR, NEITHER_COLOUR = *COLOURS[:3], "#999999"

# Pixels of the page.
WIDTH, NAME_WIDTH, REMARK_WIDTH = 940, 300, 145
ROW_HEIGHT, AXIS_HEIGHT = 30, 44
LINE_LENGTH = 46
"""Characters of a name that fit into one line beside a figure."""


@dataclass(frozen=True)
class TitledFigure:
    """A figure, and what it shows, for who does not see it."""

    figure: Figure
    title: str

    def svg(self, name: str) -> Markup:
        """The figure inside a page; ``name`` begins its ids."""
        return inline_svg(self.figure, name, self.title)


@dataclass(frozen=True)
class ShownGroup:
    """A group that figures show.

    Args:
        result: The group.
        label: Its rank and its name, as far as there is room.
        colour: Colour of all its marks.
        marker: Shape of its marks, which tells it apart without the colour.
    """

    result: GroupResult
    label: str
    colour: str
    marker: str


def shown_groups(table: ComparisonTable) -> list[ShownGroup]:
    """The best groups on validation, as many as can be told apart."""
    shown = table.groups[:MAX_GROUPS]
    labels = short_names([group.name for group in shown], MAX_LABEL_LENGTH)
    return [
        ShownGroup(
            group,
            f"{place + 1}  {label}",
            COLOURS[place % len(COLOURS)],
            MARKERS[place // len(COLOURS)],
        )
        for place, (group, label) in enumerate(zip(shown, labels, strict=True))
    ]


@style()
def seed_strip(document: ComparisonDocument, table: ComparisonTable) -> TitledFigure:
    """Each seed's test score by group, with mean and interval, and the validation mean."""
    metric = document.metric
    kind = next(iter(interval_kinds(document, table)), None)
    rows = []
    for group in shown_groups(table):
        test, val = group.result.test[metric], group.result.val[metric]
        bounds = bounds_of(test, kind) if kind else None
        marks = [
            Marks(val.mean, MUTED, "D", is_hollow=True),
            Marks(test.mean, group.colour, group.marker, test.values, bounds),
        ]
        rows.append(Row(group.label, marks))
    axis = f"{metric_name(metric)} (small: seeds, large: test mean, diamond: val mean"
    axis += f"{_line_of(document, table, kind)})"
    title = f"Test {metric_name(metric)} of each seed by group, with mean and interval"
    return TitledFigure(_rows_figure(rows, axis, table), title)


@style()
def difference_forest(document: ComparisonDocument, table: ComparisonTable) -> TitledFigure | None:
    """Differences with their intervals around zero; None where there are none."""
    shown = table.differences[:MAX_DIFFERENCES]
    if not shown:
        return None
    ranks, names = ranks_of(table), [group.name for group in table.groups]
    labels = dict(zip(names, short_names(names, MAX_PAIR_LABEL_LENGTH), strict=True))
    kind = next(iter(difference_kinds(table)), None)
    rows = []
    for pair in shown:
        # Without intervals the randomisation has a p nevertheless.
        p, adjusted = pair.randomisation_p, pair.holm.randomisation_p
        if kind:
            is_setting = kind == THE_SETTING
            p = pair.setting_p if is_setting else pair.bootstrap_p
            adjusted = pair.holm.setting_p if is_setting else pair.holm.bootstrap_p
        # The ranks first: long names are short here, and the ranks stand in the results.
        name = f"{ranks[pair.a]}  {labels[pair.a]}\n− {ranks[pair.b]}  {labels[pair.b]}"
        bounds = bounds_of(pair, kind) if kind else None
        marks = [Marks(pair.difference, COLOURS[0], "s", (), bounds)]
        rows.append(Row(name, marks, f"p {p_value(p)} (Holm {p_value(adjusted)})"))
    axis = f"difference in {metric_name(document.metric)}, test"
    axis += f", each minus {table.baseline}" if table.baseline else ""
    axis += _line_of(document, table, kind)
    axis += f"; p of {kind}" if kind else "; p by randomisation, of these models"
    title = f"Differences with {percent(document.confidence)} intervals and p"
    return TitledFigure(_rows_figure(rows, axis, table, has_zero=True), title)


def _line_of(document: ComparisonDocument, table: ComparisonTable, kind: str | None) -> str:
    """What a figure's lines are."""
    units = units_text(table)
    line = f"; line: {percent(document.confidence)} interval of {kind}, {units}"
    return line if kind else f"; no intervals, {units}"


@style()
def gain_figures(table: ComparisonTable) -> list[TitledFigure]:
    """Gain of the fused model over each unimodal one, a figure for each breakdown."""
    figures = []
    for kind, lines in (table.modality_gain.by if table.modality_gain else {}).items():
        if not lines:
            continue
        rows = []
        for line in lines:
            gains = (
                (line.gain_over_audio, AUDIO_COLOUR, "o"),
                (line.gain_over_text, TEXT_COLOUR, "s"),
            )
            marks = [
                Marks(gain.mean, colour, marker, gain.values)
                for gain, colour, marker in gains
                if gain
            ]
            rows.append(Row(f"{line.value} (N = {line.num})", marks))
        name = GAIN_NAMES.get(kind, kind)
        measure = "gain" if kind.startswith("class") else "gain in accuracy"
        axis = f"{measure} by {name} (blue circles: over audio, orange squares: over text)"
        title = f"Gain of the fused model over audio alone and over text alone, by {name}"
        figures.append(TitledFigure(_rows_figure(rows, axis, table, has_zero=True), title))
    return figures


@style()
def agreement_figure(table: ComparisonTable) -> TitledFigure | None:
    """Shares of utterances by which unimodal model is right; oracle and fused model below."""
    gain = table.modality_gain
    if not gain or not gain.agreement:
        return None
    agreement = gain.agreement
    names = ["audio alone, text alone"]
    bars = (
        ("both right", agreement.both_right, BOTH_COLOUR),
        ("only audio", agreement.only_audio_right, AUDIO_COLOUR),
        ("only text", agreement.only_text_right, TEXT_COLOUR),
        ("neither", agreement.neither_right, NEITHER_COLOUR),
    )
    others = ((gain.oracle, "right by either (oracle)"), (gain.fused, "the fused model"))
    shown = [(scores.accuracy, words) for scores, words in others if scores]
    names += [f"{words}: {score(accuracy)}" for accuracy, words in shown]
    figure, axes = _rows_axes(names, "share of the test utterances", top=24)
    left = 0.0
    for words, share, colour in bars:
        label = f"{words} {score(share)}"
        axes.barh(0, share, 0.7, left, color=colour, edgecolor=PAPER, label=label)
        left += share
    for row, (accuracy, _) in enumerate(shown, 1):
        axes.barh(row, accuracy, 0.7, color="#777777")
    axes.set_xlim(0, 1)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False, fontsize=8.5)
    draw_mark(figure, table)
    title = "Which of the unimodal models is right, and the accuracy of an oracle and the fused one"
    return TitledFigure(figure, title)


@style()
def seed_scatter(document: ComparisonDocument, table: ComparisonTable) -> TitledFigure:
    """Validation against test: each seed small, each group's mean with its rank inside."""
    name = metric_name(document.metric)
    figure, axes = _figure((520, 500), (60, 12, 440, 440))
    for rank, group in enumerate(shown_groups(table), 1):
        val, test = (split[document.metric] for split in (group.result.val, group.result.test))
        plot_marks(axes, val.values, test.values, group.colour, group.marker, 5, is_hollow=True)
        plot_marks(axes, [val.mean], [test.mean], group.colour, group.marker, 15)
        axes.annotate(
            str(rank),
            (val.mean, test.mean),
            ha="center",
            va="center_baseline",
            color=_readable_on(group.colour),
            fontsize=8,
            fontweight="bold",
            zorder=4,
        )
    axes.margins(0.06)
    ends = (*axes.get_xlim(), *axes.get_ylim())
    limits = min(ends), max(ends)
    axes.axline((limits[0], limits[0]), slope=1, color=MUTED, linestyle="--", linewidth=1)
    axes.set(xlim=limits, ylim=limits, xlabel=f"{name}, val", ylabel=f"{name}, test")
    axes.grid(visible=True)
    draw_mark(figure, table)
    return TitledFigure(figure, f"{name} on validation against test for each seed of each group")


@dataclass(frozen=True)
class Marks:
    """What one row shows of one kind.

    Args:
        mean: Large mark.
        colour: Colour of all its marks.
        marker: Shape of the large mark.
        values: Small marks.
        bounds: Ends of the line through the large mark.
        is_hollow: Whether the large mark is.
    """

    mean: float
    colour: str
    marker: str
    values: Sequence[float] = ()
    bounds: Interval | None = None
    is_hollow: bool = False


@dataclass(frozen=True)
class Row:
    """A name, what is drawn beside it, and a remark at the right."""

    name: str
    marks: Sequence[Marks]
    remark: str = ""


def _rows_figure(
    rows: Sequence[Row], axis_name: str, table: ComparisonTable, has_zero: bool = False
) -> Figure:
    """Names at the left, their marks on a common scale, remarks at the right."""
    right = REMARK_WIDTH if any(row.remark for row in rows) else 20
    figure, axes = _rows_axes([row.name for row in rows], axis_name, right=right)
    if has_zero:
        axes.axvline(0, color=MUTED, linestyle="--", linewidth=1)
    for number, row in enumerate(rows):
        for place, marks in enumerate(row.marks):
            y = number + 0.27 * (place - (len(row.marks) - 1) / 2)
            if marks.bounds:
                axes.plot(marks.bounds, (y, y), color=marks.colour, linewidth=2)
            heights = [y] * len(marks.values)
            plot_marks(axes, marks.values, heights, marks.colour, "o", 4, is_hollow=True)
            plot_marks(axes, [marks.mean], [y], marks.colour, marks.marker, 8, marks.is_hollow)
        if row.remark:
            behind = axes.get_yaxis_transform()
            axes.text(1.01, number, row.remark, transform=behind, va="center", fontsize=8)
    axes.margins(x=0.06)
    draw_mark(figure, table)
    return figure


def _rows_axes(
    names: Sequence[str], axis_name: str, right: float = 20, top: float = 6
) -> tuple[Figure, Axes]:
    """Axes with a row for each name, from top to bottom."""
    height = ROW_HEIGHT * len(names)
    box = (NAME_WIDTH, top, WIDTH - NAME_WIDTH - right, height)
    figure, axes = _figure((WIDTH, top + height + AXIS_HEIGHT), box)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), map(wrapped, names))
    axes.set_xlabel(axis_name, fontsize=8.5)
    axes.tick_params("y", length=0)
    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.grid(axis="x")
    return figure, axes


def _figure(
    size: tuple[float, float], box: tuple[float, float, float, float]
) -> tuple[Figure, Axes]:
    """A figure of some pixels with axes in a box: left, top, width and height in pixels."""
    width, height = size
    figure = Figure(figsize=(width / PAGE_PIXELS_PER_INCH, height / PAGE_PIXELS_PER_INCH))
    return figure, axes_at(figure, size, box)


def axes_at(
    figure: Figure, size: tuple[float, float], box: tuple[float, float, float, float]
) -> Axes:
    """Axes in a box of a figure: left, top, width and height, all in pixels."""
    (width, height), (left, top, across, down) = size, box
    place = (left / width, 1 - (top + down) / height, across / width, down / height)
    axes = figure.add_axes(place)
    axes.tick_params(labelsize=8.5)
    return axes


def plot_marks(
    axes: Axes,
    xs: Sequence[float],
    ys: Sequence[float],
    colour: str,
    marker: str,
    size: float,
    is_hollow: bool = False,
) -> None:
    """Mark places in a colour; the fill of hollow marks is the page's paper."""
    axes.plot(
        xs,
        ys,
        marker,
        markersize=size,
        markerfacecolor=PAPER if is_hollow else colour,
        markeredgecolor=colour,
        zorder=3,
        # A mark at the edge is whole.
        clip_on=False,
    )


def wrapped(name: str, length: int = LINE_LENGTH) -> str:
    """A name in at most two lines; it breaks between words, or where it has a line break."""
    if "\n" in name:
        return name
    lines = textwrap.wrap(name, length, max_lines=2, placeholder=" …", break_on_hyphens=False)
    return "\n".join(lines)


def _readable_on(colour: str) -> str:
    red, green, blue = to_rgb(colour)
    return "#ffffff" if 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.45 else "#000000"


def draw_mark(figure: Figure, table: ComparisonTable) -> None:
    """Write a warning across a figure of a leaky protocol."""
    if table.protocol.leaky:
        size_pt = min(42.0, 0.3 * 72 * figure.get_figheight())
        figure.text(
            *(0.5, 0.5, LEAKY),
            ha="center",
            va="center",
            rotation=12,
            fontsize=size_pt,
            fontweight="bold",
            color=MARK_COLOUR,
            alpha=0.25,
        )
