"""Figures of an audit."""

from __future__ import annotations

from collections import Counter

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmemo.audit.durations import Durations
from mmemo.audit.findings import Audit
from mmemo.audit.tables import labels_of
from mmemo.reporting.figures import SPLIT_COLOURS, style

OUTSIDE_COLOUR = "#b0b0b0"
"""Of classes outside the label set."""

MAX_SPEAKERS = 15
MAX_NAME = 24


@style()
def durations_figure(audit: Audit) -> Figure:
    """The durations of each split, by annotated span and by sound where there is any."""
    panels = [audit.spans]
    if audit.clips:
        panels.append(audit.clips.durations)
    figure = Figure(figsize=(9, 3.4 * len(panels)), layout="constrained")
    all_axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for axes, durations in zip(all_axes, panels, strict=True):
        _plot_histograms(axes, durations, audit.protocol.limits.histogram_bin_s)
    return figure


def _plot_histograms(axes: Axes, durations: Durations, bin_s: float) -> None:
    for split in durations.splits:
        counts = np.array(split.histogram)
        share = 100.0 * counts / max(1, counts.sum())
        edges_s = np.arange(len(counts) + 1) * bin_s
        median_s = split.quantiles_s.get("0.5")
        median = "" if median_s is None else f", median {median_s:.2f} s"
        axes.stairs(
            share,
            edges_s,
            color=SPLIT_COLOURS[split.split],
            linewidth=1.5,
            label=f"{split.split} (N = {split.num_rows}{median})",
        )
    histograms = np.array([split.histogram for split in durations.splits])
    num_bins = int(np.flatnonzero(histograms.any(axis=0)).max(initial=0)) + 1
    last_s = (histograms.shape[1] - 1) * bin_s
    axes.set(
        xlabel=f"duration in s (bins of {bin_s:g} s; the one from {last_s:g} s holds all above)",
        ylabel="% of the split's rows",
        title=f"Durations by {durations.basis}",
        xlim=(0, num_bins * bin_s),
    )
    axes.grid()
    axes.legend()


@style()
def classes_figure(audit: Audit) -> Figure:
    """The share and the count of each class in each split; grey outside the label set."""
    classes = labels_of(audit)
    colours = [audit.protocol.colours.get(label, OUTSIDE_COLOUR) for label in classes]
    splits = audit.splits
    figure = Figure(figsize=(9, 0.9 + 1.9 * len(splits)), layout="constrained")
    all_axes = figure.subplots(len(splits), 1, squeeze=False, sharex=True, sharey=True)[:, 0]
    for axes, split in zip(all_axes, splits, strict=True):
        counts = [split.labels.get(label, 0) for label in classes]
        share = [100.0 * count / split.num_rows for count in counts]
        bars = axes.bar(range(len(classes)), share, color=colours, width=0.7)
        texts = [f"{s:.1f} %\n{n}" for s, n in zip(share, counts, strict=True)]
        axes.bar_label(bars, texts, fontsize=8, padding=2)
        axes.set(ylabel="% of rows", title=f"{split.split} (N = {split.num_rows})")
        axes.margins(y=0.3)
        axes.grid(axis="y")
    all_axes[-1].set_xticks(range(len(classes)), classes)
    return figure


@style()
def speakers_figure(audit: Audit) -> Figure:
    """The share of each split's rows that the most frequent speakers have."""
    splits = audit.splits
    total: Counter[str] = Counter()
    for split in splits:
        total.update(split.speakers)
    names = [name for name, _ in total.most_common(MAX_SPEAKERS)]
    num_others = len(total) - len(names)
    figure = Figure(figsize=(9, 1.4 + 0.42 * (len(names) + 1)), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(splits)
    for index, split in enumerate(splits):
        counts = [split.speakers.get(name, 0) for name in names]
        if num_others:
            counts.append(split.num_rows - sum(counts))
        axes.barh(
            np.arange(len(counts)) + (index - (len(splits) - 1) / 2) * height,
            [100.0 * count / split.num_rows for count in counts],
            height,
            color=SPLIT_COLOURS[split.split],
            label=f"{split.split} ({split.num_speakers} speakers)",
        )
    rows = [_shortened(name) for name in names]
    if num_others:
        rows.append(f"{num_others} others")
    axes.set_yticks(range(len(rows)), rows)
    axes.invert_yaxis()
    axes.set(xlabel="% of the split's rows", title="Speakers")
    axes.grid(axis="x")
    axes.legend()
    return figure


def _shortened(name: str) -> str:
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…"
