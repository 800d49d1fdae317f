"""One scale of colours for attributions: what speaks for a class and what against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.colors import ListedColormap, to_hex
from numpy.typing import NDArray

from mmemo.explanation.explanation import COMPARED, METHODS, Attribution, Explanation
from mmemo.explanation.frames import estimated_word_times

Floats = NDArray[np.float64]

NUM_COLOURS = 101
DARK_FROM = 0.75
"""Size from which text on a colour of the scale has to be white."""

# The ends of PuOr are so dark that neither text nor a waveform on them could be read.
SCALE = ListedColormap(mpl.colormaps["PuOr"](np.linspace(0.14, 0.86, NUM_COLOURS)), "attribution")
"""Orange below 0, white at 0, purple above: told apart with any colour vision."""

FOR_COLOUR, AGAINST_COLOUR = to_hex(SCALE(1.0)), to_hex(SCALE(0.0))

DIFFERENCE = "difference"
TITLES = {**METHODS, DIFFERENCE: "Integrated Gradients − Occlusion"}

NORMALISATION = (
    "Each method is divided by its own largest |attribution|, of sound and of words apart, so that "
    "1 is the strongest 20 ms frame (or word) of the utterance. Colours of sound and of words do "
    "not compare with each other; the modalities' Shapley values do."
)


@dataclass(frozen=True)
class ColouredWord:
    """A word with its colour, and where in the sound it is likely to stand.

    Args:
        text: As written.
        span_s: Estimated start and end in the sound, in s; None without sound.
        attribution: Of F; None for the difference of methods.
        value: The attribution normalised, between -1 and 1.
        colour: Of the scale.
        text_colour: That can be read on it.
        is_read: False where the model did not read it.
    """

    text: str
    span_s: tuple[float, float] | None
    attribution: float | None
    value: float
    colour: str
    text_colour: str
    is_read: bool


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


def gradient_stops(num: int = 11) -> list[str]:
    """The scale from -1 to 1 as colours at equal distances, for a legend."""
    return colours(np.linspace(-1.0, 1.0, num))


def frame_values(explanation: Explanation) -> dict[str, Floats]:
    """Normalised attributions (F,) of the sound by method, and their difference if both are."""
    return _values({n: a.frames for n, a in explanation.attributions.items()})


def word_values(explanation: Explanation) -> dict[str, Floats]:
    """Normalised attributions (W,) of the words by method, and their difference if both are."""
    return _values({n: a.words for n, a in explanation.attributions.items()})


def _values(attributions: dict[str, Floats | None]) -> dict[str, Floats]:
    found = {name: values for name, values in attributions.items() if values is not None}
    shown = {name: normalised(values) for name, values in found.items()}
    if all(name in found for name in COMPARED):
        shown[DIFFERENCE] = difference(*(found[name] for name in COMPARED))
    return shown


def coloured_words(explanation: Explanation, method: str) -> list[ColouredWord]:
    """The words in the colours of a method, or of the difference of both."""
    values = word_values(explanation)[method]
    attribution = explanation.attributions.get(method, Attribution(None, None)).words
    spans = word_spans_s(explanation)
    return [
        ColouredWord(
            text=word.text,
            span_s=spans[place] if spans else None,
            attribution=None if attribution is None else float(attribution[place]),
            value=float(value),
            colour=colour,
            text_colour="#ffffff" if abs(value) >= DARK_FROM else "#1c1c1c",
            is_read=word.is_read,
        )
        for place, (word, value, colour) in enumerate(
            zip(explanation.words, values, colours(values), strict=True)
        )
    ]


def word_spans_s(explanation: Explanation) -> Sequence[tuple[float, float]]:
    """Start and end of each word in s, as told, or estimated of all; none without sound.

    What is read and not said, a speaker's name in front, is at the next word's beginning.
    """
    sound = explanation.sound
    if sound is None or len(sound) == 0:
        return []
    if not explanation.has_word_times:
        texts = [word.text for word in explanation.words]
        return estimated_word_times(texts, sound, explanation.sample_rate)
    spans: list[tuple[float, float]] = []
    next_s = explanation.duration_s
    for word in reversed(explanation.words):
        next_s = next_s if word.start_s is None else word.start_s
        spans.append((next_s, next_s if word.end_s is None else word.end_s))
    return spans[::-1]
