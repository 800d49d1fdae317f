"""Tables of a stress test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from mmemo.reporting import numbers
from mmemo.reporting.numbers import counted, interval, metric_name, percent, score, signed
from mmemo.reporting.tables import Cell, Table, named, score_cell, table_of
from mmemo.stress.document import (
    METRICS,
    ConditionResult,
    Conflict,
    ConflictCell,
    DenoisingGain,
    StressDocument,
    StressScore,
    WinningShare,
)


def metric_title(metric: str) -> str:
    """What a metric is called; the expected calibration error is not in the table of metrics."""
    return "calibration error" if metric == "ece" else metric_name(metric)


def conditions_table(document: StressDocument) -> Table:
    """A row for each condition, with each metric and its difference to clean."""
    header = ["condition", "", "N"]
    header += [title for metric in METRICS for title in (metric_title(metric), "to clean")]
    align = "llr" + "rr" * len(METRICS)
    clean: list[Cell | str] = [named("clean"), "", str(document.num_utterances)]
    for metric in METRICS:
        clean += [score_cell(document.clean[metric]), Cell("")]
    rows: list[list[Cell | str]] = [clean]
    for one in document.conditions:
        row: list[Cell | str] = [*_names(one), str(one.num_utterances)]
        for metric in METRICS:
            row += [score_cell(one.scores[metric].value), _difference(one.scores[metric])]
        rows.append(row)
    kinds = ["main", *[""] * len(document.conditions)]
    return table_of("conditions", "All conditions", header, align, rows, _note(document), kinds)


def short_table(document: StressDocument, metric: str) -> Table:
    """A line for each condition: each metric, and one's difference to clean.

    Args:
        document: What was found.
        metric: Whose difference is told.
    """
    header = ["condition", "", *map(metric_title, METRICS), f"{metric_title(metric)} to clean"]
    rows: list[list[Cell | str]] = [
        ["clean", "", *(score(document.clean[name]) for name in METRICS), ""]
    ]
    for one in document.conditions:
        found = one.scores[metric]
        bounds = f" {interval(found.interval, with_sign=True)}" if found.interval else ""
        rows.append(
            [
                *_names(one),
                *(score(one.scores[name].value) for name in METRICS),
                f"{signed(found.difference)}{bounds}",
            ]
        )
    title = f"{document.run}, {document.num_utterances} test utterances"
    align = "ll" + "r" * (len(METRICS) + 1)
    return table_of("conditions", title, header, align, rows, _note(document))


def _names(one: ConditionResult) -> tuple[Cell, str]:
    name = f"{one.panel}: {one.line}" if one.line else one.panel
    level = level_of(one)
    if one.word_error_rate is not None and one.value is None:
        level += f" (WER {percent(round(one.word_error_rate, 3))})"
    return named(name), level


def level_of(one: ConditionResult | DenoisingGain) -> str:
    """``10 dB``; of a name the name."""
    return f"{one.level} {_unit(one.axis)}".strip() if one.value is not None else one.level


def _unit(axis: str) -> str:
    """``dB`` of ``SNR, dB``; nothing where the level says it itself."""
    unit = axis.rpartition(", ")[2] if ", " in axis else ""
    return "" if unit == "%" else unit


def _note(document: StressDocument) -> str:
    return (
        f"In brackets the {percent(document.confidence)} interval of the paired difference to "
        f"clean (units: {counted(document.num_units, document.unit)}; {document.interval_kind}), "
        "for each condition by itself: of many, one in twenty is off by chance. A calibration "
        "error is better the lower it is."
    )


def denoising_table(document: StressDocument) -> Table | None:
    """What denoising is worth at each level; None where it was not tried both ways."""
    if not document.denoising:
        return None
    header = ["noise", "level"]
    for metric in METRICS:
        header += [metric_title(metric), "more than\nof clean"]
    rows: list[list[Cell | str]] = [
        [
            named(f"{one.panel}: {one.curve}" if one.curve else one.panel),
            level_of(one),
            *(cell for metric in METRICS for cell in _gain_cells(one, metric)),
        ]
        for one in document.denoising
    ]
    denoiser = document.denoiser or document.other_denoiser
    note = (
        f"With {denoiser} less without it, with the {percent(document.confidence)} interval. The "
        f"model was trained {'with' if document.denoiser else 'without'} it, which is worth "
        "something of clean sound too: what is due to the noise is what it is more than that."
    )
    note = " ".join(filter(None, (note, gains_by_chance(document))))
    align = "ll" + "rr" * len(METRICS)
    return table_of("denoising", "What denoising is worth", header, align, rows, note)


def gains_by_chance(document: StressDocument) -> str:
    """How many levels seem to gain by chance, on one side of an interval; "" without intervals."""
    levels = [one for one in document.denoising if one.value is not None]
    num = sum(any(gain.interval for gain in one.gains.values()) for one in levels)
    if not num:
        return ""
    one_in = round(2 / (1 - document.confidence))
    return (
        f"Of {counted(num, 'level')}, each judged by itself, 1 in {one_in} seems to gain by chance."
    )


def _gain_cells(one: DenoisingGain, metric: str) -> list[Cell]:
    beyond = one.beyond_clean
    return [
        _difference(one.gains[metric]),
        Cell("") if beyond is None else _difference(beyond[metric]),
    ]


@dataclass(frozen=True)
class ConflictMark:
    """A cell of the matrix of sounds and words, as it is shown.

    Args:
        text: Per cent that are answered by the class of the sound, and by that of the words.
        title: The same in words, with the number of pairs.
        lean: From -100, where all are answered as the words, to 100, as the sound.
        is_one_class: Whether sound and words are of one class.
    """

    text: str
    title: str
    lean: float
    is_one_class: bool


def conflict_matrix(
    conflict: Conflict, classes: Sequence[str]
) -> list[tuple[str, list[ConflictMark]]]:
    """A row for each class of the sound, in it a cell for each class of the words."""
    by_pair = {(cell.sound, cell.words): cell for cell in conflict.cells}
    return [(sound, [_mark(by_pair[sound, w], classes) for w in classes]) for sound in classes]


def _mark(cell: ConflictCell, classes: Sequence[str]) -> ConflictMark:
    is_one = cell.sound == cell.words
    if not cell.num:
        return ConflictMark(numbers.UNDEFINED, "no such pair", 0.0, is_one)
    as_sound, as_words = (
        100 * cell.answers[classes.index(name)] / cell.num for name in (cell.sound, cell.words)
    )
    told = f"{counted(cell.num, 'pair')}: {as_sound:.0f} % answered {cell.sound}"
    if is_one:
        return ConflictMark(f"{as_sound:.0f} %", told, 0.0, True)
    told += f", {as_words:.0f} % {cell.words}"
    return ConflictMark(f"{as_sound:.0f} : {as_words:.0f}", told, as_sound - as_words, False)


def conflict_sentence(conflict: Conflict) -> str:
    """Which modality wins, over all pairs of different classes."""
    return (
        f"Of {conflict.num:,} pairs of a sound and words of different classes, "
        f"{_share(conflict.sound_wins)} are answered by the class of the sound, "
        f"{_share(conflict.words_win)} by that of the words, {_share(conflict.neither)} by "
        "neither."
    )


def _share(one: WinningShare) -> str:
    text = f"{100 * one.share:.1f} %"
    if one.interval is None:
        return text
    return f"{text} ({' to '.join(f'{100 * bound:.1f}' for bound in one.interval)})"


def frame(document: StressDocument) -> pd.DataFrame:
    """The conditions as numbers: one row for each, clean first."""
    rows: list[dict[str, object]] = [
        {"panel": "clean", "num_utterances": document.num_utterances, **document.clean}
    ]
    for one in document.conditions:
        row: dict[str, object] = {
            "panel": one.panel,
            "curve": one.curve,
            "level": one.level,
            "value": one.value,
            "axis": one.axis,
            "denoiser": one.denoiser,
            "num_utterances": one.num_utterances,
            "word_error_rate": one.word_error_rate,
        }
        for metric in METRICS:
            found = one.scores[metric]
            bounds = found.interval or (None, None)
            row[metric] = found.value
            row[f"{metric}_difference"] = found.difference
            row[f"{metric}_difference_low"], row[f"{metric}_difference_high"] = bounds
        rows.append(row)
    return pd.DataFrame(rows)


def _difference(one: StressScore) -> Cell:
    bounds = f"\n{interval(one.interval, with_sign=True)}" if one.interval else ""
    return Cell(f"{signed(one.difference)}{bounds}", one.difference)


@dataclass(frozen=True)
class Helps:
    """Where denoising helps a curve beyond chance.

    Args:
        curve: Its name.
        from_level: Level from which on, down to the worst one, it is worth something; None for
            none.
        beyond_clean: Levels at which it is worth more than of clean sound; None where clean sound
            was not tried both ways.
    """

    curve: str
    from_level: str | None
    beyond_clean: tuple[str, ...] | None


def levels_that_are_helped(document: StressDocument, metric: str) -> list[Helps]:
    """What denoising is worth of each curve that has intervals.

    The interval of a gain has to be above 0, or below it for the calibration error.
    """
    sign = -1.0 if metric == "ece" else 1.0
    gains = [one for one in document.denoising if one.value is not None]
    found = []
    for panel, curve in dict.fromkeys((one.panel, one.curve) for one in gains):
        own = [one for one in gains if (one.panel, one.curve) == (panel, curve)]
        if all(one.gains[metric].interval is None for one in own):
            continue
        helped = [_is_above(one.gains[metric], sign) for one in own]
        # The last of them that are helped without a gap.
        num = next((n for n, holds in enumerate(reversed(helped)) if not holds), len(helped))
        found.append(
            Helps(
                curve=f"{panel}, {curve}" if curve else panel,
                from_level=level_of(own[-num]) if num else None,
                beyond_clean=_levels_beyond_clean(own, metric, sign),
            )
        )
    return found


def _levels_beyond_clean(
    gains: Sequence[DenoisingGain], metric: str, sign: float
) -> tuple[str, ...] | None:
    held = [(level_of(one), one.beyond_clean) for one in gains]
    if all(beyond is None for _, beyond in held):
        return None
    return tuple(level for level, beyond in held if beyond and _is_above(beyond[metric], sign))


def _is_above(one: StressScore, sign: float) -> bool:
    return one.interval is not None and min(sign * bound for bound in one.interval) > 0
