"""Answers along a long recording: a figure, and a page on which it plays."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from matplotlib.figure import Figure

from mmemo.audio.media import decode, resample
from mmemo.audio.media_error import MediaError
from mmemo.audio.reading import DEFAULT_READING, Reading
from mmemo.audio.recordings import SPEECH_RATE
from mmemo.explanation.figures import TimeFigure
from mmemo.folders import writable_folder, write_whole
from mmemo.prediction.answers import Prediction, answers_table
from mmemo.reporting.figures import inline_svg, save_figure, style
from mmemo.reporting.self_contained import render_page, sound_data_uri

EMBEDDED_S = 600.0
"""Sound up to this length stands in the page; a page plays longer ones from their own file."""

WIDTH_IN = 9.0


def write_timelines(
    answers: Sequence[Prediction],
    folder: Path,
    colours: Mapping[str, str],
    title: str,
    reading: Reading = DEFAULT_READING,
) -> list[Path]:
    """Write ``NAME.png`` and ``NAME.html`` of each recording that was answered.

    Args:
        answers: On stretches, those of a recording one after the other.
        folder: Where to.
        colours: Of classes, by name.
        title: Whose answers they are.
        reading: How the recordings were read.

    Returns:
        The pages.

    Raises:
        InputError: If the folder cannot be written to.
    """
    folder = writable_folder(folder, "timeline")
    pages: list[Path] = []
    for name, group in groupby(answers, key=lambda answer: answer.name):
        answered = [a for a in group if a.probabilities is not None and a.start_s is not None]
        if not answered:
            continue
        stem = _free_stem(name, {page.stem for page in pages})
        save_figure(timeline_figure(answered, colours), folder / f"{stem}.png")
        page = folder / f"{stem}.html"
        write_whole(page, render_timeline(answered, colours, title, reading))
        pages.append(page)
    return pages


def _free_stem(name: str, taken: set[str]) -> str:
    stem = re.sub(r"[^\w.-]+", "_", Path(name).stem) or "recording"
    free = stem
    number = 1
    while free in taken:
        number += 1
        free = f"{stem}-{number}"
    return free


@style()
def timeline_figure(answers: Sequence[Prediction], colours: Mapping[str, str]) -> Figure:
    """Probability of each class over time: a line through the middles of the stretches.

    A band around it is a standard deviation over the models, where there are several. Below
    stands the most probable class of each stretch; what two of them share is halved.
    """
    figure = Figure(figsize=(WIDTH_IN, 3.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[6, 1])
    middles = [((a.start_s or 0.0) + (a.end_s or 0.0)) / 2 for a in answers]
    for index, name in enumerate(answers[0].classes):
        values = [
            0.0 if a.probabilities is None else float(a.probabilities[index]) for a in answers
        ]
        colour = colours.get(name)
        (line,) = above.plot(middles, values, color=colour, label=name, marker="o", markersize=3)
        spreads = [0.0 if a.spread is None else float(a.spread[index]) for a in answers]
        if any(spreads):
            low = [value - spread for value, spread in zip(values, spreads, strict=True)]
            high = [value + spread for value, spread in zip(values, spreads, strict=True)]
            above.fill_between(middles, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    above.set_ylim(0, 1)
    above.set_ylabel("probability")
    above.grid(axis="y")
    above.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    for answer, (begin, end) in zip(answers, _own_parts(answers), strict=True):
        below.barh(0, end - begin, left=begin, height=0.8, color=colours.get(answer.label or ""))
    below.set_yticks([])
    below.set_xlim(0, _duration_s(answers))
    below.set_xlabel("time in s; below, the most probable class of each stretch")
    return figure


def _own_parts(answers: Sequence[Prediction]) -> list[tuple[float, float]]:
    """From when to when each stretch is drawn, in s: what two of them share is halved."""
    parts = [(answer.start_s or 0.0, answer.end_s or 0.0) for answer in answers]
    for place in range(1, len(parts)):
        (begin, end), (next_begin, next_end) = parts[place - 1 : place + 1]
        if next_begin < end:
            middle = (next_begin + end) / 2
            parts[place - 1 : place + 1] = [(begin, middle), (middle, next_end)]
    return parts


def render_timeline(
    answers: Sequence[Prediction],
    colours: Mapping[str, str],
    title: str,
    reading: Reading = DEFAULT_READING,
) -> str:
    """The page of one recording as text.

    Args:
        answers: On its stretches.
        colours: Of classes, by name.
        title: Whose answers they are.
        reading: How the recording was read.
    """
    figure = timeline_figure(answers, colours)
    svg = inline_svg(figure, "timeline", "Probabilities over time")
    axes = figure.axes[0]
    to_figure = axes.transData + figure.transFigure.inverted()
    duration_s = _duration_s(answers)
    start, end = to_figure.transform([(0, 0), (duration_s, 0)])[:, 0]
    return render_page(
        "timeline.html.j2",
        name=Path(answers[0].name).name or answers[0].name,
        title=title,
        answers=answers,
        colours=colours,
        duration_s=duration_s,
        sound=_playable(Path(answers[0].name), duration_s, reading),
        figure=TimeFigure(svg, float(start), float(end)),
        table=answers_table(answers, "", "", with_file=False),
    )


def _duration_s(answers: Sequence[Prediction]) -> float:
    return answers[0].duration_s or max(answer.end_s or 0.0 for answer in answers)


def _playable(path: Path, duration_s: float, reading: Reading) -> str:
    """What the player plays; nothing where the file cannot be read any more."""
    if duration_s > EMBEDDED_S:
        return path.absolute().as_uri()
    try:
        sound = decode(path, reading=reading)
    except MediaError:
        return ""
    return sound_data_uri(resample(sound.waveform, sound.sample_rate, SPEECH_RATE), SPEECH_RATE)
