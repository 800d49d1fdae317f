"""M3ED: dialogues of two speakers from Chinese television series, one JSON for all of them.

Source: Zhao et al. 2022, "M3ED: Multi-modal Multi-scene Multi-label Emotional Dialogue Database",
and the layout of its release: ``annotation.json`` has the dialogues by series,
``splitInfo/movie_list_train.txt`` and so on the series of each split, and
``modality_speech/A_anjia_1_1.wav`` the sound of an utterance, named by speaker and utterance.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pydantic import TypeAdapter

from mmemo.corpora.annotations import Annotations
from mmemo.corpora.clips import ClipFiles
from mmemo.corpora.facts import CorpusFacts
from mmemo.corpora.ratings import rate
from mmemo.corpora.release_files import read_json, read_lines
from mmemo.corpora.utterance import MISSING_FIELD, SPLITS, Skip, Utterance
from mmemo.errors import InputError

ANNOTATION = "annotation.json"
SOUND_FOLDERS = ("modality_speech", "M3ED_audio/modality_speech")
EMOTIONS = {
    "Anger": "anger",
    "Disgust": "disgust",
    "Fear": "fear",
    "Happy": "joy",
    "Neutral": "neutral",
    "Sad": "sadness",
    "Surprise": "surprise",
}
"""What the release's labels are called here."""


@dataclass(frozen=True)
class _Labels:
    final_main_emo: str | None = None
    EmoAnnotator1: str | None = None
    EmoAnnotator2: str | None = None
    EmoAnnotator3: str | None = None

    def votes(self) -> dict[str, int]:
        """How many annotators chose each emotion; one may choose several."""
        given = (self.EmoAnnotator1, self.EmoAnnotator2, self.EmoAnnotator3)
        names = [name for cell in given for name in re.findall(r"[A-Z][a-z]+", cell or "")]
        return dict(Counter(EMOTIONS[name] for name in names if name in EMOTIONS))


@dataclass(frozen=True)
class _Speaker:
    Name: str | None = None


@dataclass(frozen=True)
class _Line:
    Speaker: str
    EmoAnnotation: _Labels
    Text: str | None = None


@dataclass(frozen=True)
class _Dialogue:
    SpeakerInfo: Mapping[str, _Speaker]
    Dialog: Mapping[str, _Line]


_RELEASE = TypeAdapter(Mapping[str, Mapping[str, _Dialogue]])


class M3edCorpus:
    """Reader of M3ED's release.

    ``session`` is the series; no series is in two splits of M3ED's own. A speaker is a series and
    the name of a character in it.

    Args:
        root: Folder with ``annotation.json`` and ``splitInfo``.
        sounds: Folder of the WAVs; None to look for ``modality_speech`` in ``root``.
        name: What the corpus is called in reports and in the prepared corpus' name.
        facts: What is documented of it.
    """

    def __init__(
        self,
        root: str | Path,
        sounds: str | Path | None = None,
        name: str = "m3ed",
        facts: CorpusFacts | None = None,
    ) -> None:
        self.root = Path(root).absolute()
        places = [Path(sounds).absolute()] if sounds is not None else []
        places += [self.root / folder for folder in SOUND_FOLDERS]
        self.sounds = next((place for place in places if place.is_dir()), places[0])
        self.name = name
        self.facts = facts

    @property
    def has_clips(self) -> bool:
        """Whether the folder of the sound is there."""
        return self.sounds.is_dir()

    def check(self) -> None:
        """Look for the annotations.

        Raises:
            InputError: If a file is missing.
        """
        files = [self.root / ANNOTATION, *map(self._series_list, SPLITS)]
        absent = [str(file.relative_to(self.root)) for file in files if not file.is_file()]
        if absent:
            raise InputError(
                f"corpus {self.name}: expected M3ED's release at {self.root}, missing "
                f"{', '.join(absent)}; give its folder with corpus.root=DIR"
            )

    def read(self) -> Annotations:
        """Read all dialogues, the utterances of each in their order.

        An utterance without a label is recorded as a skip.

        Raises:
            InputError: If a file is missing or is not of its format, a label is unknown, a series
                is in no split or in two, or an utterance stands twice.
        """
        self.check()
        release = read_json(self.root / ANNOTATION, _RELEASE, "M3ED's dialogues by series")
        splits = self._splits()
        absent = [series for series in release if series not in splits]
        if absent:
            raise InputError(
                f"{self.root / 'splitInfo'}: expected each series in one list, missing "
                f"{', '.join(absent[:5])}; unpack the corpus again"
            )
        rows = list(self._rows(release, splits))
        utterances = tuple(row for row in rows if isinstance(row, Utterance))
        votes = [json.loads(row.ratings or "{}") for row in utterances]
        if not utterances:
            raise InputError(
                f"{self.root / ANNOTATION}: expected labelled utterances, found none; unpack the "
                "corpus again"
            )
        return Annotations(
            corpus=self.name,
            utterances=utterances,
            clips=ClipFiles(),
            skips=tuple(row for row in rows if isinstance(row, Skip)),
            facts=self.facts,
            agreement=rate(votes, pd.RangeIndex(len(votes)), "skip").agreement,
        )

    def _series_list(self, split: str) -> Path:
        return self.root / "splitInfo" / f"movie_list_{split}.txt"

    def _splits(self) -> dict[str, str]:
        """The split of each series."""
        splits: dict[str, str] = {}
        for split in SPLITS:
            for series in filter(None, map(str.strip, read_lines(self._series_list(split)))):
                if splits.setdefault(series, split) != split:
                    raise InputError(
                        f"{self._series_list(split)}: expected each series in one list, found "
                        f"{series} in that of {splits[series]} too; unpack the corpus again"
                    )
        return splits

    def _rows(
        self, release: Mapping[str, Mapping[str, _Dialogue]], splits: Mapping[str, str]
    ) -> Iterator[Utterance | Skip]:
        dialogue_id = 0
        seen: set[str] = set()
        for series, dialogues in release.items():
            for dialogue in dialogues.values():
                # A file that was written anew may have "_10" before "_2".
                for key in sorted(dialogue.Dialog, key=_last_number):
                    if key in seen:
                        raise InputError(
                            f"{self.root / ANNOTATION}: expected each utterance once, got {key} "
                            "twice; unpack the corpus again"
                        )
                    seen.add(key)
                    yield self._row(key, dialogue, (series, splits[series]), dialogue_id)
                dialogue_id += 1

    def _row(
        self, key: str, dialogue: _Dialogue, place: tuple[str, str], dialogue_id: int
    ) -> Utterance | Skip:
        series, split = place
        line = dialogue.Dialog[key]
        label = (line.EmoAnnotation.final_main_emo or "").strip()
        where = f"{self.root / ANNOTATION}, {key}"
        if not label:
            return Skip(key, split, MISSING_FIELD, "final_main_emo empty", where)
        if label not in EMOTIONS:
            raise InputError(
                f"{where}: expected a label out of {', '.join(EMOTIONS)}, got '{label[:60]}'; "
                "unpack the corpus again"
            )
        speaker = dialogue.SpeakerInfo.get(line.Speaker, _Speaker()).Name
        return Utterance(
            corpus=self.name,
            key=key,
            split=split,
            dialogue_id=dialogue_id,
            utterance_id=_last_number(key),
            speaker=f"{series} {speaker}" if speaker else "",
            transcript=(line.Text or "").strip(),
            emotion=EMOTIONS[label],
            media_path=str(self.sounds / f"{line.Speaker}_{key}.wav"),
            session=series,
            ratings=json.dumps(votes) if (votes := line.EmoAnnotation.votes()) else None,
        )


def _last_number(key: str) -> int:
    """Place of an utterance in its dialogue: 3 of ``anjia_1_3``."""
    found = re.search(r"_(\d{1,9})$", key)
    if found is None:
        raise InputError(
            f"{ANNOTATION}: expected names of utterances that end in their number (anjia_1_3), got "
            f"'{key[:60]}'; unpack the corpus again"
        )
    return int(found[1])
