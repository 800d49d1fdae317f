"""Figures of a run, from its tables alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmemo.evaluation.abstention_metrics import SelectiveMetrics
from mmemo.evaluation.confusion_scores import confusion_counts
from mmemo.evaluation.group_metrics import MISJUDGED, GroupMetrics, GroupScores
from mmemo.evaluation.run_metrics import Calibration
from mmemo.reporting.figures import MUTED, SPLIT_COLOURS, draw_mark, style
from mmemo.reporting.group_tables import column_name
from mmemo.reporting.numbers import metric_name

MAX_GROUPS = 12
"""Of a column in a figure; a table has all."""

DARK_PERCENT = 55
"""From here on a field of the confusion matrix is so dark that its numbers are white."""


@style()
def confusion_figure(
    table: pd.DataFrame, colours: Mapping[str, str], title: str, mark: str = ""
) -> Figure:
    """Counts and row percentages, the colour following the percentage.

    Args:
        table: Prediction table of one split.
        colours: For each class, in label order, the colour of its name.
        title: Above the figure.
        mark: Warning across the axes; empty for none.
    """
    classes = list(colours)
    counts = confusion_counts(table, classes).astype(int)
    totals = counts.sum(axis=1, keepdims=True)
    percent = np.divide(100.0 * counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    size = 1.6 + 0.85 * len(classes)
    figure = Figure(figsize=(size + 0.9, size), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(classes))
    fields = axes.pcolormesh(
        places, places, percent, cmap="Blues", vmin=0, vmax=100, edgecolors="face"
    )
    axes.set_aspect("equal")
    axes.invert_yaxis()
    for row, column in np.ndindex(*counts.shape):
        axes.text(
            column,
            row,
            f"{counts[row, column]}\n{percent[row, column]:.0f} %",
            ha="center",
            va="center",
            fontsize=9,
            color="white" if percent[row, column] > DARK_PERCENT else "black",
        )
    axes.set_xticks(places, classes, rotation=30, ha="right")
    row_labels = [f"{name} ({n})" for name, n in zip(classes, totals[:, 0], strict=True)]
    axes.set_yticks(places, row_labels)
    for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
        for tick, colour in zip(ticks, colours.values(), strict=True):
            tick.set(color=colour, fontweight="bold")
    axes.set(xlabel="predicted", ylabel="annotated (count)")
    figure.suptitle(title, wrap=True)
    bar = figure.colorbar(fields, ax=axes, label="% of the annotated class", shrink=0.8)
    if bar.solids is not None:
        # 256 fields in a page otherwise.
        bar.solids.set_rasterized(True)
    draw_mark(axes, mark)
    return figure


@style()
def curves_figure(history: pd.DataFrame, chosen_epoch: int, title: str, mark: str = "") -> Figure:
    """Loss and accuracy by epoch for training and validation, the chosen epoch marked.

    Args:
        history: One row for each epoch, counted from 0.
        chosen_epoch: Epoch of the checkpoint that is evaluated.
        title: Above the figure.
        mark: Warning across the axes; empty for none.
    """
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    for axes, metric in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        _plot_metric(axes, history, metric, chosen_epoch)
        draw_mark(axes, mark)
    figure.suptitle(title, wrap=True)
    return figure


@style()
def reliability_figure(calibration: Calibration, title: str, mark: str = "") -> Figure:
    """Accuracy by mean confidence of each bin, before and after the temperature.

    Args:
        calibration: Calibration of one run.
        title: Above the figure.
        mark: Warning across the axes; empty for none.
    """
    figure = Figure(figsize=(5.2, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot((0, 1), (0, 1), color=MUTED, linestyle=":", label="as sure as right")
    before = (calibration.reliability, calibration.ece, "as it is", "--", MUTED)
    after = (calibration.reliability_scaled, calibration.ece_scaled, "with the temperature", "-")
    for bins, ece, words, line, colour in (before, (*after, SPLIT_COLOURS["test"])):
        confidence = np.array([part.confidence for part in bins])
        accuracy = np.array([part.accuracy for part in bins])
        count = np.array([part.count for part in bins])
        axes.plot(confidence, accuracy, line, color=colour, label=f"{words}: ECE {ece.mean:.3f}")
        axes.scatter(confidence, accuracy, 12 + 150 * count / count.sum(), color=colour, alpha=0.7)
    axes.set(xlabel="mean confidence", ylabel="accuracy", xlim=(0, 1.02), ylim=(-0.02, 1.02))
    axes.grid()
    axes.legend(loc="upper left")
    draw_mark(axes, mark)
    figure.suptitle(title, wrap=True)
    return figure


@style()
def risk_coverage_figure(found: SelectiveMetrics, title: str, mark: str = "") -> Figure:
    """Share of wrong answers by the share that is answered, the surest first.

    Args:
        found: Of one run.
        title: Above the figure.
        mark: Warning across the axes; empty for none.
    """
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    axes = figure.add_subplot()
    coverage, risk = ([getattr(p, name) for p in found.curve] for name in ("coverage", "risk"))
    axes.plot(coverage, risk, color=SPLIT_COLOURS["test"], label=f"AURC {found.aurc:.3f}")
    axes.axhline(
        found.aurc_random, color=MUTED, linestyle=":", label=f"by chance {found.aurc_random:.3f}"
    )
    chosen = found.threshold
    if chosen.test is not None:
        words = f"from {chosen.test.threshold:.2f} on, chosen for {chosen.wished_error:g}"
        axes.plot(
            chosen.test.coverage, chosen.test.risk, "o", color=SPLIT_COLOURS["val"], label=words
        )
    axes.set(xlabel="share answered", ylabel="share of these wrong", xlim=(0, 1.02))
    axes.set_ylim(bottom=0)
    axes.grid()
    axes.legend()
    draw_mark(axes, mark)
    figure.suptitle(title, wrap=True)
    return figure


@style()
def groups_figure(groups: GroupMetrics, title: str, mark: str = "") -> Figure:
    """Scores of groups with their intervals, a row for each group, the columns below each other.

    Args:
        groups: Of one run; of many groups of a column those with the most utterances.
        title: Above the figure.
        mark: Warning across the axes; empty for none.
    """
    rows: list[tuple[str, GroupScores | None]] = []
    for name, column in groups.columns.items():
        by_size = sorted(column.groups, key=lambda one: -column.groups[one].num_utterances)
        shown = set(by_size[:MAX_GROUPS])
        rows.append((column_name(name), None))
        rows += [(f"{n} ({s.num_utterances})", s) for n, s in column.groups.items() if n in shown]
    figure = Figure(figsize=(8, 1.4 + 0.22 * len(rows)), layout="constrained")
    kinds = [groups.metric, *([MISJUDGED] if groups.harmful_class is not None else [])]
    axes_of = dict(
        zip(kinds, np.atleast_1d(figure.subplots(1, len(kinds), sharey=True)), strict=True)
    )
    for kind, axes in axes_of.items():
        for place, (_, found) in enumerate(rows):
            if found is None or kind not in found.scores:
                continue
            if bounds := found.intervals.get(kind):
                axes.plot(bounds, (place, place), color=MUTED)
            axes.plot(found.scores[kind], place, "o", color=SPLIT_COLOURS["test"], markersize=4)
        harm = f"taken for {groups.harmful_class}"
        axes.set(xlabel=harm if kind == MISJUDGED else metric_name(kind), xlim=(-0.02, 1.02))
        axes.grid(axis="x")
        draw_mark(axes, mark)
    first = axes_of[groups.metric]
    first.set_yticks(range(len(rows)), [name for name, _ in rows])
    first.invert_yaxis()
    for tick, (_, found) in zip(first.get_yticklabels(), rows, strict=True):
        tick.set(fontweight="normal" if found else "bold")
    figure.suptitle(title, wrap=True)
    return figure


def _plot_metric(axes: Axes, history: pd.DataFrame, metric: str, chosen_epoch: int) -> None:
    for split in ("train", "val"):
        values = history[f"{split}/{metric}"]
        axes.plot(history["epoch"], values, color=SPLIT_COLOURS[split], marker=".", label=split)
    axes.axvline(chosen_epoch, color=MUTED, linestyle="--", label=f"chosen: epoch {chosen_epoch}")
    axes.set(xlabel="epoch (from 0)", ylabel=metric)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0, top=1.02 if metric == "accuracy" else None)
    axes.grid()
    axes.legend()
