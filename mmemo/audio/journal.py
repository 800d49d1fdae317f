"""The journal of a preparation: what is finished, and where its samples lie."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from mmemo.audio.prepared import AUDIO_SUFFIX, BYTES_PER_SAMPLE, JOURNAL_SUFFIX
from mmemo.corpora.clips import Done, Prepared, file_name


@dataclass(frozen=True)
class Shard:
    """One of several processes that prepare a corpus together, each a part of its clips.

    Args:
        index: Which one, in [0, count).
        count: How many; 1 to prepare the whole.
    """

    index: int = 0
    count: int = 1

    def takes(self, position: int) -> bool:
        """Whether the utterance at a position of the corpus is this shard's."""
        return position % self.count == self.index

    @property
    def name(self) -> str:
        """Stem of its files."""
        return "audio" if self.count == 1 else f"audio-{self.index}-of-{self.count}"


@dataclass(frozen=True)
class Record:
    """What became of one utterance; a line of the journal.

    Args:
        key: The utterance's key.
        status: "kept" or "skipped".
        reason: Why it was skipped, a short fixed phrase.
        detail: Why just this clip was skipped.
        audio_file: Name of the file with its samples.
        offset: Place of the first sample in that file.
        num_samples: How many samples there are.
        crc32: Checksum of the samples' bytes.
        source: The file, or ``archive:member``, that was taken.
        source_bytes: Its size when it was read (-1 where it could not be): a clip whose name,
            size or time has changed since is prepared again.
        source_modified_s: When it was last changed, in whole seconds since 1970.
        source_rate: Rate of the clip's sound, in Hz.
        source_duration_s: Length of the clip's sound, before anything was cut.
        channel_layout: Channels of the clip's sound, such as "stereo".
        level_before_db: Its level as it was decoded, in dB of full scale; None where it is skipped.
        level_after_db: Its level after denoising, in dB of full scale; None where it is skipped.
        source_crc32: Checksum of a clip out of an archive; 0 for a file of its own.
        num_packets: Of how many packets the clip's sound track consists; None where it was not
            counted.
        num_bad_packets: How many of them could not be decoded and were left out.
        note: What else a user should know of the clip's sound, in words.
        revision: How often it was prepared before; the highest one counts.
    """

    key: str
    status: str
    reason: str
    detail: str
    audio_file: str
    offset: int
    num_samples: int
    crc32: int
    source: str
    source_bytes: int
    source_modified_s: int
    source_rate: int
    source_duration_s: float
    channel_layout: str
    level_before_db: float | None = None
    level_after_db: float | None = None
    source_crc32: int = 0
    num_packets: int | None = None
    num_bad_packets: int | None = None
    note: str = ""
    revision: int = 0

    def to_line(self) -> str:
        """One line of JSON."""
        return json.dumps(vars(self)) + "\n"


def read_records(folder: Path) -> dict[str, Record]:
    """Finished utterances by key, of all shards."""
    records: dict[str, Record] = {}
    for journal in sorted(folder.glob(f"*{JOURNAL_SUFFIX}")):
        for record in _read_journal(journal):
            other = records.get(record.key)
            if other is None or record.revision >= other.revision:
                records[record.key] = record
    return records


def done_of(records: Iterable[Record], is_verified: bool = True) -> Done:
    """Which clips the records are of.

    Args:
        records: What is finished.
        is_verified: Whether the archives that they came out of were read to their ends.
    """
    return {
        r.key: Prepared(
            file_name(r.source),
            r.source_bytes,
            r.source_modified_s,
            r.source_crc32,
            is_verified or not r.source_crc32,
        )
        for r in records
    }


def _read_journal(path: Path) -> Iterator[Record]:
    """Records of one journal; a torn last line and what its samples lack are left out."""
    audio = path.with_name(path.name.removesuffix(JOURNAL_SUFFIX) + AUDIO_SUFFIX)
    written = audio.stat().st_size // BYTES_PER_SAMPLE if audio.is_file() else 0
    for line in path.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):
            return
        try:
            record = Record(**json.loads(line))
            is_torn = record.offset + record.num_samples > written
        # A damaged line ends the journal as a torn one does: what is behind it is done again.
        except (ValueError, TypeError, RecursionError):
            return
        if is_torn:
            return
        yield record


class JournalWriter:
    """Appends samples and then their record, so that a record never lacks its samples.

    Args:
        folder: The prepared corpus' folder.
        shard: Whose files to write.
        records: What is finished already, of all shards.
    """

    def __init__(self, folder: Path, shard: Shard, records: dict[str, Record]) -> None:
        self.records = records
        self._audio_path = folder / f"{shard.name}{AUDIO_SUFFIX}"
        journal = folder / f"{shard.name}{JOURNAL_SUFFIX}"
        own = list(_read_journal(journal)) if journal.is_file() else []
        self._end = max((r.offset + r.num_samples for r in own), default=0)
        temporary = journal.with_suffix(".tmp")
        temporary.write_text("".join(r.to_line() for r in own), encoding="utf-8")
        temporary.replace(journal)
        self._audio = self._audio_path.open("ab")
        self._audio.truncate(self._end * BYTES_PER_SAMPLE)
        self._journal = journal.open("a", encoding="utf-8")

    def append(self, record: Record, samples: bytes) -> None:
        """Write one finished utterance; its place and revision are set here."""
        earlier = self.records.get(record.key)
        placed = replace(
            record,
            audio_file=self._audio_path.name,
            offset=self._end,
            revision=earlier.revision + 1 if earlier else 0,
        )
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
