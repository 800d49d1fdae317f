"""Which column of somebody's table holds what, and what its splits mean."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from mmemo.corpora.text_table import whole_number
from mmemo.corpora.utterance import SPLITS
from mmemo.errors import InputError

USUAL_NAMES: Mapping[str, tuple[str, ...]] = {
    "path": (
        *("path", "file", "filename", "file_path", "wav", "wav_path", "wav_file", "audio"),
        *("audio_path", "audio_file", "audio_filename", "clip", "clip_path", "video"),
        *("video_path", "media", "media_path", "sound"),
    ),
    "transcript": (
        *("transcript", "transcription", "text", "sentence", "utterance", "words", "spoken_text"),
    ),
    "emotion": (
        *("emotion", "label", "emo", "class", "category", "emotion_label", "emotion_name"),
        *("emotion_class", "emo_class", "emo_label", "target"),
    ),
    "split": (*("split", "partition", "set", "subset", "split_set", "fold", "cv_fold", "fold_id"),),
    "speaker": (
        *("speaker", "spk", "speaker_id", "spk_id", "spkr", "speaker_name", "actor", "actor_id"),
    ),
    "dialogue": (
        "dialogue",
        "dialog",
        "dialogue_id",
        "dialog_id",
        "conversation",
        "conversation_id",
    ),
    "order": ("order", "turn", "turn_id"),
    "sentiment": ("sentiment", "polarity"),
    "start": (
        "start",
        "start_s",
        "start_time",
        "start_sec",
        "begin",
        "begin_s",
        "begin_time",
        "onset",
    ),
    "rater": (
        *("rater", "rater_id", "annotator", "annotator_id", "evaluator", "worker", "worker_id"),
    ),
    "end": ("end", "end_s", "end_time", "end_sec", "stop"),
}
"""For each column of mmemo's what others call it; capitals, spaces and marks make no difference."""

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(
        ("val", "valid", "validation", "validate", "dev", "devel", "development"), "val"
    ),
    **dict.fromkeys(("test", "testing", "test1", "tst", "eval", "evaluation"), "test"),
}

FOLDS = ("fold", "cvfold", "foldid")
"""Names, without capitals and marks, of a column whose numbers are folds."""

LEFT_OUT = "left out"
"""In place of a split: rows that ``split_values`` maps to null."""


def plain(name: str) -> str:
    """A column's name without capitals, spaces and marks."""
    return re.sub(r"[\W_]", "", name).casefold()


def matched_columns(
    where: str, cells: pd.DataFrame, given: Mapping[str, str | bool | None], taken: Sequence[str]
) -> dict[str, str]:
    """What each of mmemo's columns that is there is called in a table.

    Args:
        where: The table's name, for messages.
        cells: The table.
        given: By mmemo's name the column's own; None to look for the usual names, False to leave
            it unread.
        taken: Columns that hold something else.

    Raises:
        InputError: If a column that is given is not there, or two that differ may be meant.
    """
    present = [str(name) for name in cells.columns]
    found: dict[str, str] = {}
    for column, names in USUAL_NAMES.items():
        name = given.get(column)
        if name is False:
            continue
        if name not in (None, True):
            if name not in present:
                raise InputError(
                    f"{where}: missing the column {name}, which corpus.columns.{column} names; "
                    f"there are {listed(present)}"
                )
            found[column] = str(name)
            continue
        usual = {plain(name) for name in names}
        candidates = [n for n in present if _is_called(n, usual, present) and n not in taken]
        different = [n for n in candidates[1:] if not cells[n].equals(cells[candidates[0]])]
        if different:
            raise InputError(
                f"{where}: expected one column of the {column}, found {' and '.join(candidates)}; "
                f"say which with corpus.columns.{column}={candidates[0]}"
            )
        if candidates:
            found[column] = candidates[0]
    return found


def _is_called(name: str, usual: Collection[str], present: Collection[str]) -> bool:
    """Whether a column has one of some plain names, or is the second that is called just so.

    Of two columns of one name pandas calls the second ``label.1``.
    """
    first, mark, number = name.rpartition(".")
    is_second = bool(mark) and number.isdecimal() and first in present
    return plain(first if is_second else name) in usual


def missing_column(where: str, cells: pd.DataFrame, column: str, what: str) -> str:
    """Says that a table has no column for something, and how to name it."""
    return (
        f"{where}: missing a column with {what} (called {', '.join(USUAL_NAMES[column][:6])} or "
        f"the like); there are {listed(list(map(str, cells.columns)))}. Say which it is with "
        f"corpus.columns.{column}=NAME"
    )


def listed(names: Sequence[str]) -> str:
    """Names in one line of bounded length."""
    return (", ".join(names) or "none")[:500]


@dataclass(frozen=True)
class Splits:
    """What each row's cell in the column of splits means.

    Args:
        of_rows: train, val, test, or ``LEFT_OUT``.
        origin: Where that comes from, for reports.
    """

    of_rows: pd.Series[str]
    origin: str


def read_splits(
    where: str,
    column: str,
    cells: pd.Series[str],
    values: Mapping[str, str | None],
    test_fold: int | None,
    own_split: str,
) -> Splits:
    """Read a column of splits, or of folds, of which one is tested and the next one validates.

    Args:
        where: The table's name, for messages.
        column: The column's.
        cells: What stands there.
        values: What values mean that are no usual names; None for rows that are left out.
        test_fold: The fold that is tested; None for no folds, or, where the column is called by
            them, the first.
        own_split: How the splits' origin is called where the column has them.

    Raises:
        InputError: If values are unknown, all of them with their counts, or there is no such fold.
    """
    named = {str(key).strip().casefold(): value for key, value in values.items()}
    wrong = sorted({str(v) for v in named.values() if v is not None} - {*SPLITS})
    if wrong:
        raise InputError(
            f"corpus.split_values: expected train, val, test, or null for rows that are left out, "
            f"got {', '.join(wrong)}"
        )
    numbers = None if named else _fold_numbers(cells)
    if test_fold is not None or (numbers is not None and plain(column) in FOLDS):
        return _folds(where, column, numbers, test_fold)
    split = cells.str.casefold().map(
        lambda cell: (named[cell] or LEFT_OUT) if cell in named else SPLIT_NAMES.get(cell, "")
    )
    unknown = cells[split == ""].value_counts()
    if unknown.empty:
        return Splits(split, own_split)
    rows = ", ".join(f"'{str(value)[:60]}' ({count} rows)" for value, count in unknown.items())
    folds = ""
    if numbers is not None:
        folds = f", or corpus.test_fold={numbers.min()} if they are folds"
    named_cells = [str(value)[:60] for value in unknown.index if value]
    # Hydra reads no empty key.
    say = "fill them in" + (", and " if named_cells else "") if "" in unknown else ""
    if named_cells:
        say += (
            f"say what they mean with corpus.split_values={{{named_cells[0]}: train}} (null leaves "
            f"rows out){folds}"
        )
    raise InputError(
        f"{where}: expected {', '.join(SPLITS)} or the like in {column}, found {rows[:500]}; "
        f"{say}, or leave the column unread with corpus.columns.split=false"
    )


def _fold_numbers(cells: pd.Series[str]) -> pd.Series[int] | None:
    found = [whole_number(cell.removesuffix(".0")) for cell in cells]
    numbers = [number for number in found if number is not None]
    return pd.Series(numbers, index=cells.index) if len(numbers) == len(cells) else None


def _folds(
    where: str, column: str, numbers: pd.Series[int] | None, test_fold: int | None
) -> Splits:
    folds = [] if numbers is None else sorted(numbers.unique().tolist())
    tested = folds[0] if test_fold is None and folds else test_fold
    if numbers is None or tested not in folds or len(folds) < 3:
        raise InputError(
            f"{where}: expected three or more folds in {column}, by their numbers, one of them "
            f"{tested if tested is not None else 'to be tested'}, found "
            f"{listed([str(fold) for fold in folds]) if folds else 'other cells'}; correct "
            "corpus.test_fold, or say what the cells mean with corpus.split_values={0: train}"
        )
    validates = folds[(folds.index(tested) + 1) % len(folds)]
    split = numbers.map(lambda fold: {tested: "test", validates: "val"}.get(fold, "train"))
    return Splits(split, f"folds of {column}: {tested} tests, {validates} validates")
