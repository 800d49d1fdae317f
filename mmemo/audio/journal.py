"""The journal of a preparation: what is finished, and where its samples lie."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType

from mmemo.audio.prepared import AUDIO_FILE, JOURNAL_FILE

BYTES_PER_SAMPLE = 2


@dataclass(frozen=True)
class Record:
    """What became of one utterance; a line of the journal.

    ``source_bytes`` is the clip's size when it was read (-1 where it was missing): a clip whose
    size has changed since is prepared again.
    """

    key: str
    status: str
    reason: str
    detail: str
    offset: int
    num_samples: int
    crc32: int
    source_bytes: int
    source_rate: int
    channel_layout: str

    def to_line(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self)) + "\n"


def read_records(folder: Path) -> dict[str, Record]:
    """Finished utterances by key; a torn last line and what its samples lack are left out."""
    path = folder / JOURNAL_FILE
    if not path.is_file():
        return {}
    audio = folder / AUDIO_FILE
    written = audio.stat().st_size // BYTES_PER_SAMPLE if audio.is_file() else 0
    records = {}
    for line in path.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        record = Record(**json.loads(line))
        if record.offset + record.num_samples > written:
            break
        records[record.key] = record
    return records


class JournalWriter:
    """Appends samples and then their record, so that a record never lacks its samples.

    Args:
        folder: The prepared corpus' folder.
        records: What is finished already; samples and lines beyond it are cut off.
    """

    def __init__(self, folder: Path, records: dict[str, Record]) -> None:
        self.records = records
        self._end = max((r.offset + r.num_samples for r in records.values()), default=0)
        temporary = folder / f"{JOURNAL_FILE}.tmp"
        temporary.write_text("".join(r.to_line() for r in records.values()), encoding="utf-8")
        temporary.replace(folder / JOURNAL_FILE)
        self._audio = (folder / AUDIO_FILE).open("ab")
        self._audio.truncate(self._end * BYTES_PER_SAMPLE)
        self._journal = (folder / JOURNAL_FILE).open("a", encoding="utf-8")

    def append(self, record: Record, samples: bytes) -> None:
        """Write one finished utterance; its offset is set here."""
        placed = replace(record, offset=self._end)
        self._audio.write(samples)
        self._audio.flush()
        self._journal.write(placed.to_line())
        self._journal.flush()
        self._end += placed.num_samples
        self.records[placed.key] = placed

    def __enter__(self) -> JournalWriter:
        """The writer itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close both files."""
        self._audio.close()
        self._journal.close()
