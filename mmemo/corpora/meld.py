"""MELD.Raw's layout on disk: three CSVs and three folders of clips.

Source: Poria et al. 2019, "MELD: A Multimodal Multi-Party Dataset for Emotion Recognition in
Conversations", and the layout of its public archive.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mmemo.corpora.utterance import EMOTIONS, SPLITS, Annotations, Skip, Utterance
from mmemo.errors import InputError


@dataclass(frozen=True)
class SplitLayout:
    """Names that MELD.Raw uses for one split."""

    annotations: str
    clips: str


LAYOUT = {
    "train": SplitLayout("train_sent_emo.csv", "train_splits"),
    "val": SplitLayout("dev_sent_emo.csv", "dev_splits_complete"),
    "test": SplitLayout("test_sent_emo.csv", "output_repeated_splits_test"),
}

COLUMNS = (
    "Sr No.",
    "Utterance",
    "Speaker",
    "Emotion",
    "Sentiment",
    "Dialogue_ID",
    "Utterance_ID",
    "Season",
    "Episode",
    "StartTime",
    "EndTime",
)
REQUIRED_COLUMNS = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")
MUST_BE_FILLED = ("Utterance", "Emotion", "Dialogue_ID", "Utterance_ID")

_TIME = re.compile(r"(\d{1,2}):(\d{2}):(\d{2})[,.](\d{1,3})")


def parse_time_s(text: str) -> float | None:
    """Seconds of a subtitle time such as ``00:16:16,059``; None where it is not one."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    hours, minutes, seconds, fraction = match.groups()
    whole = int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    return whole + float(f"0.{fraction}")


class MeldCorpus:
    """Reader of MELD.Raw, unpacked.

    Args:
        root: Folder with ``{train,dev,test}_sent_emo.csv`` and the clip folders
            ``train_splits``, ``dev_splits_complete``, ``output_repeated_splits_test``.
        name: What the corpus is called in reports and in the prepared corpus' name.
    """

    def __init__(self, root: str | Path, name: str = "meld") -> None:
        self.root = Path(root).absolute()
        self.name = name

    def read(self) -> Annotations:
        """Read the annotations of all splits; no clip is opened.

        A row that lacks its utterance, emotion or ids is recorded as a skip.

        Raises:
            InputError: If a file or folder is missing or of the wrong kind, a column is missing,
                an emotion is unknown, an id is not a whole number, a key stands twice, or a
                split has no usable row.
        """
        if not self.root.is_dir():
            raise InputError(
                f"corpus {self.name}: expected the folder of MELD.Raw at {self.root}, "
                f"{'found a file' if self.root.exists() else 'found nothing'}; "
                "give it with corpus.root=DIR"
            )
        utterances: list[Utterance] = []
        skips: list[Skip] = []
        for split in SPLITS:
            before = len(utterances)
            for row in self._read_split(split):
                if isinstance(row, Skip):
                    skips.append(row)
                else:
                    utterances.append(row)
            if len(utterances) == before:
                raise InputError(
                    f"{self.root / LAYOUT[split].annotations}: expected at least one usable row "
                    f"for the split '{split}', found none; check that the file is complete"
                )
        self._check_unique(utterances)
        return Annotations(self.name, tuple(utterances), tuple(skips))

    def _read_split(self, split: str) -> Iterator[Utterance | Skip]:
        path = self.root / LAYOUT[split].annotations
        clips = self.root / LAYOUT[split].clips
        table = read_annotation_table(path)
        if not clips.is_dir():
            raise InputError(
                f"{clips}: expected the folder with the clips of the split '{split}', "
                f"{'found a file' if clips.exists() else 'found nothing'}; unpack MELD.Raw's "
                f"archive of that split into {self.root}"
            )
        for line, row in enumerate(table.to_dict("records"), start=2):
            yield self._parse_row({str(k): str(v) for k, v in row.items()}, split, path, line)

    def _parse_row(
        self, row: dict[str, str], split: str, path: Path, line: int
    ) -> Utterance | Skip:
        where = f"{path}, row {line}"
        missing = [column for column in MUST_BE_FILLED if not row[column].strip()]
        if missing:
            key = f"{split}/row{line}"
            return Skip(key, split, "missing field", f"{', '.join(missing)} empty", where)
        emotion = row["Emotion"].strip().lower()
        if emotion not in EMOTIONS:
            raise InputError(
                f"{where}: expected an emotion out of {', '.join(EMOTIONS)}, "
                f"got '{row['Emotion']}'; correct the row"
            )
        dialogue_id = _parse_id(row["Dialogue_ID"], "Dialogue_ID", where)
        utterance_id = _parse_id(row["Utterance_ID"], "Utterance_ID", where)
        clip = self.root / LAYOUT[split].clips / f"dia{dialogue_id}_utt{utterance_id}.mp4"
        return Utterance(
            corpus=self.name,
            split=split,
            dialogue_id=dialogue_id,
            utterance_id=utterance_id,
            speaker=row["Speaker"].strip(),
            transcript=row["Utterance"].strip(),
            emotion=emotion,
            media_path=clip,
            sentiment=row.get("Sentiment", "").strip().lower() or None,
            season=_parse_optional_id(row.get("Season", "")),
            episode=_parse_optional_id(row.get("Episode", "")),
            start_s=parse_time_s(row.get("StartTime", "")),
            end_s=parse_time_s(row.get("EndTime", "")),
        )

    def _check_unique(self, utterances: list[Utterance]) -> None:
        seen: set[str] = set()
        for utterance in utterances:
            if utterance.key in seen:
                raise InputError(
                    f"{self.root / LAYOUT[utterance.split].annotations}: expected each pair of "
                    f"Dialogue_ID and Utterance_ID once, got {utterance.key} twice; "
                    "remove one of the rows"
                )
            seen.add(utterance.key)


def read_annotation_table(path: Path) -> pd.DataFrame:
    """Read one of MELD's CSVs with every cell as text; empty cells are ''.

    Raises:
        InputError: If it is missing, not a file, not UTF-8 CSV, or lacks a required column.
    """
    if not path.is_file():
        raise InputError(
            f"{path}: expected an annotation CSV, "
            f"{'found a folder' if path.is_dir() else 'found nothing'}; "
            "put the CSVs of MELD.Raw beside the clip folders"
        )
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: expected a UTF-8 CSV with a header, could not read it ({error}); "
            "get the file again or save it as UTF-8"
        ) from error
    missing = [column for column in REQUIRED_COLUMNS if column not in table.columns]
    if missing:
        raise InputError(
            f"{path}: expected the columns {', '.join(REQUIRED_COLUMNS)}, "
            f"missing {', '.join(missing)} (found {', '.join(map(str, table.columns))}); "
            "use the official CSV or rename its columns"
        )
    return table.fillna("")


def _parse_id(text: str, column: str, where: str) -> int:
    if not text.strip().isdecimal():
        raise InputError(
            f"{where}: expected a whole number in {column}, got '{text}'; correct the row"
        )
    return int(text)


def _parse_optional_id(text: str) -> int | None:
    return int(text) if text.strip().isdecimal() else None
