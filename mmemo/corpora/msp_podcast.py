"""MSP-Podcast: turns of podcasts, each with the label that most of its raters gave.

Source: Lotfian and Busso 2019, "Building naturalistic emotionally balanced speech corpus by
retrieving emotional speech from existing podcast recordings", and the readme of its releases:
``Labels/labels_consensus.csv`` (or ``.json``) has a row for each file, ``Audios`` the WAVs,
``Transcripts`` a text file for each that is transcribed.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from mmemo.corpora.annotations import Annotations
from mmemo.corpora.clips import ClipFiles
from mmemo.corpora.facts import CorpusFacts
from mmemo.corpora.release_files import read_json, read_lines, text_files
from mmemo.corpora.text_table import read_text_table
from mmemo.corpora.utterance import MISSING_FIELD, NO_AGREEMENT, SPLITS, Skip, Utterance
from mmemo.errors import InputError

log = logging.getLogger(__name__)

COLUMNS = ("FileName", "EmoClass", "SpkrID", "Split_Set")
LABEL_FILES = tuple(
    f"{folder}/labels_{spelling}.{kind}"
    for kind in ("csv", "json")
    for folder in ("Labels", "label")
    # Releases before 1.11 have the name with a c.
    for spelling in ("consensus", "concensus")
)
SOUND_FOLDERS = ("Audios", "Audio")
TRANSCRIPTS = "Transcripts"

NO_MAJORITY = "X"
EMOTIONS = {
    "A": "anger",
    "C": "contempt",
    "D": "disgust",
    "F": "fear",
    "H": "joy",
    "N": "neutral",
    "O": "other",
    "S": "sadness",
    "U": "surprise",
}
"""What the letters of EmoClass are called here."""

PARTITIONS = {"Train": "train", "Development": "val", "Validation": "val"}
TEST_PARTITIONS = ("Test1", "Test2", "Test3")
OTHER_PARTITION = "test partition not chosen"
"""Reason to leave out a row of a test partition that is not tested."""


@dataclass(frozen=True)
class _Turn:
    """A row of the consensus labels."""

    FileName: str
    EmoClass: str
    SpkrID: str
    Split_Set: str
    where: str


@dataclass(frozen=True)
class _JsonTurn:
    EmoClass: str
    SpkrID: str | int
    Split_Set: str


_JSON = TypeAdapter(Mapping[str, _JsonTurn])


class MspPodcastCorpus:
    """Reader of a release of MSP-Podcast.

    ``session`` is the podcast, the first number of a file's name. Turns are no dialogues here:
    those of one podcast that others rated are not all in the release, and may be in other
    partitions.

    Args:
        root: Folder with ``Labels`` and ``Audios``.
        test_partitions: Which of Test1, Test2 and Test3 are tested. Turns of the others are left
            out: they share speakers with the chosen ones, and must not train.
        transcripts: Whether to read ``Transcripts``, of which each is a file.
        name: What the corpus is called in reports and in the prepared corpus' name.
        facts: What is documented of it.

    Raises:
        InputError: If a partition is none of the three.
    """

    def __init__(
        self,
        root: str | Path,
        test_partitions: Sequence[str] = ("Test1",),
        transcripts: bool = True,
        name: str = "msp_podcast",
        facts: CorpusFacts | None = None,
    ) -> None:
        self.root = Path(root).absolute()
        unknown = [p for p in test_partitions if p not in TEST_PARTITIONS]
        if unknown or not test_partitions:
            raise InputError(
                f"corpus.test_partitions: expected some of {', '.join(TEST_PARTITIONS)}, got "
                f"{', '.join(map(str, unknown)) or 'none'}"
            )
        self.test_partitions = tuple(test_partitions)
        self.transcripts = transcripts
        self.sounds = next(
            (self.root / n for n in SOUND_FOLDERS if (self.root / n).is_dir()),
            self.root / SOUND_FOLDERS[0],
        )
        self.name = name
        self.facts = facts

    @property
    def has_clips(self) -> bool:
        """Whether the folder of the sound is there."""
        return self.sounds.is_dir()

    def check(self) -> None:
        """Look for the labels.

        Raises:
            InputError: If there are none.
        """
        self._label_file()

    def read(self) -> Annotations:
        """Read the consensus labels and the transcripts.

        A turn without a label, or whose raters had no majority, is recorded as a skip, as is one
        of a test partition that was not chosen. A turn that is not transcribed has an empty
        transcript.

        Raises:
            InputError: If a file is missing or is not of its format, a label or partition is
                unknown, a turn stands twice, or a split has no turn.
        """
        texts = self._texts()
        rows = [self._row(turn, index, texts) for index, turn in enumerate(self._turns())]
        utterances = [row for row in rows if isinstance(row, Utterance)]
        self._check_splits(utterances)
        num_silent = sum(not u.transcript for u in utterances)
        if self.transcripts and num_silent:
            example = next(u.key for u in utterances if not u.transcript)
            log.warning(
                "corpus %s: %d of %d labelled turns have no transcript, as %s",
                *(self.name, num_silent, len(utterances), example),
            )
        variant = "" if self.test_partitions == ("Test1",) else " ".join(self.test_partitions)
        return Annotations(
            corpus=self.name,
            utterances=tuple(utterances),
            clips=ClipFiles(),
            skips=tuple(row for row in rows if isinstance(row, Skip)),
            variant=variant,
            facts=self.facts,
            no_transcripts=self._no_transcripts(num_silent == len(utterances)),
        )

    def _no_transcripts(self, are_absent: bool) -> str:
        if not are_absent:
            return ""
        found = "none there" if self.transcripts else "corpus.transcripts=false"
        return (
            f"corpus {self.name}: expected transcripts in {self.root / TRANSCRIPTS}, found "
            f"{found}; unpack and read them, or train on sound alone with text_encoder=none"
        )

    def _label_file(self) -> Path:
        for name in LABEL_FILES:
            if (self.root / name).is_file():
                return self.root / name
        found = "no such file" if self.root.is_dir() else "nothing"
        raise InputError(
            f"corpus {self.name}: expected {LABEL_FILES[0]} below {self.root}, found {found}; give "
            "the folder of the release with corpus.root=DIR"
        )

    def _turns(self) -> Iterator[_Turn]:
        """The rows of the label file.

        Raises:
            InputError: If a file's name stands twice.
        """
        path = self._label_file()
        seen: set[str] = set()
        turns = _json_turns(path) if path.suffix == ".json" else _csv_turns(path)
        for turn in turns:
            if turn.FileName in seen:
                raise InputError(
                    f"{turn.where}: expected each file once, got {turn.FileName} twice; unpack the "
                    "corpus again"
                )
            seen.add(turn.FileName)
            yield turn

    def _texts(self) -> dict[str, str]:
        """The words of each transcribed turn, by the stem of its file's name."""
        if not self.transcripts:
            return {}
        files = text_files(self.root / TRANSCRIPTS)
        return {file.stem: " ".join(" ".join(read_lines(file)).split()) for file in files}

    def _row(self, turn: _Turn, index: int, texts: Mapping[str, str]) -> Utterance | Skip:
        name = turn.FileName
        if turn.Split_Set in TEST_PARTITIONS:
            split = "test"
        elif turn.Split_Set in PARTITIONS:
            split = PARTITIONS[turn.Split_Set]
        else:
            raise InputError(
                f"{turn.where}: expected Split_Set to be one of "
                f"{', '.join((*PARTITIONS, *TEST_PARTITIONS))}, got '{turn.Split_Set[:60]}'; "
                "unpack the corpus again"
            )
        if split == "test" and turn.Split_Set not in self.test_partitions:
            return Skip(name, split, OTHER_PARTITION, turn.Split_Set, turn.where)
        if not turn.EmoClass:
            return Skip(name, split, MISSING_FIELD, "EmoClass empty", turn.where)
        if turn.EmoClass == NO_MAJORITY:
            return Skip(name, split, NO_AGREEMENT, "", turn.where)
        if turn.EmoClass not in EMOTIONS:
            raise InputError(
                f"{turn.where}: expected EmoClass to be one of "
                f"{', '.join((*EMOTIONS, NO_MAJORITY))}, got '{turn.EmoClass[:60]}'; unpack the "
                "corpus again"
            )
        podcast = re.match(r"MSP-PODCAST_(\d+)_", name)
        return Utterance(
            corpus=self.name,
            key=name,
            split=split,
            dialogue_id=index,
            utterance_id=0,
            speaker="" if turn.SpkrID.lower().startswith("unknown") else turn.SpkrID,
            transcript=texts.get(name.removesuffix(".wav"), ""),
            emotion=EMOTIONS[turn.EmoClass],
            media_path=str(self.sounds / name),
            session=podcast[1] if podcast else None,
        )

    def _check_splits(self, utterances: Sequence[Utterance]) -> None:
        there = {u.split for u in utterances}
        absent = [split for split in SPLITS if split not in there]
        if absent:
            raise InputError(
                f"{self._label_file()}: expected labelled turns of Train, Development and "
                f"{', '.join(self.test_partitions)}, found none for {', '.join(absent)}; choose "
                "another corpus.test_partitions (Test3 is released without labels), or unpack the "
                "corpus again"
            )


def _csv_turns(path: Path) -> Iterator[_Turn]:
    table = read_text_table(str(path), path, COLUMNS, "use the file of the release")
    columns = [table[column].str.strip().tolist() for column in COLUMNS]
    for line, (name, label, speaker, split) in enumerate(zip(*columns, strict=True), start=2):
        yield _Turn(name, label, speaker, split, f"{path}, row {line}")


def _json_turns(path: Path) -> Iterator[_Turn]:
    for name, cells in read_json(path, _JSON, "MSP-Podcast's labels by file").items():
        speaker = str(cells.SpkrID)
        yield _Turn(name, cells.EmoClass, speaker, cells.Split_Set, f"{path}, {name}")
