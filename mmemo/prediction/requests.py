"""What is asked: files, folders, tables of files, words."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from pydantic import TypeAdapter

from mmemo.audio.recordings import Recording
from mmemo.corpora.clip_places import MEDIA_SUFFIXES
from mmemo.corpora.text_table import (
    MAX_TRANSCRIPT_CHARS,
    TOO_LONG,
    read_text_table,
    whole_number,
)
from mmemo.corpora.utterance import MISSING_FIELD
from mmemo.data.context import dialogue_contexts
from mmemo.errors import InputError
from mmemo.prediction.answers import SpokenWord

COLUMNS = ("path", "transcript", "start", "end", "words", "speaker", "dialogue", "order")
TABLES = re.compile(r"\.(csv|tsv|jsonl|ndjson|parquet|xlsx)(\.(gz|bz2|xz|zip))?$", re.IGNORECASE)
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
WRONG_TIME = "no time"
WRONG_ORDER = "no place in its dialogue"
WORDS = "words"
WRONG_WORDS = "no words with times"


@dataclass(frozen=True)
class Request:
    """One thing that is asked about.

    Args:
        name: What it is called in tables: a path, or nothing for words alone.
        recording: Its sound; None for words alone.
        transcript: Its words; None where they are not known.
        words: The words with their times from the beginning of what is asked of the recording;
            None where the times are not known.
        speaker: Whose they are, if it is known.
        before: Earlier utterances of the dialogue with their speakers, oldest first.
        after: Later ones.
        dialogue: Names the dialogue that it is of; nothing for one of its own.
        order: When it is said in the dialogue.
        reason: Why it cannot be asked, as a short fixed phrase; nothing where it can.
        detail: The one case.
    """

    name: str
    recording: Recording | None
    transcript: str | None
    words: tuple[SpokenWord, ...] | None = None
    speaker: str = ""
    before: tuple[tuple[str, str], ...] = ()
    after: tuple[tuple[str, str], ...] = ()
    dialogue: str = ""
    order: float = 0.0
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Requests:
    """All that is asked at once.

    Args:
        rows: In order.
        left_aside: Files of a folder that are not called as sound or video is.
    """

    rows: tuple[Request, ...]
    left_aside: tuple[Path, ...] = ()


def read_requests(
    path: Path | None,
    text: str | None,
    columns: Mapping[str, str] | None = None,
    num_before: int = 0,
    num_after: int = 0,
) -> Requests:
    """What a file, a folder, a table and words ask.

    Args:
        path: A media file, a folder of them with all below it, or a CSV; None for words alone.
        text: The words of the one file, or words alone.
        columns: What the columns of a CSV are called in it, where they are called otherwise.
        num_before: Earlier utterances of a dialogue that a model reads.
        num_after: Later ones.

    Raises:
        InputError: If there is nothing of that name or in it, or words are given for several.
    """
    if path is None:
        if not text:
            raise InputError(
                'input: expected a file, a folder, a CSV or text="…", got none; name one'
            )
        return Requests((Request("", None, text),))
    if not path.exists():
        raise InputError(
            f"input: expected a file, a folder or a CSV, {path} is not there; correct the path"
        )
    is_table = path.is_file() and TABLES.search(path.name) is not None
    if text and (is_table or path.is_dir()):
        raise InputError(
            f"text: expected it beside one file, got input={path}; give the words of several in a "
            "CSV with the columns path and transcript"
        )
    if is_table:
        return Requests(_table_rows(path, columns or {}, num_before, num_after))
    if path.is_dir():
        return _folder(path)
    return Requests((Request(str(path), Recording(path), text or None),))


def _folder(folder: Path) -> Requests:
    inside = [path.relative_to(folder) for path in sorted(folder.rglob("*"))]
    shown = [p for p in inside if not any(part.startswith(".") for part in p.parts)]
    files = [folder / path for path in shown if not (folder / path).is_dir()]
    taken = [path for path in files if path.suffix.lower() in MEDIA_SUFFIXES]
    if not taken:
        raise InputError(
            f"{folder}: expected files of sound or video in this folder, found "
            f"{len(files) or 'no'} others; name the files in a CSV if they are called otherwise"
        )
    rows = tuple(Request(str(path), Recording(path), None) for path in taken)
    return Requests(rows, tuple(path for path in files if path not in set(taken)))


def _table_rows(
    path: Path, columns: Mapping[str, str], num_before: int, num_after: int
) -> tuple[Request, ...]:
    unknown = sorted(set(columns) - {*COLUMNS})
    if unknown:
        raise InputError(
            f"columns: expected some of {', '.join(COLUMNS)}, got {', '.join(unknown)}; write "
            "columns.transcript=NAME_IN_THE_FILE"
        )
    called = {name: columns.get(name) or name for name in COLUMNS}
    if list(called.values()).count(called[WORDS]) > 1:
        # What a table calls its words may be its transcripts.
        called[WORDS] = ""
    required = [called[c] for c in COLUMNS if c == "path" or called[c] not in (c, "")]
    table = read_text_table(
        str(path), path, required, "say what they are called with columns.path=NAME and the like"
    )
    if table.empty:
        raise InputError(f"{path}: expected at least one row, found none")
    cells = pd.DataFrame(
        {c: table[called[c]].str.strip() if called[c] in table else "" for c in COLUMNS},
        index=table.index,
    )
    rows = [_row(path.parent, *row) for row in cells.itertuples(index=False, name=None)]
    rows = _in_dialogues(rows, cells)
    return _with_context(rows, cells["transcript"], num_before, num_after)


def _row(
    root: Path, path: str, transcript: str, start: str, end: str, timed: str, speaker: str, *_: str
) -> Request:
    try:
        words = _timed_words(timed) if timed else None
    except ValueError as error:
        detail = (
            f"{path}: expected [{{text, start_s, end_s}}, ...] as `mmemo predict` writes it, got "
            f"'{timed[:60]}' ({error})"
        )
        return Request(path, None, None, reason=WRONG_WORDS, detail=detail)
    text = transcript or " ".join(word.text for word in words or ()) or None
    bare = Request(path, None, text, words, speaker)
    if not path:
        empty = "path and transcript empty"
        return bare if text else replace(bare, reason=MISSING_FIELD, detail=empty)
    if ADDRESS.match(path):
        return replace(bare, reason="an address", detail=f"{path}: nothing is fetched; name a file")
    if text is not None and len(text) > MAX_TRANSCRIPT_CHARS:
        return replace(bare, reason=TOO_LONG, detail=f"{len(text)} characters")
    times = [_seconds(start, 0.0), _seconds(end, None)]
    wrong = [cell for cell, value in zip((start, end), times, strict=True) if value is _WRONG]
    if wrong:
        detail = f"{path}: expected seconds from 0 on, got '{wrong[0][:60]}'"
        return replace(bare, reason=WRONG_TIME, detail=detail)
    recording = Recording((root / path).absolute(), float(times[0] or 0.0), times[1])
    return replace(bare, recording=recording)


def _timed_words(cell: str) -> tuple[SpokenWord, ...]:
    """The words of a cell of JSON, in order of time.

    Raises:
        ValueError: If it holds something else.
    """
    words = TypeAdapter(list[SpokenWord]).validate_json(cell)
    if not all(0 <= word.start_s <= word.end_s < math.inf for word in words):
        raise ValueError("a word has no such times")
    return tuple(sorted(words, key=lambda word: word.start_s))


_WRONG = math.nan


def _seconds(cell: str, default: float | None) -> float | None:
    if not cell:
        return default
    try:
        value = float(cell)
    except ValueError:
        return _WRONG
    return value if math.isfinite(value) and value >= 0 else _WRONG


def _in_dialogues(rows: Sequence[Request], cells: pd.DataFrame) -> list[Request]:
    """Each row at its place in its dialogue, the table's where no row of the dialogue tells one.

    A row whose place cannot be known is in no dialogue: no other has it before or after itself.
    """
    places = cells.groupby("dialogue").cumcount()
    is_told = (cells["order"] != "").groupby(cells["dialogue"]).transform("any")
    found = []
    for row, dialogue, cell, place, told in zip(
        rows, cells["dialogue"], cells["order"], places, is_told, strict=True
    ):
        order = whole_number(cell.removesuffix(".0")) if told and dialogue else int(place)
        if order is not None:
            found.append(replace(row, dialogue=dialogue, order=float(order)))
            continue
        detail = (
            f"expected a whole number in order, got '{cell[:60]}'; leave it empty in all rows of "
            f"dialogue '{dialogue[:60]}', or in none"
        )
        found.append(row if row.reason else replace(row, reason=WRONG_ORDER, detail=detail))
    return found


def _with_context(
    rows: Sequence[Request], transcripts: pd.Series[str], num_before: int, num_after: int
) -> tuple[Request, ...]:
    """Add what was said before and after, as training reads a dialogue."""
    if num_before == num_after == 0 or not any(row.dialogue for row in rows):
        return tuple(rows)
    states = pd.DataFrame(
        {
            "key": [str(index) for index in range(len(rows))],
            "split": "",
            "transcript": transcripts.to_numpy(),
            "dialogue_id": pd.factorize(pd.Series([row.dialogue for row in rows]))[0],
            "utterance_id": [row.order for row in rows],
        }
    )[[row.dialogue != "" for row in rows]]
    rows_of_context = states.assign(source_key=states["key"], corpus_split=states["split"])
    contexts = dialogue_contexts(states, rows_of_context, num_before, num_after)
    found = list(rows)
    for key, context in zip(states["key"], contexts, strict=True):
        before, after = (
            tuple((rows[int(k)].speaker, rows[int(k)].transcript or "") for k in keys)
            for keys in (context.before, context.after)
        )
        found[int(key)] = replace(rows[int(key)], before=before, after=after)
    return tuple(found)
