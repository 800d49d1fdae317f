"""Figures of what is behind the checks of explanations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmemo.explanation.checks import ChecksDocument
from mmemo.explanation.explanation import METHODS
from mmemo.reporting.figures import COLOURS, MUTED, style

Value = TypeVar("Value")

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

MAX_PANELS_IN_ROW = 4

CURVES = {
    "deletion": (COLOURS[0], "-", "o", "deletion"),
    "random_deletion": (COLOURS[0], ":", "", "deletion, random order"),
    "insertion": (COLOURS[4], "-", "s", "insertion"),
    "random_insertion": (COLOURS[4], ":", "", "insertion, random order"),
}
"""Colour, line, mark and name."""


def check_figures(documents: Sequence[ChecksDocument]) -> dict[str, Figure]:
    """Figures of what is behind checks, by name; those that there is nothing for are left out.

    Args:
        documents: Checks of each explanation.
    """
    found = {
        "curves": curves_figure(documents),
        "randomisation": randomisation_figure(documents),
    }
    return {name: figure for name, figure in found.items() if figure is not None}


@style()
def curves_figure(documents: Sequence[ChecksDocument]) -> Figure | None:
    """Deletion and insertion curves, means over the explanations; None where there are none.

    Args:
        documents: Of each explanation.
    """
    found = _by_place([document.curves for document in documents])
    if not found:
        return None
    figure, all_axes = _panels(len(found))
    for axes, (place, curves) in zip(all_axes, found.items(), strict=True):
        shares = [100 * share for share in curves[0].shares]
        for name, (colour, line, mark, label) in CURVES.items():
            values = np.mean([getattr(one, name) for one in curves], axis=0)
            axes.plot(
                shares, values, line, color=colour, marker=mark or None, markersize=3.5, label=label
            )
        axes.set_title(_place_title(place, len(curves)), fontsize="small")
        axes.set_xlabel("% of the units", fontsize="small")
        axes.set_ylim(-0.03, 1.03)
        axes.grid()
    all_axes[0].set_ylabel("probability of the class")
    # Below as many panels the figure is narrower than all names side by side.
    ncols = min(len(all_axes), len(CURVES))
    lines, names = all_axes[0].get_legend_handles_labels()
    figure.legend(lines, names, fontsize="small", ncols=ncols, loc="outside upper center")
    return figure


@style()
def randomisation_figure(documents: Sequence[ChecksDocument]) -> Figure | None:
    """What is left of attributions as more of the model becomes random; None where not checked.

    A thin line for each explanation, the mean thick.

    Args:
        documents: Of each explanation.
    """
    found = _by_place([document.randomisation for document in documents])
    if not found:
        return None
    figure, all_axes = _panels(len(found), height=4.2)
    for axes, (place, explanations) in zip(all_axes, found.items(), strict=True):
        names = [stage.name for stage in explanations[0]]
        lines = [
            [np.nan if stage.correlation is None else stage.correlation for stage in stages]
            for stages in explanations
        ]
        for line in lines:
            axes.plot(range(len(names)), line, color=MUTED, linewidth=0.8)
        axes.plot(range(len(names)), _means(lines), "o-", color=COLOURS[0], markersize=3.5)
        axes.axhline(0, color=MUTED, linewidth=0.8)
        axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=6)
        axes.set_title(_place_title(place, len(lines)), fontsize="small")
        axes.set_ylim(-1.05, 1.05)
    all_axes[0].set_ylabel("correlation with the explanation", fontsize="small")
    return figure


def _by_place(parts: Sequence[Mapping[str, Value]]) -> dict[str, list[Value]]:
    """What several explanations have, by ``method/modality``."""
    found: dict[str, list[Value]] = {}
    for part in parts:
        for place, value in part.items():
            found.setdefault(place, []).append(value)
    return found


def _panels(count: int, height: float = 3.2) -> tuple[Figure, list[Axes]]:
    columns = min(count, MAX_PANELS_IN_ROW)
    rows = -(-count // columns)
    figure = Figure(figsize=(2.6 * columns + 0.6, height * rows), layout="constrained")
    all_axes = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
    for unused in all_axes[count:]:
        unused.remove()
    return figure, all_axes[:count]


def _means(lines: Sequence[Sequence[float]]) -> list[float]:
    """Of each place over the lines that know it."""
    columns = [[v for v in column if np.isfinite(v)] for column in zip(*lines, strict=True)]
    return [float(np.mean(column)) if column else np.nan for column in columns]


def _place_title(place: str, num: int) -> str:
    method, modality = place.split("/")
    return f"{METHODS[method]}, {modality} (N = {num})"
