"""A user's own corpus: one CSV with a row for each clip."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmemo.corpora.annotations import Annotations
from mmemo.corpora.clips import ClipFiles
from mmemo.corpora.splits import GroupDisjointSplit
from mmemo.corpora.text_table import MAX_TRANSCRIPT_CHARS, TOO_LONG, read_text_table, whole_number
from mmemo.corpora.utterance import MISSING_FIELD, SPLITS, Skip, Utterance
from mmemo.errors import InputError
from mmemo.values import check_seed

log = logging.getLogger(__name__)

REQUIRED = ("path", "transcript", "emotion")
OPTIONAL = ("split", "speaker", "dialogue", "order", "sentiment")
ADDRESS = re.compile(
    r"[a-z][a-z0-9+.-]*://|(?:async|cache|concatf?|crypto|data|fd|file|pipe|subfile|unix):", re.I
)
"""A URL, or what FFmpeg takes for one."""

SPLIT_NAMES = {"dev": "val", "valid": "val", "validation": "val"}


class TableCorpus:
    """Reader of a CSV with the columns path, transcript, emotion and some optional ones.

    Those are split, speaker, dialogue, order (of an utterance in its dialogue) and sentiment.

    Args:
        csv: The file; ``.tsv`` for tab-separated values.
        root: Folder that relative paths start from; None for the CSV's own.
        columns: What each of those columns is called in the file, where it is called otherwise.
        emotions: What the file's emotions are called in the label set, where it is otherwise;
            upper and lower case are one.
        num_test_folds: Where the file has no split: one in so many goes to test.
        num_val_folds: Where the file has no split: one in so many of the rest goes to val.
        seed: Decides that split, which is grouped by speaker, else by dialogue, else not.
        name: What the corpus is called in reports and in the prepared corpus' name.
    """

    has_clips = True

    def __init__(
        self,
        csv: str | Path,
        root: str | Path | None = None,
        columns: Mapping[str, str] | None = None,
        emotions: Mapping[str, str] | None = None,
        num_test_folds: int = 5,
        num_val_folds: int = 9,
        seed: int = 0,
        name: str = "table",
    ) -> None:
        self.csv = Path(csv).absolute()
        self.root = Path(root).absolute() if root is not None else self.csv.parent
        unknown = sorted(set(columns or {}) - {*REQUIRED, *OPTIONAL})
        if unknown:
            raise InputError(
                f"corpus.columns: expected some of {', '.join(REQUIRED + OPTIONAL)}, got "
                f"{', '.join(unknown)}; write corpus.columns.emotion=NAME_IN_THE_FILE"
            )
        named = {key: found for key, found in (columns or {}).items() if found is not None}
        self.columns = {name: name for name in REQUIRED + OPTIONAL} | named
        self.emotions = {str(k).lower(): str(v).lower() for k, v in (emotions or {}).items()}
        self.num_test_folds = num_test_folds
        self.num_val_folds = num_val_folds
        check_seed("corpus.seed", seed)
        self.seed = seed
        self.name = name

    def check(self) -> None:
        """Read the rows' cells, and no more.

        Raises:
            InputError: As ``read`` does for the file, its columns and its paths.
        """
        self._read_table()

    def read(self) -> Annotations:
        """Read all rows; no clip is looked for.

        A row without path, transcript or emotion is recorded as a skip, as is one whose
        transcript is of more than 10,000 characters.

        Raises:
            InputError: If the file is missing or lacks a column, a path is an address, a split is
                unknown, an order is not a whole number, or a split cannot be made.
        """
        table = self._read_table()
        filled = (table[list(REQUIRED)] != "").all(axis=1)
        filled &= table["transcript"].str.len() <= MAX_TRANSCRIPT_CHARS
        if not filled.any():
            raise InputError(
                f"{self.csv}: expected at least one row with {', '.join(REQUIRED)}, found none; "
                "check that the file is complete"
            )
        rows, origin = self._with_splits(table[filled])
        return Annotations(
            corpus=self.name,
            utterances=self._utterances(rows),
            clips=ClipFiles(),
            skips=tuple(self._skip(row) for row in _as_text(table[~filled])),
            variant=str(self.root),
            split_origin=origin,
        )

    def _read_table(self) -> pd.DataFrame:
        if not self.csv.is_file():
            raise InputError(
                f"{self.csv}: expected a CSV with a row for each clip, found "
                f"{'a folder' if self.csv.is_dir() else 'nothing'}; give it with corpus.csv=FILE"
            )
        renamed = [c for c in OPTIONAL if self.columns[c] != c]
        required = [self.columns[c] for c in (*REQUIRED, *renamed)]
        remedy = "say what they are called with corpus.columns.emotion=NAME and the like"
        table = read_text_table(str(self.csv), self.csv, required, remedy)
        present = {c: table[found] for c, found in self.columns.items() if found in table}
        rows = pd.DataFrame({c: cells.str.strip() for c, cells in present.items()})
        self._check_lines(rows)
        self._check_addresses(rows["path"])
        unfilled = [c for c in OPTIONAL if c in rows and (rows[c] == "").all()]
        rows = rows.drop(columns=unfilled)
        emotion = rows["emotion"].str.lower()
        if self.emotions:
            emotion = emotion.map(lambda name: self.emotions.get(name, name))
        rows["emotion"] = emotion
        rows["line"] = range(2, len(rows) + 2)
        return rows

    def _check_lines(self, rows: pd.DataFrame) -> None:
        """A quotation mark that is not closed makes one row of several."""
        for column in rows:
            broken = rows[rows[column].str.contains("\n", regex=False)]
            if not broken.empty:
                raise InputError(
                    f"{self.csv}, row {broken.index[0] + 2}: expected one line in {column}, got "
                    f"several ({broken[column].iloc[0][:60]!r}…); close or double the quotation "
                    "marks of that row"
                )

    def _check_addresses(self, paths: pd.Series[str]) -> None:
        """Nothing is fetched, and FFmpeg's ways to name what is no file are not followed."""
        wrong = paths[paths.str.match(ADDRESS)]
        if not wrong.empty:
            raise InputError(
                f"{self.csv}, row {wrong.index[0] + 2}: expected the path of a file in "
                f"{self.columns['path']}, got the address '{wrong.iloc[0][:200]}'; fetch the clips "
                "and name their files"
            )

    def _with_splits(self, rows: pd.DataFrame) -> tuple[pd.DataFrame, str]:
        if "split" in rows:
            split = rows["split"].str.lower().replace(SPLIT_NAMES)
            wrong = rows[~split.isin(SPLITS)]
            if not wrong.empty:
                raise InputError(
                    f"{self.csv}, row {wrong['line'].iloc[0]}: expected a split out of "
                    f"{', '.join(SPLITS)}, got '{wrong['split'].iloc[0][:60]}'; correct the row, "
                    "or leave the column out to have a split made"
                )
            return rows.assign(split=split), "its own"
        group = next((c for c in ("speaker", "dialogue") if c in rows), "line")
        # Rare emotions are dealt with the most frequent one: too few for a stratum of their own.
        counts = rows["emotion"].value_counts()
        is_rare = rows["emotion"].map(counts) < self.num_test_folds + self.num_val_folds
        stratum = rows["emotion"].mask(is_rare, counts.index[0])
        pooled = rows.assign(key=rows["path"], split="", stratum=stratum)
        folds = (self.num_test_folds, self.num_val_folds)
        protocol = GroupDisjointSplit("table", [group], *folds, 0, self.seed, option="corpus")
        try:
            split = protocol.assign(pooled, "stratum")["split"]
        except InputError as error:
            raise InputError(
                f"{self.csv}: expected a column 'split', or rows that a split by {group} can be "
                f"made of ({error}); add that column, or follow what the brackets say"
            ) from error
        for name in SPLITS:
            there = rows["emotion"][split.to_numpy() == name].unique()
            absent = sorted(set(counts.index) - set(there))
            if absent:
                log.warning("%s: the split '%s' has no %s", self.csv.name, name, ", ".join(absent))
        origin = f"made here, by {'row' if group == 'line' else group}, seed {self.seed}"
        return rows.assign(split=split.to_numpy()), origin

    def _utterances(self, rows: pd.DataFrame) -> tuple[Utterance, ...]:
        """Number dialogues and the utterances in them; without dialogues each row is its own."""
        dialogue = rows["dialogue"] if "dialogue" in rows else rows["line"]
        dialogue_ids = pd.factorize(dialogue)[0]
        keys = rows["path"].tolist()
        for place in np.flatnonzero(rows["path"].duplicated()):
            keys[place] += f" (row {rows['line'].iloc[place]})"
        root = os.path.join(self.root, "")  # noqa: PTH118 (it ends in a separator)
        # By columns: a mapping for each of hundreds of thousands of rows takes seconds.
        none = [""] * len(rows)
        columns = zip(
            keys,
            rows["path"].tolist(),
            rows["sentiment"].str.lower().tolist() if "sentiment" in rows else none,
            rows["split"].tolist(),
            dialogue_ids.tolist(),
            self._places(rows, dialogue_ids),
            rows["speaker"].tolist() if "speaker" in rows else none,
            rows["transcript"].tolist(),
            rows["emotion"].tolist(),
            strict=True,
        )
        return tuple(
            Utterance(
                corpus=self.name,
                key=key,
                split=split,
                dialogue_id=number,
                utterance_id=place,
                speaker=speaker,
                transcript=text,
                emotion=emotion,
                media_path=_joined(root, path),
                sentiment=sentiment or None,
            )
            for key, path, sentiment, split, number, place, speaker, text, emotion in columns
        )

    def _places(self, rows: pd.DataFrame, dialogue_ids: NDArray[np.int64]) -> list[int]:
        """Each utterance's place in its dialogue: as the file has it, else by the order of rows."""
        places: list[int] = rows.groupby(dialogue_ids).cumcount().tolist()
        if "order" not in rows:
            return places
        for row, cell in enumerate(rows["order"]):
            given = cell.removesuffix(".0")
            number = whole_number(given) if given else places[row]
            if number is None:
                raise InputError(
                    f"{self.csv}, row {rows['line'].iloc[row]}: expected a whole number in "
                    f"{self.columns['order']}, got '{given[:60]}'; correct the row"
                )
            places[row] = number
        return places

    def _skip(self, row: dict[str, str]) -> Skip:
        empty = ", ".join(self.columns[c] for c in REQUIRED if not row[c])
        reason, detail = MISSING_FIELD, f"{empty} empty"
        if not empty:
            reason, detail = TOO_LONG, f"{len(row['transcript'])} characters"
        where = f"{self.csv}, row {row['line']}"
        split = str(row.get("split", "")).lower() or "none"
        key = row["path"] or f"row{row['line']}"
        return Skip(key, SPLIT_NAMES.get(split, split), reason, detail, where)


def _as_text(rows: pd.DataFrame) -> list[dict[str, str]]:
    return [{str(k): str(v) for k, v in row.items()} for row in rows.to_dict("records")]


def _joined(root: str, path: str) -> str:
    """``Path(root) / path`` as text, which costs ten times as much where the path is plain."""
    is_plain = os.sep == "/" and path[0] != "/" and path[-1] not in "/."
    if is_plain and "//" not in path and "./" not in path:
        return root + path
    return str(Path(root) / path)
