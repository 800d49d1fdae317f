"""Figures of explanations for a paper, as PNG and PDF."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mmemo.explanation.attribution_scale import SCALE, colours, normalised
from mmemo.explanation.explained_set import METHODS
from mmemo.explanation.explanation import Explanation
from mmemo.explanation.mel_spectrogram import HOP_MS, mel_position, mel_spectrogram_db
from mmemo.explanation.panels import frame_values, methods_of, panel_title
from mmemo.explanation.voicing import estimated_word_times
from mmemo.reporting.figures import save_figure

Floats = NDArray[np.float64]

METHODS_FIGURE, JOINT_FIGURE = "methods", "joint"
FORMATS = (".png", ".pdf")
WAVEFORM_COLOUR = "#1c1c1c"
FREQUENCY_TICKS_HZ = (250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)
MAX_TITLE_LENGTH = 90


def write_explanation_figures(explanation: Explanation, folder: Path) -> None:
    """Write ``methods`` (the paper's Fig. 8) and ``joint`` (Fig. 7), each as PNG and PDF.

    An explanation without sound has only its words in ``joint``; one with neither has no figure.
    """
    if frame_values(explanation):
        save_in_formats(methods_figure(explanation), folder / METHODS_FIGURE)
    if any(a.frames is not None or a.words is not None for a in methods_of(explanation).values()):
        save_in_formats(joint_figure(explanation), folder / JOINT_FIGURE)


def save_in_formats(figure: Figure, stem: Path) -> None:
    """Write a figure in every format beside each other; the same figure gives the same bytes."""
    save_figure(figure, *(stem.with_name(stem.name + suffix) for suffix in FORMATS))


def methods_figure(explanation: Explanation) -> Figure:
    """Waveform in the colours of each method and of their difference, over the mel spectrogram."""
    values = frame_values(explanation)
    figure = Figure(figsize=(8, 1.4 * (len(values) + 1) + 0.8), layout="constrained")
    all_axes = figure.subplots(len(values) + 1, 1, sharex=True)
    for axes, (name, frames) in zip(all_axes[:-1], values.items(), strict=True):
        draw_waveform(axes, explanation, frames)
        axes.set_title(panel_title(name), fontsize="small", loc="left")
    _draw_spectrogram(all_axes[-1], explanation)
    all_axes[-1].set_xlabel("time in s; behind the line there is no sound")
    figure.suptitle(_title(explanation), fontsize="medium", parse_math=False)
    _draw_scale(figure, list(all_axes[:-1]), f"for ‘{explanation.target}’ (normalised)")
    return figure


def joint_figure(explanation: Explanation) -> Figure:
    """Attribution of the sound over time, and of the words in steps, by each method."""
    methods = methods_of(explanation)
    has_sound = explanation.sound is not None and any(
        a.frames is not None for a in methods.values()
    )
    has_words = any(a.words is not None and len(a.words) for a in methods.values())
    rows = [name for name, is_there in (("sound", has_sound), ("words", has_words)) if is_there]
    figure = Figure(figsize=(4.5 * len(methods) + 0.5, 2.2 * len(rows) + 0.6), layout="constrained")
    grid = figure.subplots(len(rows), len(methods), squeeze=False, sharex="col", sharey="row")
    for column, (name, attribution) in zip(grid.T, methods.items(), strict=True):
        by_row = dict(zip(rows, column, strict=True))
        if "sound" in by_row and attribution.frames is not None:
            _draw_line(by_row["sound"], explanation, normalised(attribution.frames))
        if "words" in by_row and attribution.words is not None:
            _draw_words(by_row["words"], explanation, normalised(attribution.words))
        column[0].set_title(METHODS[name], fontsize="small")
        column[-1].set_xlabel("time in s; words at estimated times" if has_sound else "word")
    for row, axes in zip(rows, grid[:, 0], strict=True):
        axes.set_ylabel(f"{row}\nfor ‘{explanation.target}’ (normalised)", fontsize="small")
    figure.suptitle(_title(explanation), fontsize="medium", parse_math=False)
    return figure


def class_grid_figure(explanations: Sequence[Explanation], method: str) -> Figure:
    """Waveforms in the colours of one method, one below the other (the paper's Figs. 5 and 6).

    All share one axis of time, so that short clips look short.

    Args:
        explanations: Of one utterance for each class, with sound and this method.
        method: One of ``METHODS``.
    """
    figure = Figure(figsize=(8, 1.35 * len(explanations) + 0.9), layout="constrained")
    all_axes = figure.subplots(len(explanations), 1, sharex=True, squeeze=False)[:, 0]
    for axes, explanation in zip(all_axes, explanations, strict=True):
        draw_waveform(axes, explanation, frame_values(explanation)[method])
        axes.set_title(_title(explanation), fontsize="small", loc="left", parse_math=False)
    longest_s = max(explanation.duration_s for explanation in explanations)
    all_axes[-1].set(xlim=(0, longest_s * 1.04), xlabel="time in s; behind the line is no sound")
    figure.suptitle(METHODS[method], fontsize="medium")
    _draw_scale(figure, list(all_axes), "for the explained class (normalised)")
    return figure


def has_frames(explanation: Explanation, method: str) -> bool:
    """Whether a method has attributed the sound."""
    return explanation.sound is not None and method in frame_values(explanation)


def draw_waveform(axes: Axes, explanation: Explanation, values: Floats) -> None:
    """Draw a waveform on its frames' colours, and where it ends."""
    if explanation.sound is None:
        raise ValueError(f"{explanation.key}: expected an explanation with sound, got none")
    edges = _edges_s(explanation, len(values))
    peak = 1.4 * max(1e-9, float(np.abs(explanation.sound).max()))
    axes.pcolormesh(edges, [-peak, peak], values[None, :], cmap=SCALE, vmin=-1, vmax=1)
    times = np.arange(len(explanation.sound)) / explanation.sample_rate
    axes.plot(times, explanation.sound, color=WAVEFORM_COLOUR, linewidth=0.4, rasterized=True)
    _mark_end(axes, explanation)
    axes.set(yticks=[], ylim=(-peak, peak), xlim=(0, explanation.duration_s * 1.04))


def _draw_spectrogram(axes: Axes, explanation: Explanation) -> None:
    if explanation.sound is None:
        raise ValueError(f"{explanation.key}: expected an explanation with sound, got none")
    decibels = mel_spectrogram_db(explanation.sound, explanation.sample_rate)
    extent = (0.0, decibels.shape[1] * HOP_MS / 1000, 0.0, float(len(decibels)))
    axes.imshow(decibels, cmap=mpl.colormaps["Greys"], origin="lower", aspect="auto", extent=extent)
    _mark_end(axes, explanation)
    axes.set_title("mel spectrogram, 70 dB", fontsize="small", loc="left")
    highest_hz = explanation.sample_rate / 2
    shown_hz = np.array([hz for hz in FREQUENCY_TICKS_HZ if hz < highest_hz])
    places = mel_position(shown_hz, highest_hz)
    axes.set_yticks(places, [f"{hz / 1000:g}" for hz in shown_hz], fontsize="x-small")
    axes.set_ylabel("kHz")
    axes.set_xlim(0, explanation.duration_s * 1.04)


def _draw_line(axes: Axes, explanation: Explanation, values: Floats) -> None:
    edges = _edges_s(explanation, len(values))
    axes.axhline(0, color="0.6", linewidth=0.8)
    axes.stairs(values, edges, color=WAVEFORM_COLOUR, linewidth=0.9)
    _mark_end(axes, explanation)
    axes.set(xlim=(0, explanation.duration_s * 1.04), ylim=(-1.08, 1.08))


def _draw_words(axes: Axes, explanation: Explanation, values: Floats) -> None:
    words = explanation.words
    if explanation.sound is None:
        spans = [(index - 0.5, index + 0.5) for index in range(len(words))]
    else:
        spans = estimated_word_times(words, explanation.sound, explanation.sample_rate)
    axes.axhline(0, color="0.6", linewidth=0.8)
    for word, (start, stop), value, colour in zip(
        words, spans, values, colours(values), strict=True
    ):
        width = stop - start
        axes.bar(start, value, width, align="edge", color=colour, edgecolor="0.4", linewidth=0.6)
        axes.annotate(
            word.text,
            ((start + stop) / 2, value),
            xytext=(0, 2 if value >= 0 else -2),
            textcoords="offset points",
            ha="center",
            va="bottom" if value >= 0 else "top",
            fontsize=7,
            rotation=90,
            parse_math=False,
        )
    axes.set_ylim(-1.75, 1.75)
    if explanation.sound is not None:
        _mark_end(axes, explanation)
        axes.set_xlim(0, explanation.duration_s * 1.04)


def _edges_s(explanation: Explanation, num_frames: int) -> Floats:
    edges = np.arange(num_frames + 1) * explanation.frame_samples / explanation.sample_rate
    edges[-1] = explanation.duration_s
    return edges


def _mark_end(axes: Axes, explanation: Explanation) -> None:
    axes.axvline(explanation.duration_s, color=WAVEFORM_COLOUR, linewidth=1.5)


def _draw_scale(figure: Figure, all_axes: list[Axes], label: str) -> None:
    scale = ScalarMappable(Normalize(-1, 1), SCALE)
    figure.colorbar(scale, ax=all_axes, label=label, shrink=0.8, aspect=40, pad=0.02)


def _title(explanation: Explanation) -> str:
    title = f"{explanation.target}: {explanation.key}"
    if explanation.predicted != explanation.true:
        title += f" (predicted {explanation.predicted}, annotated {explanation.true})"
    # A key may be as long as a file's name: an image would end within it.
    return textwrap.fill(title, MAX_TITLE_LENGTH)
