"""Colours of classes in figures, chosen where none are given."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence

USUAL = {
    "anger": "#d55e00",
    "disgust": "#999933",
    "fear": "#cc79a7",
    "joy": "#e69f00",
    "neutral": "#7f7f7f",
    "sadness": "#0072b2",
    "surprise": "#009e73",
    "negative": "#d55e00",
    "positive": "#009e73",
}
"""The same class has the same colour in every set."""

PALETTE = (
    *("#56b4e9", "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#f0e442", "#7f7f7f"),
    *("#332288", "#882255", "#999933", "#44aa99", "#aa4499", "#117733", "#ddcc77", "#88ccee"),
)
"""Okabe and Ito 2008, "Color universal design", then Tol 2021, "Colour schemes", muted: told apart
by those who see fewer colours too."""


def with_colours(classes: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """A colour for each class, in order: its own, else the usual one, else one that none has yet.

    Beyond the palette they are spread over the hues, where not all can be told apart by all eyes.
    """
    chosen = {name: given.get(name) or USUAL.get(name) for name in classes}
    taken = {colour.lower() for colour in chosen.values() if colour is not None}
    free = [colour for colour in PALETTE if colour not in taken]
    open_classes = [name for name, colour in chosen.items() if colour is None]
    num_hues = max(1, len(open_classes) - len(free))
    free += [_hue(number / num_hues) for number in range(num_hues)]
    new = dict(zip(open_classes, free, strict=False))
    return {name: colour or new[name] for name, colour in chosen.items()}


def _hue(share: float) -> str:
    red, green, blue = (round(255 * part) for part in colorsys.hls_to_rgb(share, 0.45, 0.7))
    return f"#{red:02x}{green:02x}{blue:02x}"
