"""Figures of an audit, from ``audit.json`` alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmemo.reporting.figures import SPLIT_COLOURS, save_figure

OUTSIDE_COLOUR = "#c8c8c8"
MAX_SPEAKERS = 15
MAX_NAME = 24


def plot_durations(document: dict[str, Any], path: Path) -> None:
    """Draw the durations of each split, by annotated span and by sound where there is any.

    Args:
        document: What ``audit.json`` holds.
        path: PNG to write.
    """
    panels = [document["spans"]]
    if document["clips"]:
        panels.append(document["clips"]["durations"])
    bin_s = document["protocol"]["limits"]["histogram_bin_s"]
    figure = Figure(figsize=(9, 3.4 * len(panels)), layout="constrained")
    all_axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for axes, durations in zip(all_axes, panels, strict=True):
        _plot_histograms(axes, durations, bin_s)
    save_figure(figure, path)


def _plot_histograms(axes: Axes, durations: dict[str, Any], bin_s: float) -> None:
    for split in durations["splits"]:
        counts = np.array(split["histogram"])
        share = 100.0 * counts / max(1, counts.sum())
        edges_s = np.arange(len(counts) + 1) * bin_s
        median_s = split["quantiles_s"].get("0.5")
        median = "" if median_s is None else f", median {median_s:.2f} s"
        axes.stairs(
            share,
            edges_s,
            color=SPLIT_COLOURS[split["split"]],
            linewidth=1.5,
            label=f"{split['split']} (N = {split['num_rows']}{median})",
        )
    histograms = np.array([split["histogram"] for split in durations["splits"]])
    num_bins = int(np.flatnonzero(histograms.any(axis=0)).max(initial=0)) + 1
    last_s = (histograms.shape[1] - 1) * bin_s
    axes.set(
        xlabel=f"duration in s (bins of {bin_s:g} s; the one from {last_s:g} s holds all above)",
        ylabel="% of the split's rows",
        title=f"Durations by {durations['basis']}",
        xlim=(0, num_bins * bin_s),
    )
    axes.grid(alpha=0.3)
    axes.legend()


def plot_classes(document: dict[str, Any], path: Path) -> None:
    """Draw the share and the count of each class in each split.

    Classes outside the label set are grey.

    Args:
        document: What ``audit.json`` holds.
        path: PNG to write.
    """
    protocol, splits = document["protocol"], document["splits"]
    outside = sorted({label for split in splits for label in split["labels"]})
    classes = list(dict.fromkeys([*protocol["classes"], *outside]))
    figure = Figure(figsize=(9, 0.9 + 1.9 * len(splits)), layout="constrained")
    all_axes = figure.subplots(len(splits), 1, squeeze=False, sharex=True, sharey=True)[:, 0]
    for axes, split in zip(all_axes, splits, strict=True):
        counts = [split["labels"].get(label, 0) for label in classes]
        share = [100.0 * count / split["num_rows"] for count in counts]
        colours = [protocol["colours"].get(label, OUTSIDE_COLOUR) for label in classes]
        bars = axes.bar(range(len(classes)), share, color=colours, width=0.7)
        texts = [f"{s:.1f} %\n{n}" for s, n in zip(share, counts, strict=True)]
        axes.bar_label(bars, texts, fontsize=8, padding=2)
        axes.set(ylabel="% of rows", title=f"{split['split']} (N = {split['num_rows']})")
        axes.margins(y=0.3)
        axes.grid(axis="y", alpha=0.3)
        axes.set_axisbelow(True)
    all_axes[-1].set_xticks(range(len(classes)), classes)
    save_figure(figure, path)


def plot_speakers(document: dict[str, Any], path: Path) -> None:
    """Draw the share of each split's rows that the most frequent speakers have.

    Args:
        document: What ``audit.json`` holds.
        path: PNG to write.
    """
    splits = document["splits"]
    total: Counter[str] = Counter()
    for split in splits:
        total.update(split["speakers"])
    names = [name for name, _ in total.most_common(MAX_SPEAKERS)]
    num_others = len(total) - len(names)
    figure = Figure(figsize=(9, 1.4 + 0.42 * (len(names) + 1)), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(splits)
    for index, split in enumerate(splits):
        counts = [split["speakers"].get(name, 0) for name in names]
        if num_others:
            counts.append(split["num_rows"] - sum(counts))
        axes.barh(
            np.arange(len(counts)) + (index - (len(splits) - 1) / 2) * height,
            [100.0 * count / split["num_rows"] for count in counts],
            height,
            color=SPLIT_COLOURS[split["split"]],
            label=f"{split['split']} ({split['num_speakers']} speakers)",
        )
    rows = [_shortened(name) for name in names]
    if num_others:
        rows.append(f"{num_others} others")
    axes.set_yticks(range(len(rows)), rows, parse_math=False)
    axes.invert_yaxis()
    axes.set(xlabel="% of the split's rows", title="Speakers")
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.legend()
    save_figure(figure, path)


def _shortened(name: str) -> str:
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…"
