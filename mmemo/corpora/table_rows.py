"""The rows of somebody's table under mmemo's names, and what was taken for what."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mmemo.corpora.agreement import Agreement
from mmemo.corpora.ratings import TIE, rate, votes_by_name, votes_of_columns, votes_of_rows
from mmemo.corpora.table_columns import listed, matched_columns, missing_column
from mmemo.corpora.table_dialects import TextTable
from mmemo.corpora.text_table import read_table
from mmemo.errors import InputError

ADDRESS = re.compile(
    r"[a-z][a-z0-9+.-]*://|(?:async|cache|concatf?|crypto|data|fd|file|pipe|subfile|unix):", re.I
)
"""A URL, or what FFmpeg takes for one."""

TRAIT = "trait "
"""Begins the name of a further column in ``TableRows.cells``."""

CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:[.,]\d+)?)")
"""1:02:03.5, or 2:03,5."""


@dataclass(frozen=True)
class TableRows:
    """The rows of a table.

    Args:
        cells: Text under mmemo's names, '' where there is none; ``line`` is a row's number for
            messages. A column that is empty throughout is left out, but for path and emotion.
        columns: What the columns are called in the file.
        present: All columns of the file, and their cells.
        notes: What was taken for what, in lines.
        agreement: Of raters, where there are several.
    """

    cells: pd.DataFrame
    columns: Mapping[str, str]
    present: pd.DataFrame
    notes: tuple[str, ...]
    agreement: Agreement | None = None

    @property
    def needed(self) -> list[str]:
        """Columns whose cells a row needs: the path where there are any, and the label."""
        label = "emotion" if "emotion" in self.cells else "sentiment"
        return [name for name in ("path", label) if name in self.cells]

    @property
    def is_cut(self) -> bool:
        """Whether utterances are stretches of clips."""
        return "path" in self.cells and bool({"start", "end"} & set(self.cells))


def read_rows(
    csv: Path,
    columns: Mapping[str, str | bool | None],
    emotions: Mapping[str, str],
    encoding: str | None,
    separator: str | None,
    ratings: Sequence[str] | Mapping[str, str] = (),
    ties: str = "skip",
    traits: Sequence[str] = (),
) -> TableRows:
    """Read a table's rows; the arguments are ``TableCorpus``'.

    Raises:
        InputError: If the file is missing, cannot be read or lacks a label, two columns may be
            meant, a cell has several lines, or a path is an address.
    """
    if not csv.is_file():
        raise InputError(
            f"{csv}: expected a table with a row for each clip, found "
            f"{'a folder' if csv.is_dir() else 'nothing'}; give it with corpus.csv=FILE"
        )
    table = read_table(str(csv), csv, encoding, separator)
    raters = [str(n) for n in (ratings.values() if isinstance(ratings, Mapping) else ratings)]
    names = matched_columns(str(csv), table.cells, columns, raters)
    if not raters and "emotion" not in names and "sentiment" not in names:
        raise InputError(missing_column(str(csv), table.cells, "emotion", "each clip's emotion"))
    _check_traits(csv, table, traits)
    rows = _named_rows(table, names, traits)
    if raters:
        rows["emotion"] = ""
    _check_lines(csv, rows)
    if "path" in rows:
        _check_addresses(csv, rows, names["path"])
    called = ", ".join(c if c == n else f"{c} ← {n}" for c, n in names.items())
    notes = [f"{table.dialect}, {len(rows)} rows; {called}"]
    rated = None
    if raters:
        rated = rate(votes_of_columns(str(csv), table.cells, ratings, emotions), rows.index, ties)
        notes += mapped_emotions(votes_by_name(str(csv), table.cells, ratings), emotions)
    elif "emotion" in rows:
        emotion = rows["emotion"].str.lower()
        counts = emotion[emotion != ""].value_counts()
        notes += mapped_emotions({str(name): int(n) for name, n in counts.items()}, emotions)
        rows["emotion"] = emotion.map(lambda name: emotions.get(name, name))
        if "rater" in rows:
            clips = _clip_numbers(rows)
            votes = votes_of_rows(rows["emotion"], clips)
            rows = rows[~clips.duplicated()].reset_index(drop=True)
            rated = rate(votes, rows.index, ties)
    if rated is None:
        return TableRows(rows, names, table.cells, tuple(notes))
    # A tie that is skipped is no empty cell.
    rows["emotion"] = rated.labels.mask(rated.is_tied & (rated.labels == ""), TIE)
    rows["ratings"] = rated.votes
    notes.append(rated.agreement.sentence())
    return TableRows(rows, names, table.cells, tuple(notes), rated.agreement)


def _check_traits(csv: Path, table: TextTable, traits: Sequence[str]) -> None:
    """Refuse further columns that are not there."""
    if missing := [name for name in traits if name not in table.cells]:
        raise InputError(
            f"{csv}: missing the column {missing[0]}, which corpus.traits names; there are "
            f"{listed(list(map(str, table.cells.columns)))}"
        )


def _named_rows(table: TextTable, names: Mapping[str, str], traits: Sequence[str]) -> pd.DataFrame:
    """The columns that are used, under mmemo's names, with the number of each row's line."""
    rows = pd.DataFrame({c: table.cells[found].str.strip() for c, found in names.items()})
    if "transcript" in rows:
        # A sentence is one, however many lines of a cell it stands in.
        rows["transcript"] = rows["transcript"].str.replace(r"\s*[\r\n]\s*", " ", regex=True)
    for name in traits:
        rows[TRAIT + name] = table.cells[name].str.strip()
    rows.index = pd.RangeIndex(len(rows))
    unfilled = [c for c in rows if (rows[c] == "").all() and not str(c).startswith(TRAIT)]
    rows = rows.drop(columns=[c for c in unfilled if c not in ("path", "emotion")])
    rows["line"] = range(table.first_row, len(rows) + table.first_row)
    return rows


def _clip_numbers(rows: pd.DataFrame) -> pd.Series[int]:
    """Which clip a row of one rater is of, numbered in the order of their first rows."""
    identifying = ("path",) if "path" in rows else ("transcript", "dialogue", "order")
    by = [name for name in (*identifying, "start", "end") if name in rows]
    groups = rows.groupby(by, sort=False).ngroup() if by else pd.Series(range(len(rows)))
    return groups.set_axis(rows.index)


def mapped_emotions(counts: Mapping[str, int], emotions: Mapping[str, str]) -> list[str]:
    """Which emotions were mapped and which were not, with their counts, in lines."""
    mapped = [f"{n} → {emotions[n]} ({counts[n]})" for n in counts if emotions.get(n, n) != n]
    others = [f"{n} ({counts[n]})" for n in counts if emotions.get(n, n) == n]
    lines = [f"emotions mapped: {', '.join(mapped)[:500]}"] if mapped else []
    return lines + ([f"emotions as they are: {', '.join(others)[:500]}"] if others else [])


def times_s(rows: pd.DataFrame, column: str) -> pd.Series[float]:
    """Times in seconds; not a number where there is none, infinite where it cannot be read."""
    if column not in rows:
        return pd.Series(math.nan, index=rows.index)
    return rows[column].map(_seconds).astype(float)


def _seconds(cell: str) -> float:
    if not cell:
        return math.nan
    clock = CLOCK.fullmatch(cell)
    try:
        if clock:
            hours, minutes, seconds = clock.groups()
            return 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds.replace(",", "."))
        value = float(cell.replace(",", "."))
    except ValueError:
        return math.inf
    return value if math.isfinite(value) and value >= 0 else math.inf


def _check_lines(csv: Path, rows: pd.DataFrame) -> None:
    """A line break belongs into a transcript alone."""
    for column in rows.columns.drop("line"):
        broken = rows[rows[column].str.contains("[\r\n]")]
        if not broken.empty:
            raise InputError(
                f"{csv}, row {broken['line'].iloc[0]}: expected one line in {column}, got "
                f"several ({broken[column].iloc[0][:60]!r}…); close or double the quotation "
                "marks of that row"
            )


def _check_addresses(csv: Path, rows: pd.DataFrame, column: str) -> None:
    """Nothing is fetched, and FFmpeg's ways to name what is no file are not followed."""
    wrong = rows[rows["path"].str.match(ADDRESS)]
    if not wrong.empty:
        raise InputError(
            f"{csv}, row {wrong['line'].iloc[0]}: expected the path of a file in {column}, got "
            f"the address '{wrong['path'].iloc[0][:200]}'; fetch the clips and name their files"
        )
