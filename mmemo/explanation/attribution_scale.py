"""One scale of colours for attributions: what speaks for a class and what against it."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.colors import ListedColormap, to_hex
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NUM_COLOURS = 101
DARK_FROM = 0.75
"""Size from which text on a colour of the scale has to be white."""

# The ends of PuOr are so dark that neither text nor a waveform on them could be read.
SCALE = ListedColormap(mpl.colormaps["PuOr"](np.linspace(0.14, 0.86, NUM_COLOURS)), "attribution")
"""Orange below 0, white at 0, purple above: told apart with any colour vision."""

FOR_COLOUR, AGAINST_COLOUR = to_hex(SCALE(1.0)), to_hex(SCALE(0.0))

NORMALISATION = (
    "Each method is divided by its own largest |attribution|, of sound and of words apart, so that "
    "1 is the strongest 20 ms frame (or word) of the utterance. Colours of sound and of words do "
    "not compare with each other; the modalities' Shapley values do."
)


def normalised(values: Floats) -> Floats:
    """Attributions (U,) in units of the largest size among them: between -1 and 1."""
    largest = np.abs(values).max(initial=0.0)
    return values / largest if largest > 0 else np.zeros(len(values))


def difference(gradients: Floats, occlusion: Floats) -> Floats:
    """Normalised Integrated Gradients minus normalised Occlusion (U,), cut at -1 and 1."""
    cut: Floats = np.clip(normalised(gradients) - normalised(occlusion), -1.0, 1.0)
    return cut


def colours(values: Floats) -> list[str]:
    """Colours of the scale, ``#rrggbb``, of normalised values (U,)."""
    return [to_hex(SCALE((value + 1) / 2)) for value in values]


def text_colours(values: Floats) -> list[str]:
    """Colours of text that can be read on those of ``colours``."""
    return ["#ffffff" if abs(value) >= DARK_FROM else "#1c1c1c" for value in values]


def gradient_stops(num: int = 11) -> list[str]:
    """The scale from -1 to 1 as colours at equal distances, for a legend."""
    return colours(np.linspace(-1.0, 1.0, num))
