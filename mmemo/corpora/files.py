"""A corpus of files whose names tell everything."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from mmemo.corpora.annotations import OWN_SPLIT, Annotations
from mmemo.corpora.clip_places import MEDIA_SUFFIXES
from mmemo.corpora.clips import ClipFiles
from mmemo.corpora.facts import CorpusFacts
from mmemo.corpora.file_names import NUMBERS, OWN_FIELDS, PLACES, FileNames, NameParts
from mmemo.corpora.made_split import made_split
from mmemo.corpora.text_table import whole_number
from mmemo.corpora.utterance import MISSING_FIELD, SPLITS, Skip, Utterance
from mmemo.errors import InputError
from mmemo.values import check_seed

log = logging.getLogger(__name__)

OTHER_NAME = "name of another pattern"
UNKNOWN_CODE = "unknown code"
"""Reasons to leave out a file."""

NO_SPLIT = "none"
"""Split of a file that was left out before splits were made."""

LEFT_OUT_FOLDERS = ("__MACOSX",)
LOSSLESS = (".wav", ".flac")
MAX_EXAMPLES = 3

SPLIT_NAMES = {"dev": "val", "valid": "val", "validation": "val"}


class _Found(NamedTuple):
    """A file whose name was read."""

    path: str
    parts: NameParts


class FilesCorpus:
    """Reader of a folder of media whose names tell everything.

    Groups of the pattern, and what is derived of them, fill an utterance's fields where they are
    called so (speaker, emotion, transcript, sentiment, session, style, season, episode; split,
    dialogue and order); all others are kept as columns of their own, to group and compare by.

    Args:
        root: The folder; media in folders below it are found too. Hidden files and folders and
            those that macOS adds to archives are left out.
        pattern: Regular expression with named groups, as of ``FileNames``.
        codes: By group its table of codes.
        keep: By group the codes to keep.
        derived: By column what follows from groups.
        split_by: Columns whose values are kept in one split, where names tell no split.
        num_test_folds: Then one in so many groups goes to test.
        num_val_folds: Then one in so many of the rest goes to val.
        seed: Decides that split.
        name: What the corpus is called in reports and in the prepared corpus' name.
        facts: What is documented of it.

    Raises:
        InputError: As ``FileNames`` does, or if the split names a column that there is not.
    """

    has_clips = True

    def __init__(
        self,
        root: str | Path,
        pattern: str,
        codes: Mapping[str, Mapping[str, str]] | None = None,
        keep: Mapping[str, str | Sequence[str]] | None = None,
        derived: Mapping[str, str | Mapping[str, Mapping[str, str]]] | None = None,
        split_by: Sequence[str] = ("speaker",),
        num_test_folds: int = 5,
        num_val_folds: int = 9,
        seed: int = 0,
        name: str = "files",
        facts: CorpusFacts | None = None,
    ) -> None:
        self.root = Path(root).absolute()
        self.names = FileNames(pattern, codes, keep, derived)
        self.split_by = [split_by] if isinstance(split_by, str) else list(split_by)
        self.num_test_folds = num_test_folds
        self.num_val_folds = num_val_folds
        check_seed("corpus.seed", seed)
        self.seed = seed
        self.name = name
        self.facts = facts

    def check(self) -> None:
        """Look for the folder.

        Raises:
            InputError: If it is not there.
        """
        if not self.root.is_dir():
            raise InputError(
                f"corpus {self.name}: expected a folder at {self.root}, found "
                f"{'a file' if self.root.exists() else 'nothing'}; give it with corpus.root=DIR"
            )

    def read(self) -> Annotations:
        """Read all names; no file is opened.

        A file whose name does not match, or holds an unknown code, is recorded as a skip and told.
        Where the matched part of a path stands twice, a lossless file is taken first, then the one
        that is less deep; the copies are told.

        Raises:
            InputError: If the folder is missing, no name can be used, a split is unknown, or a
                split cannot be made.
        """
        self.check()
        paths = list(_media(self.root))
        found, skips = self._parse(paths)
        kept = self._once([file for file in found if not file.parts.dropped])
        self._check_found(paths, kept, skips)
        self._report(paths, found, skips)
        splits, origin = self._splits(kept)
        return Annotations(
            corpus=self.name,
            utterances=self._utterances(kept, splits),
            clips=ClipFiles(),
            skips=tuple(skips),
            variant=str(self.root),
            split_origin=origin,
            facts=self.facts,
            no_transcripts=self._no_transcripts(kept),
        )

    def _parse(self, paths: Iterable[str]) -> tuple[list[_Found], list[Skip]]:
        """Files whose names were read, those not to keep among them, and the others."""
        found: list[_Found] = []
        skips: list[Skip] = []
        for path in paths:
            parts = self.names.parse(os.path.splitext(path)[0])  # noqa: PTH122 (text, not a Path)
            if parts is None:
                skips.append(self._skip(path, OTHER_NAME, ""))
            elif not parts.dropped and parts.unknown:
                codes = ", ".join(f"{name} '{parts.codes[name]}'" for name in parts.unknown)
                skips.append(self._skip(path, UNKNOWN_CODE, codes))
            elif not parts.dropped and not parts.values.get("emotion"):
                skips.append(self._skip(path, MISSING_FIELD, "no emotion in the name"))
            else:
                found.append(_Found(path, parts))
        return found, skips

    def _no_transcripts(self, files: Sequence[_Found]) -> str:
        if any(file.parts.values.get("transcript") for file in files):
            return ""
        return (
            f"corpus {self.name}: expected transcripts, the names of its files tell none; train on "
            "sound alone with text_encoder=none, or read a table of them with corpus=table"
        )

    def _skip(self, path: str, reason: str, detail: str) -> Skip:
        return Skip(path, NO_SPLIT, reason, detail, str(self.root / path))

    def _once(self, files: Iterable[_Found]) -> list[_Found]:
        """Each matched part once, in the order of these; copies are told."""
        by_key: dict[str, _Found] = {}
        copies: list[tuple[str, str]] = []
        for file in sorted(files, key=_rank):
            first = by_key.setdefault(file.parts.key, file)
            if first is not file:
                copies.append((first.path, file.path))
        if copies:
            first_path, copy = copies[0]
            num_other = sum(_size(self.root / a) != _size(self.root / b) for a, b in copies)
            other = f"; {num_other} of them differ in size" if num_other else ""
            log.warning(
                "corpus %s: %d files stand there again by name and are taken once (%s, not %s)%s",
                *(self.name, len(copies), first_path, copy, other),
            )
        return sorted(by_key.values(), key=lambda file: file.parts.key)

    def _check_found(
        self, paths: Sequence[str], kept: Sequence[_Found], skips: Sequence[Skip]
    ) -> None:
        if kept:
            return
        if not paths:
            raise InputError(
                f"corpus {self.name}: expected files of sound or video below {self.root}, found "
                "none; give their folder with corpus.root=DIR"
            )
        if skips:
            why = f"({skips[0].reason}{': ' if skips[0].detail else ''}{skips[0].detail})"
        else:
            why = "(none of corpus.keep)"
        raise InputError(
            f"corpus {self.name}: expected names such as the pattern reads, "
            f"'{self.names.pattern.pattern}', none of the {len(paths)} files below {self.root} "
            f"can be used, such as {paths[0]} {why}; correct corpus.pattern or corpus.codes, or "
            "give the right folder with corpus.root=DIR"
        )

    def _report(self, paths: Sequence[str], found: Sequence[_Found], skips: Sequence[Skip]) -> None:
        """What is left out, by kind, with counts and examples."""
        others = [skip.key for skip in skips if skip.reason == OTHER_NAME]
        if others:
            log.warning(
                "corpus %s: %d of %d files have names that the pattern does not match and are "
                "left out (%s)",
                *(self.name, len(others), len(paths), _examples(others)),
            )
        unknown = Counter(s.detail for s in skips if s.reason != OTHER_NAME)
        if unknown:
            log.warning(
                "corpus %s: %d files have unknown codes and are left out (%s)",
                *(self.name, unknown.total(), _counted(unknown)),
            )
        dropped = Counter(
            f"{file.parts.dropped} '{file.parts.codes.get(file.parts.dropped, '')}'"
            for file in found
            if file.parts.dropped
        )
        if dropped:
            log.warning(
                "corpus %s: %d files are none of those to keep and are left out (%s)",
                *(self.name, dropped.total(), _counted(dropped)),
            )
        for column in self.names.derived:
            num_without = sum(not f.parts.values.get(column) for f in found if not f.parts.dropped)
            if num_without:
                log.warning("corpus %s: %d files have no %s", self.name, num_without, column)

    def _splits(self, files: Sequence[_Found]) -> tuple[list[str], str]:
        named = [file.parts.values.get("split", "").lower() for file in files]
        splits = [SPLIT_NAMES.get(name, name) for name in named]
        if any(splits):
            for file, split in zip(files, splits, strict=True):
                if split not in SPLITS:
                    raise InputError(
                        f"{self.root / file.path}: expected a split out of {', '.join(SPLITS)}, "
                        f"got '{split}'; say what it is with corpus.codes.split, or take the "
                        "group out of corpus.pattern to have a split made"
                    )
            return splits, OWN_SPLIT
        unknown = [name for name in self.split_by if name not in self.names.columns]
        if unknown:
            raise InputError(
                f"corpus.split_by: expected columns that names tell "
                f"({', '.join(self.names.columns)}), got {', '.join(unknown)}; name the speaker "
                "in corpus.pattern, or split by another column"
            )
        rows = pd.DataFrame([{c: f.parts.values.get(c) for c in self.split_by} for f in files])
        rows["key"] = [file.parts.key for file in files]
        labels = pd.Series([file.parts.values["emotion"] for file in files])
        folds = (self.num_test_folds, self.num_val_folds)
        try:
            made = made_split(self.name, rows, labels, self.split_by, *folds, self.seed)
        except InputError as error:
            raise InputError(
                f"corpus {self.name}: expected names that tell the split, or a split by "
                f"{' and '.join(self.split_by)} that can be made ({error}); name other columns "
                "with corpus.split_by, or fewer folds with corpus.num_test_folds and "
                "corpus.num_val_folds"
            ) from error
        for sentence in made.lacking:
            log.warning("corpus %s: %s", self.name, sentence)
        return list(made.of_rows), made.origin

    def _utterances(self, files: Sequence[_Found], splits: Sequence[str]) -> tuple[Utterance, ...]:
        columns = [c for c in self.names.columns if c not in (*OWN_FIELDS, *NUMBERS, *PLACES)]
        dialogues: dict[str, int] = {}
        nexts: Counter[int] = Counter()
        rows = []
        for number, (file, split) in enumerate(zip(files, splits, strict=True)):
            values = file.parts.values
            dialogue = dialogues.setdefault(values.get("dialogue", f"/{number}"), len(dialogues))
            order = whole_number(values.get("order", ""))
            rows.append(
                Utterance(
                    corpus=self.name,
                    key=file.parts.key,
                    split=split,
                    dialogue_id=dialogue,
                    utterance_id=nexts[dialogue] if order is None else order,
                    speaker=values.get("speaker", ""),
                    transcript=values.get("transcript", ""),
                    emotion=values["emotion"],
                    media_path=f"{self.root}{os.sep}{file.path}",
                    sentiment=values.get("sentiment") or None,
                    season=whole_number(values.get("season", "")),
                    episode=whole_number(values.get("episode", "")),
                    session=values.get("session") or None,
                    style=values.get("style") or None,
                    traits=tuple((name, values[name]) for name in columns if name in values),
                )
            )
            nexts[dialogue] += 1
        return tuple(rows)


def _media(root: Path) -> Iterator[str]:
    """Paths of media below a folder from it on, sorted; linked folders are followed once."""
    seen = set()
    for folder, names, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            names.clear()
            continue
        seen.add(real)
        names[:] = sorted(n for n in names if not n.startswith(".") and n not in LEFT_OUT_FOLDERS)
        inside = Path(folder).relative_to(root).as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        for file in sorted(files):
            if not file.startswith(".") and Path(file).suffix.lower() in MEDIA_SUFFIXES:
                yield f"{prefix}{file}"


def _rank(file: _Found) -> tuple[bool, int, str]:
    """Of files that are called alike the first is taken: lossless, then less deep."""
    is_lossy = not file.path.lower().endswith(LOSSLESS)
    return is_lossy, file.path.count("/"), file.path


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _examples(names: Sequence[str]) -> str:
    more = ", …" if len(names) > MAX_EXAMPLES else ""
    return ", ".join(names[:MAX_EXAMPLES]) + more


def _counted(counts: Counter[str]) -> str:
    return _examples([f"{name}: {number}" for name, number in counts.most_common()])
