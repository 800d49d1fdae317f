"""Figures of one explanation: over the time of its sound, and over its words."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from mmemo.explanation.explanation import METHODS, OF_NO_CLASS, OWN_UNITS, Attribution, Explanation
from mmemo.explanation.scale import (
    DIFFERENCE,
    SCALE,
    TITLES,
    colours,
    frame_values,
    normalised,
    word_spans_s,
)
from mmemo.reporting.figures import INK, MUTED, inline_svg, save_figure, style

Floats = NDArray[np.float64]

METHODS_FIGURE, JOINT_FIGURE = "methods", "joint"
PAGE_TITLES = {
    METHODS_FIGURE: "Waveform in the colours of each method, and mel spectrogram",
    "spectrograms": "Mel spectrogram with each method over it",
    **{
        f"joint-{name.replace('_', '-')}": f"{words} of the sound over time and of the words"
        for name, words in METHODS.items()
    },
}
FORMATS = (".png", ".pdf")
WIDTH_IN = 9.4
BEHIND_END = 1.04
"""How far the axis of time reaches: the rest shows that nothing is explained there."""

WAVEFORM_COLOUR = "#1c1c1c"
"""On the scale's own colours, which are the same on a dark page."""

POINTS_PER_FRAME = 4
FREQUENCY_TICKS_HZ = (500.0, 1000.0, 2000.0, 4000.0, 8000.0)
MAX_TITLE_LENGTH = 90
MEL_WINDOW_MS, MEL_HOP_MS = 25.0, 10.0
NUM_MEL_BANDS = 64
DYNAMIC_RANGE_DB = 70.0
OVERLAY_OPACITY = 0.75


@dataclass(frozen=True)
class TimeFigure:
    """A figure in a page whose panels share one axis of time.

    Args:
        svg: The figure.
        start: Where the sound begins, as a share of the figure's width.
        end: Where it ends.
    """

    svg: Markup
    start: float
    end: float


def explanation_figures(explanation: Explanation) -> dict[str, Figure]:
    """All figures of an explanation, by name; those that there is nothing for are left out.

    ``methods`` (the paper's Fig. 8) and ``joint`` (Fig. 7) are for a paper, the first also for a
    page; ``spectrograms``, and ``joint-METHOD`` of each method, are for a page alone.
    """
    found = {}
    values = frame_values(explanation)
    if values and explanation.duration_s > 0:
        found[METHODS_FIGURE] = methods_figure(explanation)
        found["spectrograms"] = spectrograms_figure(explanation)
        for name in (name for name in values if name != DIFFERENCE):
            found[f"joint-{name.replace('_', '-')}"] = joint_figure(explanation, [name])
    if _shown_rows(explanation, explanation.attributions):
        found[JOINT_FIGURE] = joint_figure(explanation, METHODS)
    return found


def save_explanation_figures(figures: Mapping[str, Figure], folder: Path) -> None:
    """Write those of an explanation's figures that are for a paper, each as PNG and PDF."""
    for name in (name for name in (METHODS_FIGURE, JOINT_FIGURE) if name in figures):
        save_in_formats(figures[name], folder / name)


def save_in_formats(figure: Figure, stem: Path) -> None:
    """Write a figure in every format beside each other; the same figure gives the same bytes."""
    save_figure(figure, *(stem.with_name(stem.name + suffix) for suffix in FORMATS))


def page_figures(figures: Mapping[str, Figure], explanation: Explanation) -> dict[str, TimeFigure]:
    """Those of an explanation's figures that are for its page, by name, with their places in time.

    In the ids of ``joint-METHOD``, ``word-3`` names the bar of the fourth word.
    """
    return {
        name: _in_page(figure, name, PAGE_TITLES[name], explanation)
        for name, figure in figures.items()
        if name in PAGE_TITLES
    }


def _in_page(figure: Figure, name: str, title: str, explanation: Explanation) -> TimeFigure:
    svg = inline_svg(figure, name, title)
    axes = figure.axes[0]
    to_figure = axes.transData + figure.transFigure.inverted()
    start, end = to_figure.transform([(0, 0), (explanation.duration_s, 0)])[:, 0]
    return TimeFigure(svg, float(start), float(end))


@style()
def methods_figure(explanation: Explanation) -> Figure:
    """Waveform in the colours of each method and of their difference, over the mel spectrogram."""
    values = frame_values(explanation)
    figure = Figure(figsize=(WIDTH_IN, 1.4 * (len(values) + 1) + 0.8), layout="constrained")
    all_axes = figure.subplots(len(values) + 1, 1, sharex=True)
    for axes, (name, frames) in zip(all_axes[:-1], values.items(), strict=True):
        draw_waveform(axes, explanation, frames)
        axes.set_title(_with_unit(explanation, name), fontsize="small", loc="left")
    draw_spectrogram(all_axes[-1], explanation, np.zeros(1))
    all_axes[-1].set_title("mel spectrogram, 70 dB", fontsize="small", loc="left")
    all_axes[-1].set_xlabel("time in s; behind the line there is no sound")
    figure.suptitle(_title(explanation))
    _draw_scale(figure, list(all_axes[:-1]), f"for ‘{explanation.target}’ (normalised)")
    return figure


@style()
def spectrograms_figure(explanation: Explanation) -> Figure:
    """Mel spectrogram with each method over it, the stronger, the larger the attribution."""
    values = frame_values(explanation)
    values.pop(DIFFERENCE, None)
    figure = Figure(figsize=(WIDTH_IN, 1.7 * len(values) + 0.4), layout="constrained")
    all_axes = figure.subplots(len(values), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, frames) in zip(all_axes, values.items(), strict=True):
        draw_spectrogram(axes, explanation, frames)
        axes.set_title(METHODS[name], fontsize="small", loc="left")
    all_axes[-1].set_xlabel("time in s")
    _draw_scale(figure, list(all_axes), f"for ‘{explanation.target}’ (normalised)")
    return figure


@style()
def joint_figure(explanation: Explanation, methods: Sequence[str] | Mapping[str, str]) -> Figure:
    """Attribution of the sound over time, and of the words in steps, by each method.

    Args:
        explanation: With an attribution of one of them.
        methods: A column for each of these that it has.
    """
    found = {n: a for n, a in explanation.attributions.items() if n in methods}
    rows = _shown_rows(explanation, found)
    has_sound = "sound" in rows
    column_in = 4.5 if len(found) < 3 else 3.4
    width = WIDTH_IN if len(found) == 1 else column_in * len(found) + 0.5
    figure = Figure(figsize=(width, 2.2 * len(rows) + 0.6), layout="constrained")
    grid = figure.subplots(len(rows), len(found), squeeze=False, sharex="col", sharey="row")
    for column, (name, attribution) in zip(grid.T, found.items(), strict=True):
        by_row = dict(zip(rows, column, strict=True))
        if "sound" in by_row and attribution.frames is not None:
            _draw_line(by_row["sound"], explanation, normalised(attribution.frames))
        if "words" in by_row and attribution.words is not None:
            _draw_words(by_row["words"], explanation, normalised(attribution.words))
        column[0].set_title(METHODS[name], fontsize="small")
        kind = "told" if explanation.has_word_times else "estimated"
        column[-1].set_xlabel(f"time in s; words at {kind} times" if has_sound else "word")
    for row, axes in zip(rows, grid[:, 0], strict=True):
        axes.set_ylabel(f"{row}\nfor ‘{explanation.target}’ (normalised)", fontsize="small")
    if len(methods) > 1:
        figure.suptitle(_title(explanation))
    return figure


@style()
def class_grid_figure(explanations: Sequence[Explanation], method: str) -> Figure:
    """Waveforms in the colours of one method, one below the other (the paper's Figs. 5 and 6).

    All share one axis of time, so that short clips look short.

    Args:
        explanations: Of one utterance for each class, with sound and this method.
        method: One of ``METHODS``.
    """
    figure = Figure(figsize=(WIDTH_IN, 1.35 * len(explanations) + 0.9), layout="constrained")
    all_axes = figure.subplots(len(explanations), 1, sharex=True, squeeze=False)[:, 0]
    for axes, explanation in zip(all_axes, explanations, strict=True):
        draw_waveform(axes, explanation, frame_values(explanation)[method])
        axes.set_title(_title(explanation), fontsize="small", loc="left")
    longest_s = max(explanation.duration_s for explanation in explanations)
    all_axes[-1].set_xlim(0, longest_s * BEHIND_END)
    all_axes[-1].set_xlabel("time in s; behind the line is no sound")
    figure.suptitle(METHODS[method])
    label = OWN_UNITS[method] if method in OF_NO_CLASS else "for the explained class"
    _draw_scale(figure, list(all_axes), f"{label} (normalised)")
    return figure


def has_frames(explanation: Explanation, method: str) -> bool:
    """Whether a method has attributed the sound."""
    return explanation.sound is not None and method in frame_values(explanation)


def draw_waveform(axes: Axes, explanation: Explanation, values: Floats) -> None:
    """Draw a waveform on its frames' colours (F,), and where it ends."""
    sound = _sound(explanation)
    peak = 1.4 * max(1e-9, float(np.abs(sound).max()))
    size, rate = explanation.frame_samples, explanation.sample_rate
    extent = (0.0, len(values) * size / rate, -peak, peak)
    frames = axes.imshow(
        *(values[None], SCALE), extent=extent, aspect="auto", interpolation="none", vmin=-1, vmax=1
    )
    # The last frame is shorter.
    end = Rectangle((0, -peak), explanation.duration_s, 2 * peak, transform=axes.transData)
    frames.set_clip_path(end)
    starts = np.arange(0, len(sound), max(1, size // POINTS_PER_FRAME))
    low, high = np.minimum.reduceat(sound, starts), np.maximum.reduceat(sound, starts)
    axes.fill_between(starts / rate, low, high, color=WAVEFORM_COLOUR, alpha=0.8, linewidth=0.4)
    axes.set(yticks=[], ylim=(-peak, peak))
    _draw_end(axes, explanation)


def draw_spectrogram(axes: Axes, explanation: Explanation, values: Floats) -> None:
    """Draw the mel spectrogram, louder darker, under its frames' colours (F,)."""
    decibels = mel_spectrogram_db(_sound(explanation), explanation.sample_rate)
    times_s = np.arange(decibels.shape[1]) * MEL_HOP_MS / 1000
    places = (times_s * explanation.sample_rate / explanation.frame_samples).astype(int)
    over = values[np.minimum(places, len(values) - 1)]
    opacity = OVERLAY_OPACITY * np.abs(over)[None, :, None]
    grey = mpl.colormaps["Greys"](1 + decibels / DYNAMIC_RANGE_DB)[..., :3]
    image = (1 - opacity) * grey + opacity * SCALE((over + 1) / 2)[None, :, :3]
    end = len(times_s) * MEL_HOP_MS / 1000
    extent = (0.0, end, 0.0, float(NUM_MEL_BANDS))
    axes.imshow(image, origin="lower", aspect="auto", extent=extent, interpolation="none")
    highest_hz = explanation.sample_rate / 2
    shown_hz = np.array([hz for hz in FREQUENCY_TICKS_HZ if hz < highest_hz])
    axes.set_yticks(
        mel_position(shown_hz, highest_hz), [f"{hz / 1000:g}" for hz in shown_hz], fontsize="small"
    )
    axes.set_ylabel("kHz", fontsize="small")
    axes.set_ylim(0, NUM_MEL_BANDS)
    _draw_end(axes, explanation)


def mel_spectrogram_db(sound: NDArray[np.float32], sample_rate: int) -> Floats:
    """Power (64, N) by mel band and 10 ms step in dB below the loudest, at most 70 dB down.

    Args:
        sound: (T,), at least one sample.
        sample_rate: Of the sound, in Hz.
    """
    import torch

    from mmemo.audio.torchaudio_check import load_torchaudio

    window, hop = (round(ms * sample_rate / 1000) for ms in (MEL_WINDOW_MS, MEL_HOP_MS))
    transform = load_torchaudio().transforms.MelSpectrogram(
        sample_rate,
        n_fft=4 * window,
        win_length=window,
        hop_length=hop,
        n_mels=NUM_MEL_BANDS,
        pad_mode="constant",
    )
    steps = max(1, -(-len(sound) // hop))
    power = transform(torch.from_numpy(sound.astype(np.float32)))[:, :steps].double().numpy()
    floor = power.max() * 10 ** (-DYNAMIC_RANGE_DB / 10)
    if floor <= 0:
        return np.full(power.shape, -DYNAMIC_RANGE_DB)
    decibels: Floats = 10 * np.log10(np.maximum(power, floor) / power.max())
    return decibels


def mel_position(frequency_hz: Floats, highest_hz: float) -> Floats:
    """Where frequencies stand on the axis of the 64 bands, from the first one's lower edge.

    Bands are triangles at equal distances in mel (O'Shaughnessy's formula, as in HTK).

    Args:
        frequency_hz: Any number of them.
        highest_hz: The upper edge of the last band: half the sample rate.
    """
    mels = [np.log10(1.0 + np.asarray(hz) / 700.0) for hz in (frequency_hz, highest_hz)]
    # The middle of the first triangle stands at half a band.
    position: Floats = mels[0] / mels[1] * (NUM_MEL_BANDS + 1) - 0.5
    return position


def _draw_line(axes: Axes, explanation: Explanation, values: Floats) -> None:
    edges = np.arange(len(values) + 1) * explanation.frame_samples / explanation.sample_rate
    edges[-1] = explanation.duration_s
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.stairs(values, edges, color=INK, linewidth=0.9)
    axes.set_ylim(-1.08, 1.08)
    _draw_end(axes, explanation)


def _draw_words(axes: Axes, explanation: Explanation, values: Floats) -> None:
    words = explanation.words
    spans = word_spans_s(explanation) or [(i - 0.5, i + 0.5) for i in range(len(words))]
    axes.axhline(0, color=MUTED, linewidth=0.8)
    for place, (word, (start, stop), value, colour) in enumerate(
        zip(words, spans, values, colours(values), strict=True)
    ):
        bar = Rectangle((start, 0), stop - start, value, fc=colour, ec=MUTED, lw=0.6)
        bar.set_gid(f"word-{place}")
        axes.add_patch(bar)
        axes.annotate(
            word.text,
            ((start + stop) / 2, value),
            xytext=(0, 2 if value >= 0 else -2),
            textcoords="offset points",
            ha="center",
            va="bottom" if value >= 0 else "top",
            fontsize=8,
            rotation=90,
        )
    axes.set(ylim=(-1.75, 1.75), xlim=(-0.5, len(words) - 0.5))
    if explanation.sound is not None:
        _draw_end(axes, explanation)


def _draw_end(axes: Axes, explanation: Explanation) -> None:
    axes.axvline(explanation.duration_s, color=INK, linewidth=1.5)
    axes.set_xlim(0, explanation.duration_s * BEHIND_END)


def _draw_scale(figure: Figure, all_axes: list[Axes], label: str) -> None:
    scale = ScalarMappable(Normalize(-1, 1), SCALE)
    figure.colorbar(scale, ax=all_axes, label=label, shrink=0.8, aspect=40, pad=0.02)


def _shown_rows(explanation: Explanation, found: Mapping[str, Attribution]) -> list[str]:
    """What there is to draw of some attributions: "sound", "words"."""
    has_sound = explanation.sound is not None and any(a.frames is not None for a in found.values())
    has_words = any(a.words is not None and len(a.words) for a in found.values())
    return [name for name, is_there in (("sound", has_sound), ("words", has_words)) if is_there]


def _sound(explanation: Explanation) -> NDArray[np.float32]:
    if explanation.sound is None:
        raise ValueError(f"{explanation.key}: expected an explanation with sound, got none")
    return explanation.sound


def _with_unit(explanation: Explanation, name: str) -> str:
    """Title of a method, and what 1 stands for in it."""
    attribution = explanation.attributions.get(name)
    if attribution is None or attribution.frames is None:
        return TITLES[name]
    largest = float(np.abs(attribution.frames).max(initial=0.0))
    unit = OWN_UNITS.get(name, "of F")
    return f"{TITLES[name]} (1 stands for {largest:.3g} {unit} in a frame)"


def _title(explanation: Explanation) -> str:
    title = f"{explanation.target}: {explanation.key}"
    if explanation.true is not None and explanation.predicted != explanation.true:
        title += f" (predicted {explanation.predicted}, annotated {explanation.true})"
    # A key may be as long as a file's name: an image would end within it.
    return textwrap.fill(title, MAX_TITLE_LENGTH)
