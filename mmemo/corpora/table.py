"""A user's own corpus: one table with a row for each clip, or for each stretch of one."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmemo.corpora.annotations import OWN_SPLIT, Annotations
from mmemo.corpora.clip_places import ClipPlaces
from mmemo.corpora.clips import ClipFiles, ClipSource, NoClips
from mmemo.corpora.made_split import made_split
from mmemo.corpora.ratings import TIE
from mmemo.corpora.table_columns import (
    LEFT_OUT,
    SPLIT_NAMES,
    USUAL_NAMES,
    missing_column,
    read_splits,
)
from mmemo.corpora.table_rows import TRAIT, TableRows, read_rows, times_s
from mmemo.corpora.text_table import MAX_TRANSCRIPT_CHARS, TOO_LONG, whole_number
from mmemo.corpora.utterance import MISSING_FIELD, Skip, Utterance
from mmemo.errors import InputError
from mmemo.values import check_seed

NO_TIME = "no time"
END_BEFORE_START = "end before start"
SPLIT_LEFT_OUT = "split left out"
TEXTS = ("speaker", "transcript", "emotion", "sentiment", "ratings")


class TableCorpus:
    """Reader of a table with a clip's path, its transcript, its emotion and more.

    Its columns are path, transcript, emotion, split, speaker, dialogue, order (of an utterance in
    its dialogue), sentiment, and start and end (of an utterance in its clip, in seconds). A path is
    needed where sound is heard, a transcript where text is read, an emotion or a sentiment always.

    Args:
        csv: The file: CSV of any dialect, JSON lines, Parquet or Excel.
        root: Folder that relative paths start from, and below which bare file names are looked
            for; None for the file's own.
        columns: What each of those columns is called in the file; None for its usual names, False
            to leave it unread.
        emotions: What the file's emotions are called in the label set, where it is otherwise;
            upper and lower case are one.
        split_values: What values of the split mean, where they have no usual name: train, val,
            test, or None for rows that are left out.
        test_fold: Where the split's values are folds: the one that is tested; the next one
            validates.
        encoding: Of the file's text, as Python calls it; None to find out.
        separator: Of its cells; None to find out.
        ratings: Columns of one rater each, or by emotion the column with its count; none where
            there is a column of emotions. Rows of one clip by several raters are told by a column
            ``rater``.
        ties: What a clip is whose raters' most frequent emotions are several: "skip", left out;
            "first", the one that is named first.
        num_test_folds: Where the file has no split: one in so many goes to test.
        num_val_folds: Where the file has no split: one in so many of the rest goes to val.
        seed: Decides that split, which is grouped by speaker, else by dialogue, else by the file
            that utterances are cut from, else not.
        name: What the corpus is called in reports and in the prepared corpus' name.
        traits: Further columns, such as sex and age, that scores are told by.
    """

    def __init__(
        self,
        csv: str | Path,
        root: str | Path | None = None,
        columns: Mapping[str, str | bool | None] | None = None,
        emotions: Mapping[str, str] | None = None,
        split_values: Mapping[str, str | None] | None = None,
        test_fold: int | None = None,
        encoding: str | None = None,
        separator: str | None = None,
        ratings: Sequence[str] | Mapping[str, str] | None = None,
        ties: str = "skip",
        num_test_folds: int = 5,
        num_val_folds: int = 9,
        seed: int = 0,
        name: str = "table",
        traits: Sequence[str] = (),
    ) -> None:
        self.csv = Path(csv).absolute()
        self.root = Path(root).absolute() if root is not None else self.csv.parent
        unknown = sorted(set(columns or {}) - {*USUAL_NAMES})
        if unknown:
            raise InputError(
                f"corpus.columns: expected some of {', '.join(USUAL_NAMES)}, got "
                f"{', '.join(unknown)}; write corpus.columns.emotion=NAME_IN_THE_FILE"
            )
        self.columns = dict(columns or {})
        self.emotions = {str(k).lower(): str(v).lower() for k, v in (emotions or {}).items()}
        self.split_values = dict(split_values or {})
        self.test_fold = test_fold
        self.encoding = encoding
        self.separator = separator
        self.ratings = ratings or ()
        self.ties = ties
        self.num_test_folds = num_test_folds
        self.num_val_folds = num_val_folds
        check_seed("corpus.seed", seed)
        self.seed = seed
        self.name = name
        self.traits = tuple(map(str, traits))
        own = {field.name for field in fields(Utterance)}
        if taken := sorted(own & {*self.traits}):
            raise InputError(
                f"corpus.traits: expected columns with names of their own, got {', '.join(taken)}, "
                "as mmemo calls something else; call them otherwise in the file"
            )
        self.has_reported = False

    def check(self) -> None:
        """Read the rows' cells, and no more.

        Raises:
            InputError: As ``read`` does for the file, its columns and its paths.
        """
        self._rows  # noqa: B018 (kept for what comes)

    @property
    def has_clips(self) -> bool:
        """Whether the file names clips, and one of them is there.

        Raises:
            InputError: As ``read`` does.
        """
        return self._places[1]

    def read(self) -> Annotations:
        """Read all rows; of the clips it is looked for where they are, and no more.

        A row without path or label is recorded as a skip, as are one whose transcript is of more
        than 10,000 characters, whose times are none or end before they start, or whose split is
        mapped to null.

        Raises:
            InputError: If the file is missing, cannot be read or lacks a column, a column or a bare
                file name may be another too, a path is an address, splits are unknown, an order
                is not a whole number, or a split cannot be made.
        """
        rows = self._rows.cells
        problems = self._problems(rows)
        usable = problems["reason"] == ""
        if not usable.any():
            reasons = problems["reason"].value_counts().items()
            shown = ", ".join(f"{reason}: {count}" for reason, count in reasons) or "no rows"
            raise InputError(
                f"{self.csv}: expected at least one row with {' and '.join(self._rows.needed)}, "
                f"found none ({shown}); check that the file is complete"
            )
        self._report_reading()
        kept, origin = self._with_splits(rows[usable])
        left_out = kept[kept["split"] == LEFT_OUT]
        problems.loc[left_out.index, ["reason", "detail"]] = [SPLIT_LEFT_OUT, "mapped to null"]
        kept = kept.drop(left_out.index)
        skipped = rows.drop(kept.index)
        return Annotations(
            corpus=self.name,
            utterances=self._utterances(kept),
            clips=self._clips(),
            skips=tuple(
                self._skip(row, *problem)
                for row, problem in zip(
                    _as_text(skipped),
                    problems.loc[skipped.index].itertuples(index=False, name=None),
                    strict=True,
                )
            ),
            variant=str(self.root),
            split_origin=origin,
            no_transcripts=self._no_transcripts(kept),
            agreement=self._rows.agreement,
        )

    @cached_property
    def _rows(self) -> TableRows:
        return read_rows(
            self.csv,
            self.columns,
            self.emotions,
            self.encoding,
            self.separator,
            self.ratings,
            self.ties,
            self.traits,
        )

    @cached_property
    def _places(self) -> tuple[list[str], bool]:
        rows = self._rows.cells
        if "path" not in rows:
            return [""] * len(rows), False
        return ClipPlaces(str(self.csv), self.root).find(rows["path"].tolist())

    def _clips(self) -> ClipSource:
        rows, there = self._rows.cells, self._rows
        if "path" not in rows:
            problem = missing_column(str(self.csv), there.present, "path", "each clip's path")
            return NoClips(f"{problem}, or train on transcripts alone with audio_encoder=none")
        if self.has_clips:
            return ClipFiles()
        first = next((place for place in self._places[0] if place), "")
        return NoClips(
            f"{self.csv}: expected the clips that {there.columns['path']} names, found none of "
            f"{len(rows)} (the first would be {first}); name the folder that they start from with "
            "corpus.root=DIR, or train on transcripts alone with audio_encoder=none"
        )

    def _no_transcripts(self, rows: pd.DataFrame) -> str:
        if "transcript" in rows and (rows["transcript"] != "").any():
            return ""
        if "transcript" in self._rows.columns:
            return (
                f"{self.csv}: expected transcripts in {self._rows.columns['transcript']}, found "
                "none; fill them in, or train on sound alone with text_encoder=none"
            )
        present = self._rows.present
        problem = missing_column(str(self.csv), present, "transcript", "each clip's transcript")
        return f"{problem}, or train on sound alone with text_encoder=none"

    def _problems(self, rows: pd.DataFrame) -> pd.DataFrame:
        """For each row why it cannot be used: reason and detail, '' where it can."""
        found = pd.DataFrame({"reason": "", "detail": ""}, index=rows.index, dtype=object)

        def note(holds: pd.Series[bool], reason: str, detail: pd.Series[str] | str) -> None:
            chosen = holds & (found["reason"] == "")
            found.loc[chosen, "reason"] = reason
            found.loc[chosen, "detail"] = detail if isinstance(detail, str) else detail[chosen]

        for column in self._rows.needed:
            note(
                rows[column] == "", MISSING_FIELD, f"{self._rows.columns.get(column, column)} empty"
            )
        if "ratings" in rows:
            note(rows["emotion"] == TIE, TIE, rows["ratings"])
        if "transcript" in rows:
            lengths = rows["transcript"].str.len()
            too_long = lengths > MAX_TRANSCRIPT_CHARS
            note(too_long, TOO_LONG, lengths.astype(str) + " characters")
        if self._rows.is_cut:
            start, end = (times_s(rows, name) for name in ("start", "end"))
            for name, times in (("start", start), ("end", end)):
                if name in rows:
                    note(times == math.inf, NO_TIME, f"{name} '" + rows[name].str[:60] + "'")
            spans = start.map("{:g} to ".format) + end.map("{:g} s".format)
            note(end <= start.fillna(0.0), END_BEFORE_START, spans)
        return found

    def _report_reading(self) -> None:
        """Say once what was taken for what."""
        if not self.has_reported:
            for line in self._rows.notes:
                print(f"mmemo: {self.csv.name}: {line}", file=sys.stderr)
        self.has_reported = True

    def _with_splits(self, rows: pd.DataFrame) -> tuple[pd.DataFrame, str]:
        if "split" not in rows:
            return self._with_made_split(rows)
        column = self._rows.columns["split"]
        where = str(self.csv)
        splits = read_splits(
            where, column, rows["split"], self.split_values, self.test_fold, OWN_SPLIT
        )
        return rows.assign(split=splits.of_rows), splits.origin

    def _with_made_split(self, rows: pd.DataFrame) -> tuple[pd.DataFrame, str]:
        groups = ("speaker", "dialogue", *(("path",) if self._rows.is_cut else ()))
        group = next((c for c in groups if c in rows), "line")
        names = rows[self._rows.needed[-1]]
        pooled = rows.assign(key=rows["line"], row=rows["line"])
        by = ["row" if group == "line" else group]
        folds = (self.num_test_folds, self.num_val_folds)
        try:
            made = made_split("table", pooled, names, by, *folds, self.seed)
        except InputError as error:
            raise InputError(
                f"{self.csv}: expected a column 'split', or rows that a split by {group} can be "
                f"made of ({error}); add that column, or follow what the brackets say"
            ) from error
        for sentence in made.lacking:
            print(f"mmemo: {self.csv.name}: {sentence}", file=sys.stderr)
        return rows.assign(split=made.of_rows), made.origin

    def _utterances(self, rows: pd.DataFrame) -> tuple[Utterance, ...]:
        """Number dialogues and the utterances in them; a row without a dialogue is its own."""
        dialogue_ids = _dialogue_ids(rows)
        places = self._places[0]
        # By columns: a mapping for each of hundreds of thousands of rows takes seconds.
        texts = {c: rows[c].tolist() if c in rows else [""] * len(rows) for c in TEXTS}
        times: dict[str, list[float | None]] = {
            name: [None if math.isnan(time) else time for time in times_s(rows, name)]
            if self._rows.is_cut
            else [None] * len(rows)
            for name in ("start", "end")
        }
        columns = zip(
            *(_keys(rows), rows["split"].tolist(), dialogue_ids.tolist()),
            *(self._orders(rows, dialogue_ids), texts["speaker"], texts["transcript"]),
            *(texts["emotion"], [places[index] for index in rows.index]),
            *(texts["sentiment"], times["start"], times["end"], texts["ratings"]),
            self._traits(rows),
            strict=True,
        )
        return tuple(
            Utterance(
                corpus=self.name,
                key=key,
                split=split,
                dialogue_id=number,
                utterance_id=order,
                speaker=speaker,
                transcript=text,
                emotion=emotion,
                media_path=path,
                sentiment=sentiment.lower() or None,
                clip_start_s=start_s,
                clip_end_s=end_s,
                ratings=ratings or None,
                traits=traits,
            )
            for (
                key,
                split,
                number,
                order,
                speaker,
                text,
                emotion,
                path,
                sentiment,
                start_s,
                end_s,
                ratings,
                traits,
            ) in columns
        )

    def _traits(self, rows: pd.DataFrame) -> list[tuple[tuple[str, str], ...]]:
        """Of each row the cells of further columns that are filled."""
        cells = zip(*(rows[TRAIT + name].tolist() for name in self.traits), strict=True)
        found = [
            tuple((name, cell) for name, cell in zip(self.traits, row, strict=True) if cell)
            for row in cells
        ]
        return found or [()] * len(rows)

    def _orders(self, rows: pd.DataFrame, dialogue_ids: NDArray[np.int64]) -> list[int]:
        """Each utterance's place in its dialogue: as the file has it, else by the order of rows."""
        places: list[int] = rows.groupby(dialogue_ids).cumcount().tolist()
        if "order" not in rows:
            return places
        is_told = (rows["order"] != "").groupby(dialogue_ids).transform("any")
        for row, (cell, told) in enumerate(zip(rows["order"], is_told, strict=True)):
            number = whole_number(cell.removesuffix(".0")) if told else places[row]
            if number is None:
                raise InputError(
                    f"{self.csv}, row {rows['line'].iloc[row]}: expected a whole number in "
                    f"{self._rows.columns['order']}, got '{cell[:60]}'; correct the row, or leave "
                    "it empty in all rows of the dialogue"
                )
            places[row] = number
        return places

    def _skip(self, row: dict[str, str], reason: str, detail: str) -> Skip:
        where = f"{self.csv}, row {row['line']}"
        key = row.get("path") or f"row{row['line']}"
        split = row.get("split", "").lower() or "none"
        return Skip(key, SPLIT_NAMES.get(split, split), reason, detail, where)


def _dialogue_ids(rows: pd.DataFrame) -> NDArray[np.int64]:
    """Numbers of the dialogues, in the order of the rows; those of rows that name none are last."""
    names = rows["dialogue"] if "dialogue" in rows else pd.Series("", rows.index)
    ids: NDArray[np.int64] = pd.factorize(names.mask(names == ""))[0].astype(np.int64)
    ids[ids < 0] = ids.max(initial=-1) + 1 + np.arange((ids < 0).sum())
    return ids


def _as_text(rows: pd.DataFrame) -> list[dict[str, str]]:
    return [{str(k): str(v) for k, v in row.items()} for row in rows.to_dict("records")]


def _keys(rows: pd.DataFrame) -> list[str]:
    """What the rows are called: by their paths, where several have one with their numbers."""
    if "path" not in rows:
        return ("row" + rows["line"].astype(str)).tolist()
    keys: list[str] = rows["path"].tolist()
    for place in np.flatnonzero(rows["path"].duplicated()):
        keys[place] += f" (row {rows['line'].iloc[place]})"
    return keys
