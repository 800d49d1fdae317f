"""EmoBox: manifests and folds for 32 corpora, whose sound is fetched from each of them.

Source: Ma et al. 2024, "EmoBox: Multilingual Multi-corpus Speech Emotion Recognition Toolkit and
Benchmark", and the layout of its repository: ``data/cafe/fold_1/cafe_train_fold_1.jsonl`` has an
utterance on each line (key, wav, emo), ``data/cafe/label_map.json`` the names of its labels, and
``data/cafe/data.seg.wrd.stm`` its speakers.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from pydantic import TypeAdapter

from mmemo.corpora.annotations import OWN_SPLIT, Annotations
from mmemo.corpora.clips import ClipFiles
from mmemo.corpora.facts import CorpusFacts, ExpectedCounts
from mmemo.corpora.release_files import parse_json, read_json, read_lines
from mmemo.corpora.utterance import MISSING_FIELD, NO_AGREEMENT, Skip, Utterance
from mmemo.errors import InputError
from mmemo.values import check_seed, check_whole

log = logging.getLogger(__name__)

FILE_SPLITS = {"train": "train", "valid": "val", "test": "test"}
LABEL_MAPS = ("label_map.json", "label_dict.json")
SPEAKERS = "data.seg.wrd.stm"
AGAIN = "fetch EmoBox again"
ROW = "an utterance's key, wav and emo"

EMOTIONS = {
    "angry": "anger",
    "excited": "excitement",
    "happy": "joy",
    "sad": "sadness",
}
"""What EmoBox's names of emotions are called here; others are the same in small letters."""

NO_LABEL = ("no-agreement", "unknown")


@dataclass(frozen=True)
class _Row:
    key: str
    wav: str
    emo: str
    start_time: float | None = None
    end_time: float | None = None


_ROW = TypeAdapter(_Row)
_LABELS = TypeAdapter(dict[str, str])


class EmoBoxCorpus:
    """Reader of one corpus and fold of EmoBox.

    The column ``fold`` tells in which of EmoBox' folds a row is tested, so that one prepared corpus
    serves a split by all of them.

    Where EmoBox has no validation file, some of its training rows validate: those of some
    speakers, where it tells speakers and there are several, else rows of every class. EmoBox draws
    a fifth of the rows whoever speaks them. It has no transcripts. PAVOQUE's utterances are
    stretches of longer files.

    Args:
        root: EmoBox's repository, with the folder ``data``.
        dataset: The corpus' name there ("cafe").
        fold: Number of the fold, from 1.
        sounds: Folder with ``downloads``, which the manifests' paths start with; None for
            ``root``.
        num_val_folds: Where there is no validation file: one in so many training rows validates.
        seed: Decides which.
        name: What the corpus is called in reports and in the prepared corpus' name; None for that
            of the dataset.
        facts: What is documented of EmoBox.
        num_rows: What is documented: the utterances of each corpus.
    """

    def __init__(
        self,
        root: str | Path,
        dataset: str,
        fold: int = 1,
        sounds: str | Path | None = None,
        num_val_folds: int = 5,
        seed: int = 0,
        name: str | None = None,
        facts: CorpusFacts | None = None,
        num_rows: Mapping[str, int] | None = None,
    ) -> None:
        check_whole("corpus.fold", fold, 1)
        check_whole("corpus.num_val_folds", num_val_folds, 2)
        check_seed("corpus.seed", seed)
        self.root = Path(root).absolute()
        self.sounds = Path(sounds).absolute() if sounds is not None else self.root
        self.dataset = str(dataset)
        self.folder = self.root / "data" / self.dataset
        self.fold = fold
        self.num_val_folds = num_val_folds
        self.seed = seed
        self.name = name or self.dataset
        expected = ExpectedCounts(num_rows=(num_rows or {}).get(self.dataset))
        self.facts = replace(facts, total=expected) if facts is not None else None

    @property
    def has_clips(self) -> bool:
        """Whether the folder of the sound is there."""
        return (self.sounds / "downloads").is_dir()

    def check(self) -> None:
        """Look for the fold's files.

        Raises:
            InputError: If the corpus, the fold, or one of its files is missing.
        """
        if not self.folder.is_dir():
            there = sorted(path.parent.name for path in self.root.glob("data/*/fold_1"))
            raise InputError(
                f"corpus {self.name}: expected EmoBox's repository at {self.root} with "
                f"data/{self.dataset}, found {', '.join(there) or 'no corpus there'}; give them "
                "with corpus.root=DIR corpus.dataset=NAME"
            )
        folds = self._folds()
        if self.fold not in folds:
            raise InputError(
                f"{self.folder}: expected fold_{self.fold}, found "
                f"{', '.join(f'fold_{n}' for n in folds) or 'no fold'}; choose one with "
                "corpus.fold=N"
            )
        for split in ("train", "test"):
            if self._manifest(split, self.fold) is None:
                raise InputError(
                    f"{self.folder / f'fold_{self.fold}'}: expected "
                    f"{self.dataset}_{split}_fold_{self.fold}.jsonl, found no such file; {AGAIN}"
                )

    def read(self) -> Annotations:
        """Read the fold's manifests; no clip is looked for.

        A row whose label stands for none is recorded as a skip.

        Raises:
            InputError: If a file is missing or is not of its format, a label is not in the label
                map, or an utterance stands twice.
        """
        self.check()
        rows = list(self._rows())
        utterances = [row for row in rows if isinstance(row, Utterance)]
        has_val = self._manifest("valid", self.fold) is not None
        if not has_val:
            utterances = self._with_validation(utterances)
        return Annotations(
            corpus=self.name,
            utterances=tuple(utterances),
            clips=ClipFiles(),
            skips=tuple(row for row in rows if isinstance(row, Skip)),
            variant=f"fold {self.fold}",
            split_origin=OWN_SPLIT if has_val else self._origin(utterances),
            facts=self.facts,
            no_transcripts=(
                f"corpus {self.name}: expected transcripts, EmoBox has none; train on sound alone "
                "with text_encoder=none"
            ),
        )

    def _rows(self) -> Iterator[Utterance | Skip]:
        """The lines of the fold's manifests.

        Raises:
            InputError: If one is not of its format, or an utterance stands twice.
        """
        labels, speakers, tested_in = self._labels(), self._speakers(), self._tested_in()
        seen: set[str] = set()
        for file_split, split in FILE_SPLITS.items():
            path = self._manifest(file_split, self.fold)
            for number, line in enumerate(read_lines(path, AGAIN) if path else [], start=1):
                if not line.strip():
                    continue
                where = f"{path}, line {number}"
                row = parse_json(line, where, _ROW, ROW, AGAIN)
                if row.key in seen:
                    raise InputError(
                        f"{where}: expected each utterance in one line of a fold, got {row.key} "
                        f"twice; {AGAIN}"
                    )
                emotion = _emotion(row, labels, where)
                yield _skip(row, emotion, split, where) or Utterance(
                    corpus=self.name,
                    key=row.key,
                    split=split,
                    dialogue_id=len(seen),
                    utterance_id=0,
                    speaker=speakers.get(row.key, ""),
                    transcript="",
                    emotion=emotion,
                    media_path=str(self.sounds / row.wav),
                    traits=(("fold", tested_in[row.key]),) if row.key in tested_in else (),
                    clip_start_s=row.start_time,
                    clip_end_s=row.end_time,
                )
                seen.add(row.key)

    def _folds(self) -> list[int]:
        names = (path.name.removeprefix("fold_") for path in self.folder.glob("fold_*"))
        return sorted(int(name) for name in names if name.isdecimal())

    def _manifest(self, split: str, fold: int) -> Path | None:
        folder = self.folder / f"fold_{fold}"
        # A few of EmoBox's files lack the second line below.
        names = [f"{self.dataset}_{split}_fold{mark}{fold}.jsonl" for mark in ("_", "")]
        return next((folder / name for name in names if (folder / name).is_file()), None)

    def _tested_in(self) -> dict[str, str]:
        """The number of the fold that tests an utterance, by its key."""
        found: dict[str, str] = {}
        for fold in self._folds():
            path = self._manifest("test", fold)
            for number, line in enumerate(read_lines(path, AGAIN) if path else [], start=1):
                if line.strip():
                    row = parse_json(line, f"{path}, line {number}", _ROW, ROW, AGAIN)
                    found.setdefault(row.key, str(fold))
        return found

    def _labels(self) -> dict[str, str]:
        for name in LABEL_MAPS:
            if (self.folder / name).is_file():
                return read_json(self.folder / name, _LABELS, "names of labels by code", AGAIN)
        raise InputError(f"{self.folder}: expected {LABEL_MAPS[0]}, found no such file; {AGAIN}")

    def _speakers(self) -> dict[str, str]:
        """The speaker of each utterance by key; none where EmoBox does not tell."""
        path = self.folder / SPEAKERS
        if not path.is_file():
            log.warning("corpus %s: %s is missing: speakers are not known", self.name, path)
            return {}
        cells = [line.split(maxsplit=3) for line in read_lines(path, AGAIN)]
        labels_by_file = {row[0]: row[2] for row in cells if len(row) == 4}
        if self.dataset != "iemocap":
            return labels_by_file
        # EmoBox takes the first part of the name, which tells who wears the markers in a dialogue
        # of two: each of its "speakers" is both.
        named = {key: re.fullmatch(r".*(Ses\d\d)[FM]_\w+_([FM])\w+", key) for key in labels_by_file}
        return {key: f"{found[1]}{found[2]}" for key, found in named.items() if found}

    def _with_validation(self, utterances: list[Utterance]) -> list[Utterance]:
        """The utterances, of which some of train validate."""
        places = [i for i, u in enumerate(utterances) if u.split == "train"]
        rows = pd.DataFrame([(utterances[i].emotion, utterances[i].speaker) for i in places])
        if len(places) < self.num_val_folds:
            raise InputError(
                f"{self._manifest('train', self.fold)}: expected at least {self.num_val_folds} "
                f"labelled rows, one in so many validates, got {len(places)}; {AGAIN}"
            )
        chosen = _held_out(rows[0], rows[1], self.num_val_folds, self.seed)
        moved = {place for place, is_chosen in zip(places, chosen, strict=True) if is_chosen}
        return [replace(u, split="val") if i in moved else u for i, u in enumerate(utterances)]

    def _origin(self, utterances: list[Utterance]) -> str:
        speakers = {
            split: {u.speaker for u in utterances if u.split == split} for split in ("train", "val")
        }
        by_row = bool(speakers["train"] & speakers["val"])
        how = "by row" if by_row else "by speaker"
        return f"its own, but val made here of train, {how}, seed {self.seed}"


def _held_out(
    emotions: pd.Series[str], speakers: pd.Series[str], num_folds: int, seed: int
) -> list[bool]:
    """Which training rows validate: whole speakers, where all are known and there are several."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    # Classes that are too rare for a row in each fold are dealt with the most frequent one.
    counts = emotions.value_counts()
    strata = emotions.mask(emotions.map(counts) < num_folds, counts.index[0])
    num_speakers = speakers.nunique()
    if num_speakers > 1 and (speakers != "").all():
        by_speaker = StratifiedGroupKFold(
            min(num_folds, num_speakers), shuffle=True, random_state=seed
        )
        _, val = next(iter(by_speaker.split(strata, strata, speakers)))
    else:
        by_row = StratifiedKFold(num_folds, shuffle=True, random_state=seed)
        _, val = next(iter(by_row.split(strata, strata)))
    chosen = set(val.tolist())
    return [place in chosen for place in range(len(emotions))]


def _emotion(row: _Row, labels: Mapping[str, str], where: str) -> str:
    if row.emo not in labels:
        raise InputError(
            f"{where}: expected a label of the label map ({', '.join(labels)}), got "
            f"'{row.emo[:60]}'; {AGAIN}"
        )
    name = labels[row.emo].strip().lower()
    return EMOTIONS.get(name, name)


def _skip(row: _Row, emotion: str, split: str, where: str) -> Skip | None:
    """Why a row cannot be used; None where it can."""
    if emotion in NO_LABEL:
        return Skip(row.key, split, NO_AGREEMENT, emotion, where)
    if not row.wav:
        return Skip(row.key, split, MISSING_FIELD, "wav empty", where)
    return None
