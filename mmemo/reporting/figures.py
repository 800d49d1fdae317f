"""Figures of a run, from its tables alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

DOTS_PER_INCH = 150
SPLIT_COLOURS = {"train": "#0072b2", "val": "#d55e00", "test": "#009e73"}
MARK_COLOUR = "#c00000"


def confusion_counts(table: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Counts of target (rows) by prediction (columns), in label order, zeros included."""
    counts = pd.crosstab(table["target"], table["pred"])
    return counts.reindex(index=list(classes), columns=list(classes), fill_value=0)


def plot_confusion_matrix(
    table: pd.DataFrame, colours: Mapping[str, str], title: str, path: Path, mark: str = ""
) -> None:
    """Draw counts and row percentages, the colour following the percentage.

    Args:
        table: Prediction table of one split.
        colours: For each class, in label order, the colour of its name.
        title: Above the figure.
        path: PNG to write.
        mark: Warning across the axes; empty for none.
    """
    classes = list(colours)
    counts = confusion_counts(table, classes).to_numpy()
    totals = counts.sum(axis=1, keepdims=True)
    percent = np.divide(100.0 * counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    size = 1.6 + 0.85 * len(classes)
    figure = Figure(figsize=(size + 0.9, size), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    for row, column in np.ndindex(*counts.shape):
        axes.text(
            column,
            row,
            f"{counts[row, column]}\n{percent[row, column]:.0f} %",
            ha="center",
            va="center",
            fontsize=9,
            color="white" if percent[row, column] > 55 else "black",
        )
    axes.set_xticks(range(len(classes)), classes, rotation=30, ha="right")
    row_labels = [f"{name} ({n})" for name, n in zip(classes, totals[:, 0], strict=True)]
    axes.set_yticks(range(len(classes)), row_labels)
    for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
        for tick, colour in zip(ticks, colours.values(), strict=True):
            tick.set(color=colour, fontweight="bold")
    axes.set(xlabel="predicted", ylabel="annotated (count)")
    figure.suptitle(title, fontsize="medium", wrap=True)
    figure.colorbar(image, ax=axes, label="% of the annotated class", shrink=0.8)
    _draw_mark(axes, mark)
    save_figure(figure, path)


def plot_curves(
    history: pd.DataFrame, chosen_epoch: int, title: str, path: Path, mark: str = ""
) -> None:
    """Draw loss and accuracy by epoch for training and validation; mark the chosen epoch.

    Args:
        history: One row for each epoch, counted from 0.
        chosen_epoch: Epoch of the checkpoint that is evaluated.
        title: Above the figure.
        path: PNG to write.
        mark: Warning across the axes; empty for none.
    """
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    for axes, metric in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        _plot_metric(axes, history, metric, chosen_epoch)
        _draw_mark(axes, mark)
    figure.suptitle(title)
    save_figure(figure, path)


def plot_reliability(
    calibration: Mapping[str, Any], title: str, path: Path, mark: str = ""
) -> None:
    """Draw accuracy by mean confidence of each bin, before and after the temperature.

    Args:
        calibration: Of one run: ``reliability`` and ``reliability_scaled`` with ``confidence,
            accuracy, count`` of each bin, and the expected calibration errors.
        title: Above the figure.
        path: PNG to write.
        mark: Warning across the axes; empty for none.
    """
    figure = Figure(figsize=(5.2, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot((0, 1), (0, 1), color="0.6", linestyle=":", label="as sure as right")
    for suffix, words, line in (("", "as it is", "--"), ("_scaled", "with the temperature", "-")):
        bins = calibration[f"reliability{suffix}"]
        confidence, accuracy, count = (
            np.array([part[name] for part in bins]) for name in ("confidence", "accuracy", "count")
        )
        colour = SPLIT_COLOURS["test"] if suffix else "0.4"
        error = calibration[f"ece{suffix}"]["mean"]
        axes.plot(confidence, accuracy, line, color=colour, label=f"{words}: ECE {error:.3f}")
        axes.scatter(confidence, accuracy, 12 + 150 * count / count.sum(), color=colour, alpha=0.7)
    axes.set(xlabel="mean confidence", ylabel="accuracy", xlim=(0, 1.02), ylim=(-0.02, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left")
    _draw_mark(axes, mark)
    figure.suptitle(title, fontsize="medium", wrap=True)
    save_figure(figure, path)


def save_figure(figure: Figure, *paths: Path) -> None:
    """Write a figure to files; the same figure gives the same bytes.

    It is laid out once and keeps that: Matplotlib would do so for each file, and would draw the
    figure once more to that end.
    """
    figure.set_dpi(DOTS_PER_INCH)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)
    for path in paths:
        dates = {"CreationDate": None} if path.suffix == ".pdf" else {}
        figure.savefig(path, dpi=DOTS_PER_INCH, metadata=dates)


def _draw_mark(axes: Axes, mark: str) -> None:
    """Write a warning over the axes, under their numbers and lines."""
    if mark:
        axes.text(
            *(0.5, 0.5, mark),
            transform=axes.transAxes,
            ha="center",
            va="center",
            rotation=25,
            fontsize=56,
            fontweight="bold",
            color=MARK_COLOUR,
            alpha=0.4,
            zorder=1,
        )


def _plot_metric(axes: Axes, history: pd.DataFrame, metric: str, chosen_epoch: int) -> None:
    for split in ("train", "val"):
        values = history[f"{split}/{metric}"]
        axes.plot(history["epoch"], values, color=SPLIT_COLOURS[split], marker=".", label=split)
    axes.axvline(chosen_epoch, color="0.4", linestyle="--", label=f"chosen: epoch {chosen_epoch}")
    axes.set(xlabel="epoch (from 0)", ylabel=metric)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0, top=1.02 if metric == "accuracy" else None)
    axes.grid(alpha=0.3)
    axes.legend()
