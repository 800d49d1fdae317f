"""Geometry of an explanation's panels over time: what the page draws as SVG."""

from __future__ import annotations

import io
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.image import imsave
from numpy.typing import NDArray

from mmemo.explanation.attribution_scale import colours, difference, normalised, text_colours
from mmemo.explanation.explained_set import METHODS
from mmemo.explanation.explanation import Attribution, Explanation
from mmemo.explanation.mel_spectrogram import mel_spectrogram_db
from mmemo.explanation.voicing import estimated_word_times
from mmemo.reporting.self_contained import png_data_uri

Floats = NDArray[np.float64]

WIDTH = 960.0
"""Of a panel in its own units; the sound takes what ``SOUND_SHARE`` leaves of it."""

SOUND_SHARE = 0.94
"""The rest, behind the end of the sound, shows that nothing is explained there."""

POINTS_PER_FRAME = 4
DIFFERENCE = "difference"
DIFFERENCE_TITLE = "Integrated Gradients − Occlusion"


@dataclass(frozen=True)
class TimeAxis:
    """Where times of a sound stand in a panel.

    Args:
        duration_s: Of the sound.
    """

    duration_s: float

    @property
    def end(self) -> float:
        """Where the sound ends in the panel."""
        return WIDTH * SOUND_SHARE

    def at(self, time_s: float) -> float:
        """Where a time stands in the panel."""
        return round(self.end * time_s / self.duration_s, 2)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Places and names of round times, at most nine."""
        steps = (0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
        step = next((s for s in steps if self.duration_s / s <= 8), self.duration_s)
        times = np.arange(0.0, self.duration_s, step)
        return [(self.at(time), f"{time:.4g} s") for time in times]


@dataclass(frozen=True)
class Box:
    """A coloured piece of a panel: a frame or a word.

    Args:
        left: Where it begins in the panel.
        width: Of the piece.
        value: Normalised, between -1 and 1.
        colour: Of the scale.
    """

    left: float
    width: float
    value: float
    colour: str


@dataclass(frozen=True)
class Panel:
    """An attribution over time.

    Args:
        name: "integrated_gradients", "occlusion" or "difference".
        title: In words.
        frames: A box for each.
        largest: What 1 stands for, in units of F; None for the difference.
    """

    name: str
    title: str
    frames: list[Box]
    largest: float | None


@dataclass(frozen=True)
class ShownWord:
    """A word with its colour, and where in the sound it is likely to stand.

    Args:
        text: As written.
        start_s: Estimated; None without sound.
        stop_s: The same.
        left: Where it begins in a panel.
        width: In a panel.
        attribution: Of F; None where the method has none.
        value: The same, normalised.
        colour: Of the scale.
        text_colour: That can be read on it.
        is_read: False where the model did not read it.
    """

    text: str
    start_s: float | None
    stop_s: float | None
    left: float
    width: float
    attribution: float | None
    value: float
    colour: str
    text_colour: str
    is_read: bool


def methods_of(explanation: Explanation) -> dict[str, Attribution]:
    """The methods that an explanation has, by name."""
    found = {name: getattr(explanation, name) for name in METHODS}
    return {name: attribution for name, attribution in found.items() if attribution is not None}


def frame_values(explanation: Explanation) -> dict[str, Floats]:
    """Normalised attributions (F,) of the sound by method, and their difference if both are."""
    found = {n: a.frames for n, a in methods_of(explanation).items() if a.frames is not None}
    values = {name: normalised(frames) for name, frames in found.items()}
    if len(found) == len(METHODS):
        values[DIFFERENCE] = difference(*(found[name] for name in METHODS))
    return values


def panel_title(name: str) -> str:
    """Name of a panel in words."""
    return METHODS.get(name, DIFFERENCE_TITLE)


def frame_panels(explanation: Explanation, axis: TimeAxis) -> list[Panel]:
    """Attributions of the sound by method, then their difference."""
    panels = []
    starts_s = np.arange(10**6) * explanation.frame_samples / explanation.sample_rate
    for name, values in frame_values(explanation).items():
        edges = [axis.at(time) for time in np.append(starts_s[: len(values)], axis.duration_s)]
        boxes = [
            Box(left, round(right - left, 2), round(float(value), 3), colour)
            for left, right, value, colour in zip(
                edges[:-1], edges[1:], values, colours(values), strict=True
            )
        ]
        attribution = methods_of(explanation).get(name)
        frames = attribution.frames if attribution is not None else None
        largest = None if frames is None else float(np.abs(frames).max(initial=0.0))
        panels.append(Panel(name, panel_title(name), boxes, largest))
    return panels


def waveform_outline(explanation: Explanation, axis: TimeAxis, height: float) -> str:
    """Points of a polygon around the waveform, its peak at nine tenths of the height."""
    sound = np.zeros(1) if explanation.sound is None else explanation.sound
    size = max(1, explanation.frame_samples // POINTS_PER_FRAME)
    starts = np.arange(0, len(sound), size)
    upper = np.maximum(np.maximum.reduceat(sound, starts), 0)
    lower = np.minimum(np.minimum.reduceat(sound, starts), 0)
    scale = 0.45 * height / max(1e-9, float(np.abs(sound).max()))
    left = [axis.at(float(start) / explanation.sample_rate) for start in starts]
    points = [(x, height / 2 - scale * y) for x, y in zip(left, upper, strict=True)]
    points += [(x, height / 2 - scale * y) for x, y in zip(left[::-1], lower[::-1], strict=True)]
    return " ".join(f"{x:g},{y:.1f}" for x, y in points)


def steps(boxes: list[Box], height: float) -> str:
    """Points of a line that steps through values, 1 at the top and -1 at the bottom."""
    points = []
    for box in boxes:
        y = round(height / 2 * (1 - 0.92 * box.value), 1)
        points += [(box.left, y), (round(box.left + box.width, 2), y)]
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def shown_words(explanation: Explanation, method: str, axis: TimeAxis | None) -> list[ShownWord]:
    """The words in the colours of a method, or of the difference of both."""
    raw, values = _word_values(explanation, method)
    times: list[tuple[float, float]] | list[tuple[None, None]] = [(None, None)] * len(values)
    if axis is not None and explanation.sound is not None:
        times = estimated_word_times(explanation.words, explanation.sound, explanation.sample_rate)
    return [
        ShownWord(
            text=word.text,
            start_s=start,
            stop_s=stop,
            left=0.0 if axis is None or start is None else axis.at(start),
            width=0.0
            if axis is None or start is None or stop is None
            else round(axis.at(stop) - axis.at(start), 2),
            attribution=None if raw is None else float(raw[index]),
            value=float(values[index]),
            colour=colour,
            text_colour=text_colour,
            is_read=word.is_read,
        )
        for index, (word, (start, stop), colour, text_colour) in enumerate(
            zip(explanation.words, times, colours(values), text_colours(values), strict=True)
        )
    ]


def _word_values(explanation: Explanation, method: str) -> tuple[Floats | None, Floats]:
    """Attributions as computed (None for the difference) and normalised."""
    found = {n: a.words for n, a in methods_of(explanation).items() if a.words is not None}
    if method == DIFFERENCE:
        return None, difference(*(found[name] for name in METHODS))
    return found[method], normalised(found[method])


def word_methods(explanation: Explanation) -> list[str]:
    """Methods that have an attribution of words, and the difference if both have."""
    found = [n for n, a in methods_of(explanation).items() if a.words is not None]
    return [*found, DIFFERENCE] if len(found) == len(METHODS) else found


def spectrogram_image(explanation: Explanation) -> str:
    """The mel spectrogram as the source of an image, low bands at the bottom, louder darker."""
    if explanation.sound is None:
        raise ValueError(f"{explanation.key}: expected an explanation with sound, got none")
    decibels = mel_spectrogram_db(explanation.sound, explanation.sample_rate)
    file = io.BytesIO()
    imsave(file, decibels[::-1], cmap=mpl.colormaps["Greys"], format="png")
    return png_data_uri(file.getvalue())
