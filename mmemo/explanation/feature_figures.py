"""Figures of what a classical classifier's features say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmemo.explanation.feature_shap import FeatureShapDocument, UtteranceFeatures
from mmemo.explanation.scale import AGAINST_COLOUR, FOR_COLOUR
from mmemo.reporting.figures import COLOURS, MUTED, style

MAX_BARS = 20
"""Features that the figure of their importance shows."""

MAX_UTTERANCES = 8
"""Single utterances that are drawn."""

MAX_NAME = 34
"""Letters of a feature's name beside a bar."""

OTHERS = "all others"


@style()
def importance_figure(document: FeatureShapDocument, colours: Mapping[str, str]) -> Figure:
    """Mean size of the SHAP values of the features that count most, by class.

    Args:
        document: Of a run.
        colours: Of classes, by name; of others one of the style's.
    """
    shown = document.features[:MAX_BARS]
    classes = list(shown[0].by_class) if shown else []
    figure = Figure(figsize=(9, 0.27 * len(shown) + 1.4), layout="constrained")
    axes = figure.subplots()
    lefts = [0.0] * len(shown)
    for number, name in enumerate(classes):
        # The parts of a bar sum to the mean over classes.
        widths = [one.by_class[name] / len(classes) for one in shown]
        colour = colours.get(name, COLOURS[number % len(COLOURS)])
        axes.barh(range(len(shown)), widths, left=lefts, color=colour, label=name)
        lefts = [left + width for left, width in zip(lefts, widths, strict=True)]
    _name_bars(axes, [one.feature for one in shown])
    axes.set_xlabel(f"mean |SHAP|, of the {document.output}; N = {document.num}")
    axes.grid(axis="x")
    figure.legend(fontsize="small", ncols=min(len(classes), 8), loc="outside upper center")
    return figure


@style()
def utterance_features_figure(document: FeatureShapDocument) -> Figure | None:
    """What the features say of single utterances, the first of each class; None without any."""
    first: dict[str, UtteranceFeatures] = {}
    for one in document.utterances:
        first.setdefault(one.target, one)
    shown = list(first.values())[:MAX_UTTERANCES]
    if not shown:
        return None
    rows = -(-len(shown) // 2)
    num_bars = max(len(one.features) for one in shown) + 1
    figure = Figure(figsize=(9, rows * (0.22 * num_bars + 0.9)), layout="constrained")
    all_axes = list(figure.subplots(rows, 2, squeeze=False, sharex=True).flat)
    for unused in all_axes[len(shown) :]:
        unused.remove()
    for axes, one in zip(all_axes, shown, strict=False):
        values = [feature.shap for feature in one.features] + [one.others]
        colours = [FOR_COLOUR if value > 0 else AGAINST_COLOUR for value in values]
        axes.barh(range(len(values)), values, color=colours)
        axes.axvline(0, color=MUTED, linewidth=0.8)
        names = [f"{feature.feature} = {feature.value:.3g}" for feature in one.features]
        _name_bars(axes, [*names, OTHERS], "x-small")
        title = f"{one.target}: {one.key}\n{one.expected:.3g} → {one.output:.3g}"
        axes.set_title(title, fontsize="small")
        axes.grid(axis="x")
    for axes in all_axes[max(0, len(shown) - 2) : len(shown)]:
        axes.tick_params(axis="x", labelbottom=True)
        axes.set_xlabel(f"SHAP, of the {document.output}", fontsize="small")
    return figure


def _name_bars(axes: Axes, names: Sequence[str], size: str = "small") -> None:
    """Names beside horizontal bars, the first one on top."""
    shown = [name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…" for name in names]
    axes.set_yticks(range(len(names)), shown, fontsize=size)
    axes.set_ylim(len(names) - 0.4, -0.6)
