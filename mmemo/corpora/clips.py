"""Where the clips of a corpus are: files of their own, or members of a packed archive."""

from __future__ import annotations

import os
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from mmemo.corpora.utterance import Utterance
from mmemo.errors import InputError

MISSING = -1


@dataclass(frozen=True)
class Clip:
    """A clip as it was found.

    Args:
        key: The utterance that it belongs to.
        source: The file, or ``archive:member``.
        num_bytes: Its size; -1 where it is missing.
        content: The clip itself, where it was read from an archive; None to read the file.
        problem: Why it is missing.
    """

    key: str
    source: str
    num_bytes: int
    content: bytes | None = None
    problem: str = ""

    @property
    def name(self) -> str:
        """File name alone."""
        return file_name(self.source)


def file_name(source: str) -> str:
    """File name of a file or of ``archive:member``: the same whether a clip is packed or not."""
    return source.rpartition(":")[2].rpartition("/")[2]


Done = Mapping[str, tuple[str, int]]
"""Name and size of each clip that is prepared, by its utterance's key."""


def is_done(clip: Clip, done: Done) -> bool:
    """Whether that very clip is prepared; one that has gone since it was prepared is, too."""
    recorded = done.get(clip.key)
    return recorded is not None and (
        clip.num_bytes == MISSING or recorded == (clip.name, clip.num_bytes)
    )


class ClipSource(Protocol):
    """Hands out the clips of utterances."""

    def check(self) -> None:
        """Find what would fail later.

        Raises:
            InputError: If the folder or archive that should hold the clips is not there.
        """
        ...

    def state(self) -> dict[str, list[int]]:
        """Sizes and times of archives, by name: changes when one of them does."""
        ...

    def loose(self, utterances: Sequence[Utterance]) -> Iterator[Clip]:
        """The clips that are found without reading an archive, unread."""
        ...

    def clips(self, utterances: Sequence[Utterance], done: Done) -> Iterator[Clip]:
        """The clips that are not done, in a fixed order.

        A clip that is missing is handed out with its problem, after those that were found.

        Raises:
            InputError: If an archive is damaged.
        """
        ...


class ClipFiles:
    """Clips that are files of their own.

    Args:
        names: For each utterance's key the names to try in the file's folder, best first; an
            utterance that is not in it has its ``media_path`` alone.
    """

    def __init__(self, names: Mapping[str, tuple[str, ...]] | None = None) -> None:
        self.names = names or {}

    def check(self) -> None:
        """Nothing can be wrong: a missing file is found as such."""

    def state(self) -> dict[str, list[int]]:
        """Nothing: there is no archive."""
        return {}

    def loose(self, utterances: Sequence[Utterance]) -> Iterator[Clip]:
        """All clips."""
        for utterance in utterances:
            yield self._find(utterance)

    def clips(self, utterances: Sequence[Utterance], done: Done) -> Iterator[Clip]:
        """The clips that are not done, in the utterances' order."""
        return (clip for clip in self.loose(utterances) if not is_done(clip, done))

    def _find(self, utterance: Utterance) -> Clip:
        path = utterance.media_path
        folder, name = os.path.split(path)
        for known_name in self.names.get(utterance.key, (name,)):
            candidate = os.path.join(folder, known_name)  # noqa: PTH118 (pathlib costs ten times as much)
            try:
                return Clip(utterance.key, candidate, os.stat(candidate).st_size)  # noqa: PTH116
            except OSError:
                continue
        return Clip(utterance.key, str(path), MISSING, problem=f"{path}: no such file")


class ClipArchive:
    """Clips inside a ``.tar.gz``, read in one pass; nothing is unpacked to the disk.

    A member is a clip by its file name alone. Links, devices and names that lead out of the
    archive's folder are refused.

    Args:
        path: The archive.
        names: For each utterance's key the file names that are its clip, best first.
        pattern: What the name of any clip looks like; other members are passed over.
    """

    def __init__(
        self, path: Path, names: Mapping[str, tuple[str, ...]], pattern: re.Pattern[str]
    ) -> None:
        self.path = path
        self.names = names
        self.pattern = pattern

    def check(self) -> None:
        """Nothing: the archive was seen when this was made."""

    def state(self) -> dict[str, list[int]]:
        """The archive's size in bytes and time in ns, where it is there."""
        if not self.path.is_file():
            return {}
        status = self.path.stat()
        return {self.path.name: [status.st_size, status.st_mtime_ns]}

    def loose(self, utterances: Sequence[Utterance]) -> Iterator[Clip]:
        """None: all are packed."""
        return iter(())

    def clips(self, utterances: Sequence[Utterance], done: Done) -> Iterator[Clip]:
        """The clips that are not done, in the archive's order, then the missing ones.

        Where an utterance has two clips, the one with the better name is handed out last, so
        that it replaces the other; once it has been, the other is passed over.
        """
        ranks: dict[str, tuple[str, int]] = {}
        for utterance in utterances:
            for rank, name in enumerate(self.names[utterance.key]):
                ranks[name] = (utterance.key, rank)
        found: dict[str, int] = {}
        refused: dict[str, str] = {}
        for clip, reason in self._members(ranks):
            rank = ranks[clip.name][1]
            if reason:
                refused.setdefault(clip.key, f"{clip.source}: refused, {reason}")
            elif rank < found.get(clip.key, rank + 1):
                found[clip.key] = rank
                better_is_done = ranks.get(done.get(clip.key, ("", 0))[0], ("", rank))[1] < rank
                if not better_is_done and not is_done(clip, done):
                    yield clip
        for utterance in utterances:
            if utterance.key not in found:
                nothing = f"{self.path}: no member {' or '.join(self.names[utterance.key])}"
                problem = refused.get(utterance.key, nothing)
                missing = Clip(utterance.key, str(self.path), MISSING, problem=problem)
                if not is_done(missing, done):
                    yield missing

    def _members(self, ranks: Mapping[str, tuple[str, int]]) -> Iterator[tuple[Clip, str]]:
        """Clips of the wanted names, and why a member is refused ('' if it is not)."""
        try:
            with tarfile.open(self.path, "r|gz") as archive:
                for member in archive:
                    name = PurePosixPath(member.name).name
                    if name not in ranks or not self.pattern.fullmatch(name):
                        continue
                    reason = refusal(member)
                    file = None if reason else archive.extractfile(member)
                    content = file.read() if file else None
                    source = f"{self.path.name}:{member.name}"
                    yield Clip(ranks[name][0], source, member.size, content), reason
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            raise InputError(
                f"{self.path}: expected a complete .tar.gz archive of clips, could not read it to "
                f"its end ({error or type(error).__name__}); get the file again. Finished clips "
                "are kept"
            ) from error


def refusal(member: tarfile.TarInfo) -> str:
    """Why an archive's member must not be read; '' where it may be."""
    if not member.isreg():
        return "not a plain file"
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        return "its name leads out of the archive's folder"
    return ""


class ClipsBySplit:
    """Each split's clips from a source of its own."""

    def __init__(self, sources: Mapping[str, ClipSource]) -> None:
        self.sources = sources

    def check(self) -> None:
        """Check all splits."""
        for source in self.sources.values():
            source.check()

    def state(self) -> dict[str, list[int]]:
        """Of all archives."""
        merged: dict[str, list[int]] = {}
        for source in self.sources.values():
            merged |= source.state()
        return merged

    def loose(self, utterances: Sequence[Utterance]) -> Iterator[Clip]:
        """Of all splits."""
        for split, source in self.sources.items():
            yield from source.loose([u for u in utterances if u.split == split])

    def clips(self, utterances: Sequence[Utterance], done: Done) -> Iterator[Clip]:
        """Of one split after the other."""
        for split, source in self.sources.items():
            yield from source.clips([u for u in utterances if u.split == split], done)


class NoClips:
    """Stands where a corpus' clips were not found.

    Args:
        problem: What was expected and what to do.
    """

    def __init__(self, problem: str) -> None:
        self.problem = problem

    def check(self) -> None:
        """Tell that there are none.

        Raises:
            InputError: Always.
        """
        raise InputError(self.problem)

    def state(self) -> dict[str, list[int]]:
        """Nothing."""
        return {}

    def loose(self, utterances: Sequence[Utterance]) -> Iterator[Clip]:
        """None."""
        return iter(())

    def clips(self, utterances: Sequence[Utterance], done: Done) -> Iterator[Clip]:
        """None: ``check`` tells why."""
        return iter(())
