"""Figures of the checks of explanations, from ``checks.json`` of one or of many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmemo.explanation.explained_set import METHODS
from mmemo.explanation.figures import save_in_formats
from mmemo.reporting.self_contained import as_data_uri

CHECKS_MEANING = (
    "Deletion takes the most important units away first, insertion gives them first; the area is "
    "that under the probability of the explained class. Comprehensiveness is what the probability "
    "loses without the top 10, 20 and 50 % of the units, sufficiency what it loses with them "
    "alone. Deletion area and sufficiency are good where they are low, insertion area and "
    "comprehensiveness where they are high. Correlations are Spearman's; that with a random "
    "model's should be near 0, that across seeds near 1. p of one utterance is the share of "
    "unrelated attributions, as smooth in time, that are as far out; of it something is said "
    "where that is at most 0.05, which takes 39 random orders (faithfulness_checks.num_orders), "
    "or five words. A set is judged by its paired differences."
)

CURVES = {
    "deletion": ("#0072b2", "-", "o", "deletion"),
    "random_deletion": ("#0072b2", ":", "", "deletion, random order"),
    "insertion": ("#e69f00", "-", "s", "insertion"),
    "random_insertion": ("#e69f00", ":", "", "insertion, random order"),
}
"""Colour, line, mark and name."""

Document = Mapping[str, Any]


def write_check_figures(documents: Sequence[Document], folder: Path) -> dict[str, str]:
    """Draw what is behind checks as PNG and PDF into a folder; data URIs by name, for a page.

    Args:
        documents: What ``checks.json`` holds of each explanation.
        folder: Of the figures.
    """
    figures = {
        "curves": curves_figure(documents),
        "randomisation": randomisation_figure(documents),
    }
    images = {}
    for name, figure in figures.items():
        if figure is not None:
            save_in_formats(figure, folder / name)
            images[name] = as_data_uri(folder / f"{name}.png")
    return images


def curves_figure(documents: Sequence[Document]) -> Figure | None:
    """Deletion and insertion curves, means over the explanations; None where there are none.

    Args:
        documents: What ``checks.json`` holds of each.
    """
    found = _by_place(documents, "curves")
    if not found:
        return None
    figure, all_axes = _panels(len(found))
    for axes, (place, curves) in zip(all_axes, found.items(), strict=True):
        shares = [100 * share for share in curves[0]["shares"]]
        for name, (colour, line, mark, label) in CURVES.items():
            values = np.mean([one[name] for one in curves], axis=0)
            axes.plot(
                shares, values, line, color=colour, marker=mark or None, markersize=3.5, label=label
            )
        axes.set_title(_title(place, len(curves)), fontsize="small")
        axes.set_xlabel("% of the units", fontsize="small")
        axes.set_ylim(-0.03, 1.03)
        axes.grid(alpha=0.3)
    all_axes[0].set_ylabel("probability of the class")
    figure.legend(*all_axes[0].get_legend_handles_labels(), ncols=4, loc="outside upper center")
    return figure


def randomisation_figure(documents: Sequence[Document]) -> Figure | None:
    """What is left of attributions as more of the model becomes random; None where not checked.

    A thin line for each explanation, the mean thick.

    Args:
        documents: What ``checks.json`` holds of each.
    """
    found = _by_place(documents, "randomisation")
    if not found:
        return None
    figure, all_axes = _panels(len(found), height=4.2)
    for axes, (place, explanations) in zip(all_axes, found.items(), strict=True):
        names = [stage["name"] for stage in explanations[0]]
        lines = [
            [np.nan if stage["correlation"] is None else stage["correlation"] for stage in stages]
            for stages in explanations
        ]
        for line in lines:
            axes.plot(range(len(names)), line, color="0.6", linewidth=0.8)
        axes.plot(range(len(names)), _means(lines), "o-", color="#0072b2", markersize=3.5)
        axes.axhline(0, color="0.4", linewidth=0.8)
        axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=6)
        axes.set_title(_title(place, len(lines)), fontsize="small")
        axes.set_ylim(-1.05, 1.05)
    all_axes[0].set_ylabel("correlation with the explanation", fontsize="small")
    return figure


def _by_place(documents: Sequence[Document], part: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for document in documents:
        for place, value in document[part].items():
            found.setdefault(place, []).append(value)
    return found


def _panels(count: int, height: float = 3.2) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(2.6 * count + 0.6, height), layout="constrained")
    return figure, list(figure.subplots(1, count, squeeze=False, sharey=True)[0])


def _means(lines: Sequence[Sequence[float]]) -> list[float]:
    """Of each place over the lines that know it."""
    columns = [[v for v in column if np.isfinite(v)] for column in zip(*lines, strict=True)]
    return [float(np.mean(column)) if column else np.nan for column in columns]


def _title(place: str, num: int) -> str:
    method, modality = place.split("/")
    return f"{METHODS[method]}, {modality} (N = {num})"
