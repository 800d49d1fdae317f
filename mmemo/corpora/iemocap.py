"""IEMOCAP: dialogues of two actors in five sessions, each utterance with its raters' labels.

Source: Busso et al. 2008, "IEMOCAP: interactive emotional dyadic motion capture database", and the
layout of its full release: ``Session1/dialog/EmoEvaluation/Ses01F_impro01.txt`` has the labels,
``Session1/dialog/transcriptions/Ses01F_impro01.txt`` the words, ``Session1/sentences/wav`` the
sound of each utterance.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from mmemo.corpora.annotations import Annotations
from mmemo.corpora.clips import ClipFiles
from mmemo.corpora.facts import CorpusFacts
from mmemo.corpora.ratings import rate
from mmemo.corpora.release_files import read_lines, text_files
from mmemo.corpora.utterance import NO_AGREEMENT, SPLITS, UNREADABLE, Skip, Utterance
from mmemo.errors import InputError
from mmemo.values import check_whole

log = logging.getLogger(__name__)

NUM_SESSIONS = 5
NO_MAJORITY = "xxx"
EMOTIONS = {
    "ang": "anger",
    "dis": "disgust",
    "exc": "excitement",
    "fea": "fear",
    "fru": "frustration",
    "hap": "joy",
    "neu": "neutral",
    "oth": "other",
    "sad": "sadness",
    "sur": "surprise",
}
"""What the label files' codes are called here."""

RATINGS = {
    "Anger": "ang",
    "Disgust": "dis",
    "Excited": "exc",
    "Fear": "fea",
    "Frustration": "fru",
    "Happiness": "hap",
    "Neutral": "neu",
    "Neutral state": "neu",
    "Other": "oth",
    "Sadness": "sad",
    "Surprise": "sur",
}
"""The codes of what single raters chose."""

_NUMBER = r"\d+(?:\.\d+)?"
_EVALUATION = re.compile(
    rf"\[\s*(?P<start>{_NUMBER})\s*-\s*(?P<end>{_NUMBER})\s*\]\s+"
    r"(?P<name>(?P<dialogue>Ses\d\d[FM]_\w+)_(?P<gender>[FM])\w+)\s+(?P<code>[a-z]{3})\b"
)
# "C-E2: Neutral state; Sadness; (comment)". C-F and C-M are the actors' own and make no label.
_RATING = re.compile(r"C-E\d+:(?P<chosen>[^(]*)")
_TRANSCRIPT = re.compile(rf"(?P<name>Ses\w+)\s+\[{_NUMBER}-{_NUMBER}\]:(?P<text>.*)")


@dataclass(frozen=True)
class _Evaluation:
    """What a label file says of an utterance: when it is in its dialogue, its label and ratings."""

    name: str
    dialogue: str
    gender: str
    start_s: float
    end_s: float
    code: str
    where: str
    rated: list[str] = field(default_factory=list)


class IemocapCorpus:
    """Reader of IEMOCAP's full release; its sentences' WAVs are the clips.

    IEMOCAP has no split of its own: one session is tested, one validates, and the rest trains, so
    that no speaker is in two splits. To test each session in turn, choose a split by the column
    ``session`` instead.

    A speaker is a session and whether a woman or a man speaks ("Ses01F"); the letter in the name
    of a dialogue tells who wore the markers and not who speaks.

    Args:
        root: Folder with Session1 to Session5, or that which holds it.
        merge_excited: Call excitement joy, as most of the literature's four classes do.
        test_session: Session that is tested, from 1.
        val_session: Session that validates.
        name: What the corpus is called in reports and in the prepared corpus' name.
        facts: What is documented of it, with excitement apart from joy.

    Raises:
        InputError: If a session is none of the five, or both are one.
    """

    def __init__(
        self,
        root: str | Path,
        merge_excited: bool = False,
        test_session: int = 5,
        val_session: int = 4,
        name: str = "iemocap",
        facts: CorpusFacts | None = None,
    ) -> None:
        self.root = Path(root).absolute()
        self.emotions = EMOTIONS | ({"exc": "joy"} if merge_excited else {})
        for option, session in (("test_session", test_session), ("val_session", val_session)):
            check_whole(f"corpus.{option}", session, 1)
            if session > NUM_SESSIONS:
                raise InputError(f"corpus.{option}: expected 1 to {NUM_SESSIONS}, got {session}")
        if test_session == val_session:
            raise InputError(
                f"corpus.val_session: expected another session than corpus.test_session, got "
                f"{val_session} for both; change one of them"
            )
        self.split_of_session = {test_session: "test", val_session: "val"}
        self.split_origin = f"made here: session {test_session} tests, {val_session} validates"
        self.name = name
        self.facts = _with_merged(facts) if facts is not None and merge_excited else facts

    @property
    def has_clips(self) -> bool:
        """Whether the sound of a session is there."""
        return any((folder / "sentences" / "wav").is_dir() for folder in self._sessions().values())

    def check(self) -> None:
        """Look for the sessions' folders.

        Raises:
            InputError: If there is none with labels, or a split would have none.
        """
        sessions = self._sessions()
        if not sessions:
            raise InputError(
                f"corpus {self.name}: expected IEMOCAP's full release at {self.root} "
                f"(Session1/dialog/EmoEvaluation and so on), found "
                f"{'no such folder below' if self.root.is_dir() else 'nothing'}; give it with "
                "corpus.root=DIR"
            )
        there = {self._split(number) for number in sessions}
        absent = [split for split in SPLITS if split not in there]
        if absent:
            raise InputError(
                f"{self.root}: expected sessions for {', '.join(absent)} too, found only "
                f"{', '.join(folder.name for folder in sessions.values())}; unpack the others, or "
                "choose among these with corpus.test_session=N corpus.val_session=N"
            )

    def read(self) -> Annotations:
        """Read the labels and transcripts of all dialogues, in the order of time in each.

        An utterance whose raters had no majority is recorded as a skip, as is a line that cannot
        be read. Utterances without words keep an empty transcript. Words without a label (the
        release has some) are counted and left out.

        Raises:
            InputError: As ``check`` does, or if a label is unknown or an utterance stands twice.
        """
        self.check()
        utterances: list[Utterance] = []
        skips: list[Skip] = []
        votes: list[dict[str, int]] = []
        words_alone: list[str] = []
        dialogue_id = 0
        for number, folder in self._sessions().items():
            texts = _transcripts(folder / "dialog" / "transcriptions")
            for path in text_files(folder / "dialog" / "EmoEvaluation"):
                rows, unreadable = _evaluations(path, self._split(number))
                skips += unreadable
                for place, row in enumerate(rows):
                    text = texts.pop(row.name, "")
                    votes.append(self._votes(row))
                    if row.code == NO_MAJORITY:
                        skips.append(
                            Skip(row.name, self._split(number), NO_AGREEMENT, "", row.where)
                        )
                    else:
                        ids = (number, dialogue_id, place)
                        utterances.append(self._utterance(row, ids, text, folder, votes[-1]))
                dialogue_id += 1
            words_alone += texts
        self._report(utterances, words_alone)
        return Annotations(
            corpus=self.name,
            utterances=tuple(utterances),
            clips=ClipFiles(),
            skips=tuple(skips),
            split_origin=self.split_origin,
            facts=self.facts,
            agreement=rate(votes, pd.RangeIndex(len(votes)), "skip").agreement,
        )

    def _sessions(self) -> dict[int, Path]:
        """The folders of sessions that have labels, by number."""
        for root in (self.root, self.root / "IEMOCAP_full_release"):
            folders = {n: root / f"Session{n}" for n in range(1, NUM_SESSIONS + 1)}
            there = {n: f for n, f in folders.items() if (f / "dialog" / "EmoEvaluation").is_dir()}
            if there:
                return there
        return {}

    def _split(self, session: int) -> str:
        return self.split_of_session.get(session, "train")

    def _votes(self, row: _Evaluation) -> dict[str, int]:
        """How many raters chose each emotion; one may choose several."""
        codes = [RATINGS[name] for name in row.rated if name in RATINGS]
        return dict(Counter(self.emotions[code] for code in codes))

    def _utterance(
        self,
        row: _Evaluation,
        ids: tuple[int, int, int],
        text: str,
        folder: Path,
        votes: Mapping[str, int],
    ) -> Utterance:
        session, dialogue_id, place = ids
        if row.code not in self.emotions:
            raise InputError(
                f"{row.where}: expected a label out of {', '.join(EMOTIONS)} or {NO_MAJORITY}, got "
                f"'{row.code}'; unpack the corpus again"
            )
        return Utterance(
            corpus=self.name,
            key=row.name,
            split=self._split(session),
            dialogue_id=dialogue_id,
            utterance_id=place,
            speaker=f"Ses{session:02d}{row.gender}",
            transcript=text,
            emotion=self.emotions[row.code],
            media_path=str(folder / "sentences" / "wav" / row.dialogue / f"{row.name}.wav"),
            start_s=row.start_s,
            end_s=row.end_s,
            session=folder.name,
            style="scripted" if "_script" in row.dialogue else "improvised",
            ratings=json.dumps(votes) if votes else None,
        )

    def _report(self, utterances: list[Utterance], words_alone: list[str]) -> None:
        """One line for each kind of what does not fit together.

        Raises:
            InputError: If an utterance stands twice.
        """
        seen: set[str] = set()
        for utterance in utterances:
            if utterance.key in seen:
                raise InputError(
                    f"{self.root}: expected each utterance once in its session's labels, got "
                    f"{utterance.key} twice; unpack the corpus again"
                )
            seen.add(utterance.key)
        without_words = [u.key for u in utterances if not u.transcript]
        for kind, names in (
            ("labelled utterances have no transcript", without_words),
            ("transcribed utterances have no label and are left out", words_alone),
        ):
            if names:
                log.warning("corpus %s: %d %s, as %s", self.name, len(names), kind, names[0])


def _evaluations(path: Path, split: str) -> tuple[list[_Evaluation], list[Skip]]:
    """The utterances of a label file in order of time, and what of its lines cannot be read."""
    rows, unreadable = [], []
    for number, line in enumerate(read_lines(path), start=1):
        where = f"{path}, line {number}"
        found = _EVALUATION.match(line)
        if found is not None:
            rows.append(
                _Evaluation(
                    name=found["name"],
                    dialogue=found["dialogue"],
                    gender=found["gender"],
                    start_s=float(found["start"]),
                    end_s=float(found["end"]),
                    code=found["code"],
                    where=where,
                )
            )
        elif (rating := _RATING.match(line)) is not None and rows:
            rows[-1].rated.extend(filter(None, map(str.strip, rating["chosen"].split(";"))))
        elif line.startswith("["):
            key = f"{path.stem}/line{number}"
            unreadable.append(Skip(key, split, UNREADABLE, line[:60], where))
    return sorted(rows, key=lambda row: (row.start_s, row.name)), unreadable


def _transcripts(folder: Path) -> dict[str, str]:
    """The words of a session's utterances by name; lines without a name and times are asides."""
    found = (_TRANSCRIPT.match(line) for path in text_files(folder) for line in read_lines(path))
    return {match["name"]: match["text"].strip() for match in found if match}


def _with_merged(facts: CorpusFacts) -> CorpusFacts:
    """The facts with excitement counted as joy."""
    emotions = dict(facts.total.labels.get("emotion", {}))
    if "excitement" not in emotions:
        return facts
    emotions["joy"] = emotions.get("joy", 0) + emotions.pop("excitement")
    labels = {**facts.total.labels, "emotion": emotions}
    return replace(facts, total=replace(facts.total, labels=labels))
