"""Answers as rows: dataclass, table, files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmemo.errors import InputError
from mmemo.evaluation.predictions import PROBABILITY_PREFIX
from mmemo.folders import writable_folder, write_whole, written_whole
from mmemo.reporting.tables import Cell, Table, table_of

SPREAD_PREFIX = "sd_"
EMBEDDING_PREFIX = "embedding_"
SUFFIXES = (".csv", ".jsonl", ".parquet")


@dataclass(frozen=True)
class SpokenWord:
    """A word that was recognised.

    Args:
        text: As it is written, without blanks around it.
        start_s: In seconds from the beginning of the stretch.
        end_s: Where it ends.
    """

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Prediction:
    """What is answered on a recording or a stretch of it, or why nothing is.

    Args:
        name: Of the recording, as it was given.
        classes: The C classes, in label order.
        probabilities: (C,) float64, the mean over the models, calibrated where that was asked
            for; None where there is no answer.
        spread: (C,) float64, standard deviation over the models; None for one model.
        start_s: Where the stretch begins, in seconds; None for words alone.
        end_s: Where it ends.
        duration_s: Of the whole recording; None where there is none or it could not be read.
        used_duration_s: How much of the stretch the models have used: less where they cut it.
        transcript: The words that were read; None for none.
        words: The words with their times, where they were recognised.
        missing: The modality that was done without, "audio" or "text"; None for none.
        reason: Why there is no answer, as a short fixed phrase; nothing where there is one.
        detail: The one case.
        time_s: Time that it took: preparation, and a share of the batch it was answered in.
        num_bad_packets: How many packets of the recording's sound could not be decoded and were
            left out; None where no file was read.
        note: What else should be known of its sound, in words.
        embeddings: By "fused" and by modality a vector (D,) float32; of several models by
            "fused-1" and so on.
    """

    name: str
    classes: tuple[str, ...]
    probabilities: NDArray[np.float64] | None
    spread: NDArray[np.float64] | None = None
    start_s: float | None = None
    end_s: float | None = None
    duration_s: float | None = None
    used_duration_s: float | None = None
    transcript: str | None = None
    words: tuple[SpokenWord, ...] | None = None
    missing: str | None = None
    reason: str = ""
    detail: str = ""
    time_s: float = 0.0
    num_bad_packets: int | None = None
    note: str = ""
    embeddings: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def label(self) -> str | None:
        """The most probable class."""
        if self.probabilities is None:
            return None
        return self.classes[int(self.probabilities.argmax())]

    @property
    def by_class(self) -> dict[str, float]:
        """Probability of each class, in label order; empty without an answer."""
        if self.probabilities is None:
            return {}
        return dict(zip(self.classes, self.probabilities.tolist(), strict=True))


def answers_frame(answers: Sequence[Prediction], calibrated: bool) -> pd.DataFrame:
    """A row for each answer: as in ``predictions.parquet``, ``pred`` and ``prob_`` columns.

    Args:
        answers: At least one.
        calibrated: Whether the probabilities are.
    """
    return pd.DataFrame([answer_row(answer, calibrated) for answer in answers])


def answer_row(answer: Prediction, calibrated: bool) -> dict[str, Any]:
    """The one row of that table, of values that JSON has; arguments as there."""
    row: dict[str, Any] = {
        "path": answer.name,
        "start_s": answer.start_s,
        "end_s": answer.end_s,
        "duration_s": answer.duration_s,
        "used_duration_s": answer.used_duration_s,
        "transcript": answer.transcript,
        "pred": answer.label,
    }
    for index, name in enumerate(answer.classes):
        given = answer.probabilities
        row[f"{PROBABILITY_PREFIX}{name}"] = None if given is None else float(given[index])
    if answer.spread is not None:
        for name, value in zip(answer.classes, answer.spread.tolist(), strict=True):
            row[f"{SPREAD_PREFIX}{name}"] = value
    row |= {"calibrated": calibrated, "missing": answer.missing}
    row |= {"reason": answer.reason or None, "detail": answer.detail or None}
    row |= {"num_bad_packets": answer.num_bad_packets, "note": answer.note or None}
    row["time_s"] = round(answer.time_s, 4)
    if answer.words is not None:
        row["words"] = [
            {"text": word.text, "start_s": word.start_s, "end_s": word.end_s}
            for word in answer.words
        ]
    for name, vector in answer.embeddings.items():
        row[f"{EMBEDDING_PREFIX}{name}"] = vector.tolist()
    return row


def check_outputs(paths: Sequence[Path], embeddings: bool) -> None:
    """Find before anything is computed what could not be written.

    Raises:
        InputError: If a file is of another kind, its folder cannot be written to, or a CSV is to
            hold vectors.
    """
    for path in paths:
        if path.suffix.lower() not in SUFFIXES:
            raise InputError(
                f"output: expected a file that ends in {', '.join(SUFFIXES)}, got {path}; name "
                "one of these"
            )
        writable_folder(path.parent, "output")
    if embeddings and not any(path.suffix.lower() != ".csv" for path in paths):
        raise InputError(
            "embeddings: expected a file that holds vectors, got "
            f"output={', '.join(map(str, paths)) or 'null'}; write output=answers.parquet or "
            "output=answers.jsonl"
        )


def write_answers(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV, JSON lines or Parquet, by the file's ending.

    A CSV leaves vectors out and holds words with their times as JSON.

    Raises:
        InputError: If it cannot be written.
    """
    kind = path.suffix.lower()
    if kind == ".jsonl":
        write_whole(path, "".join(f"{_json(row)}\n" for row in frame.to_dict("records")))
        return
    with written_whole(path) as place:
        if kind == ".parquet":
            frame.to_parquet(place, index=False, write_page_checksum=True)
            return
        shown = frame[[c for c in frame if not str(c).startswith(EMBEDDING_PREFIX)]].copy()
        if "words" in shown:
            shown["words"] = shown["words"].map(
                lambda words: json.dumps(words, ensure_ascii=False) if words else ""
            )
        shown.to_csv(place, index=False)


def _json(row: Mapping[Any, Any]) -> str:
    def plain(value: Any) -> Any:  # noqa: ANN401
        # An empty cell of a column of numbers is NaN, which JSON lacks.
        return None if isinstance(value, float) and np.isnan(value) else value

    shown = {str(key): plain(value) for key, value in row.items()}
    return json.dumps(shown, ensure_ascii=False, allow_nan=False)


def answers_table(
    answers: Sequence[Prediction], title: str, note: str, with_file: bool = True
) -> Table:
    """The answers for a reader: what, from when to when, which class, with what probability.

    Args:
        answers: At least one.
        title: Of the table.
        note: Below it.
        with_file: Whether each row names the recording that it is of.
    """
    classes = answers[0].classes
    has_stretches = any(answer.start_s for answer in answers)
    header = [*(["from (s)", "to (s)"] if has_stretches else ["heard (s)"]), "class"]
    rows = [[*_times(answer, has_stretches), *_answer(answer)] for answer in answers]
    align = f"{'rr' if has_stretches else 'r'}l{'r' * (len(classes) + 1)}"
    if with_file:
        header, align = ["file", *header], f"l{align}"
        rows = [[_name(a), *row] for a, row in zip(answers, rows, strict=True)]
    return table_of("answers", title, [*header, *classes, "time (s)"], align, rows, note)


def _name(answer: Prediction) -> str:
    return Path(answer.name).name or f"“{answer.transcript or ''}”"


def _times(answer: Prediction, has_stretches: bool) -> list[Cell | str]:
    def seconds(value: float | None) -> str:
        return "" if value is None else f"{value:.2f}"

    if has_stretches:
        return [seconds(answer.start_s), seconds(answer.end_s)]
    return [seconds(answer.used_duration_s)]


def _answer(answer: Prediction) -> list[Cell | str]:
    if answer.probabilities is None:
        return [answer.reason, *[""] * len(answer.classes), f"{answer.time_s:.3f}"]
    spread = answer.spread
    cells = [
        f"{value:.3f}" + (f" ± {spread[index]:.3f}" if spread is not None else "")
        for index, value in enumerate(answer.probabilities)
    ]
    return [answer.label or "", *cells, f"{answer.time_s:.3f}"]
