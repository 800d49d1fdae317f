"""MELD's annotations: three CSVs, one row for each utterance.

Source: Poria et al. 2019, "MELD: A Multimodal Multi-Party Dataset for Emotion Recognition in
Conversations", and the layout of its public archive.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from mmemo.corpora.annotations import Annotations
from mmemo.corpora.clips import ClipsBySplit
from mmemo.corpora.facts import CorpusFacts
from mmemo.corpora.meld_raw import MeldRaw
from mmemo.corpora.text_table import MAX_TRANSCRIPT_CHARS, TOO_LONG, read_text_table, whole_number
from mmemo.corpora.utterance import EMOTIONS, MISSING_FIELD, SPLITS, Skip, Utterance
from mmemo.errors import InputError

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

_TIME = re.compile(r"(\d{1,2}):(\d{2}):(\d{2})(?:[,.](\d{1,3}))?")
_C1_CONTROL = re.compile("[\x80-\x9f]")


def parse_time_s(text: str) -> float | None:
    """Seconds of a subtitle time such as ``00:16:16,059``; None where it is not one."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    hours, minutes, seconds, fraction = match.groups()
    whole = int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    return whole + float(f"0.{fraction or 0}")


def repair_mojibake(text: str) -> str:
    """Read code points 0x80-0x9f as the Windows-1252 characters that they once were.

    Older copies of MELD's CSVs have them for typographic quotes, dashes and dots. The five that
    Windows-1252 leaves undefined stay.
    """
    return _C1_CONTROL.sub(
        lambda found: found[0].encode("latin-1").decode("cp1252", errors="ignore") or found[0], text
    )


class MeldCorpus:
    """Reader of MELD.Raw, packed or unpacked.

    Args:
        root: Folder of MELD.Raw with the clips, in folders or in the three inner archives; may
            be None for what needs no clips.
        annotations: Folder with the three CSVs, where they are not beside the clips.
        use_final_videos: Take the ``final_videos_test…`` version of a test clip where there is
            one. Which file was taken is recorded for each utterance.
        name: What the corpus is called in reports and in the prepared corpus' name.
        facts: What is documented of it.
    """

    def __init__(
        self,
        root: str | Path | None,
        annotations: str | Path | None = None,
        use_final_videos: bool = False,
        name: str = "meld",
        facts: CorpusFacts | None = None,
    ) -> None:
        self.root = Path(root).absolute() if root is not None else None
        annotations = Path(annotations).absolute() if annotations is not None else None
        self.raw = MeldRaw(self.root, annotations, use_final_videos)
        self.name = name
        self.facts = facts

    @property
    def has_clips(self) -> bool:
        """Whether it was told where the clips are."""
        return self.root is not None

    def check(self) -> None:
        """Look for the files; archives are not searched.

        Raises:
            InputError: If the folder or a CSV is missing or of the wrong kind.
        """
        if self.root is not None and not self.root.is_dir():
            raise InputError(
                f"corpus {self.name}: expected the folder of MELD.Raw at {self.root}, "
                f"{'found a file' if self.root.exists() else 'found nothing'}; "
                "give it with corpus.root=DIR"
            )
        self.raw.check_annotations()

    def read(self) -> Annotations:
        """Read the annotations of all splits; no clip is looked for.

        A row that lacks its utterance, emotion or ids is recorded as a skip, as is one whose
        utterance is of more than 10,000 characters.

        Raises:
            InputError: If a file or folder is missing or of the wrong kind, a column is missing,
                an emotion is unknown, an id is not a whole number, a key stands twice, or a
                split has no usable row.
        """
        self.check()
        utterances: dict[str, list[Utterance]] = {}
        skips: list[Skip] = []
        num_repaired = {}
        for split in SPLITS:
            where, file = self.raw.annotation_file(split)
            remedy = "use the official CSV or rename its columns"
            table = read_text_table(where, file, REQUIRED_COLUMNS, remedy)
            cells = table.to_numpy(dtype=object).tolist()
            damaged = [i for i, row in enumerate(cells) if _C1_CONTROL.search(" ".join(row))]
            for index in damaged:
                cells[index] = [repair_mojibake(cell) for cell in cells[index]]
            num_repaired[split] = len(damaged)
            rows = list(self._parse_rows(list(table.columns), cells, split, where))
            utterances[split] = [row for row in rows if isinstance(row, Utterance)]
            skips += [row for row in rows if isinstance(row, Skip)]
            _check_usable(utterances[split], split, where)
        sources = {split: self.raw.clip_source(split, rows) for split, rows in utterances.items()}
        return Annotations(
            corpus=self.name,
            utterances=tuple(u for rows in utterances.values() for u in rows),
            clips=ClipsBySplit(sources),
            skips=tuple(skips),
            num_repaired=num_repaired,
            variant="final videos" if self.raw.use_final_videos else "",
            facts=self.facts,
        )

    def _parse_rows(
        self, columns: list[str], cells: list[list[str]], split: str, where: str
    ) -> Iterator[Utterance | Skip]:
        folder = str(self.raw.clip_path(split, "").absolute())
        for line, row in enumerate(cells, start=2):
            yield self._parse_row(dict(zip(columns, row, strict=True)), split, folder, where, line)

    def _parse_row(
        self, row: dict[str, str], split: str, folder: str, where: str, line: int
    ) -> Utterance | Skip:
        missing = [column for column in MUST_BE_FILLED if not row[column].strip()]
        if missing:
            key = f"{split}/row{line}"
            detail = f"{', '.join(missing)} empty"
            return Skip(key, split, MISSING_FIELD, detail, f"{where}, row {line}")
        length = len(row["Utterance"])
        if length > MAX_TRANSCRIPT_CHARS:
            detail = f"{length} characters"
            return Skip(f"{split}/row{line}", split, TOO_LONG, detail, f"{where}, row {line}")
        emotion = row["Emotion"].strip().lower()
        if emotion not in EMOTIONS:
            raise InputError(
                f"{where}, row {line}: expected an emotion out of {', '.join(EMOTIONS)}, "
                f"got '{row['Emotion'][:60]}'; correct the row"
            )
        dialogue_id = _parse_id(row, "Dialogue_ID", where, line)
        utterance_id = _parse_id(row, "Utterance_ID", where, line)
        name = f"dia{dialogue_id}_utt{utterance_id}"
        return Utterance(
            corpus=self.name,
            key=f"{split}/{name}",
            split=split,
            dialogue_id=dialogue_id,
            utterance_id=utterance_id,
            speaker=row["Speaker"].strip(),
            transcript=row["Utterance"].strip(),
            emotion=emotion,
            media_path=f"{folder}{os.sep}{name}.mp4",
            sentiment=row.get("Sentiment", "").strip().lower() or None,
            season=whole_number(row.get("Season", "")),
            episode=whole_number(row.get("Episode", "")),
            start_s=parse_time_s(row.get("StartTime", "")),
            end_s=parse_time_s(row.get("EndTime", "")),
        )


def _check_usable(utterances: list[Utterance], split: str, where: str) -> None:
    if not utterances:
        raise InputError(
            f"{where}: expected at least one usable row for the split '{split}', found none; "
            "check that the file is complete"
        )
    seen: set[str] = set()
    for utterance in utterances:
        if utterance.key in seen:
            raise InputError(
                f"{where}: expected each pair of Dialogue_ID and Utterance_ID once, got "
                f"{utterance.key} twice; remove one of the rows"
            )
        seen.add(utterance.key)


def _parse_id(row: dict[str, str], column: str, where: str, line: int) -> int:
    number = whole_number(row[column])
    if number is None:
        raise InputError(
            f"{where}, row {line}: expected a whole number in {column}, got "
            f"'{row[column][:60]}'; correct the row"
        )
    return number
