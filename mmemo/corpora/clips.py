"""Where the clips of a corpus are: files of their own, or members of a packed archive."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

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
        modified_s: When it was last changed, in whole seconds since 1970, which archives keep.
        content: The clip itself, where it was read from an archive; None to read the file.
        problem: Why it is missing.
        crc32: Checksum of its content, where it was read from an archive.
        start_s: Where the utterance begins in it; None for its beginning.
        end_s: Where the utterance ends in it; None for its end.
    """

    key: str
    source: str
    num_bytes: int
    modified_s: int = 0
    content: bytes | None = None
    problem: str = ""
    crc32: int = 0
    start_s: float | None = None
    end_s: float | None = None

    @property
    def name(self) -> str:
        """File name alone."""
        return file_name(self.source)


def file_name(source: str) -> str:
    """File name of a file or of ``archive:member``: the same whether a clip is packed or not."""
    return source.rpartition(":")[2].rpartition("/")[2]


class Prepared(NamedTuple):
    """Which clip an utterance was prepared from.

    Args:
        name: File name.
        num_bytes: Its size.
        modified_s: When it was last changed, in whole seconds since 1970.
        crc32: Checksum of its content, where it was read from an archive; else 0.
        is_verified: Whether that archive was whole; its clips may be wrong otherwise.
    """

    name: str
    num_bytes: int
    modified_s: int
    crc32: int = 0
    is_verified: bool = True


Done = Mapping[str, Prepared]
"""The clip of each utterance that is prepared, by its key."""


def is_done(clip: Clip, done: Done) -> bool:
    """Whether that very clip is prepared; one that has gone since it was prepared is, too."""
    known = done.get(clip.key)
    if known is None or clip.num_bytes == MISSING:
        return known is not None
    # Where one of them is a file of its own, it was unpacked or packed since then.
    is_comparable = clip.crc32 and known.crc32
    is_same = clip.crc32 == known.crc32 if is_comparable else known.is_verified
    return is_same and known[:3] == (clip.name, clip.num_bytes, clip.modified_s)


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
        for candidate in self._candidates(utterance):
            try:
                status = os.stat(candidate)  # noqa: PTH116 (pathlib costs ten times as much)
            except OSError:
                continue
            return Clip(
                utterance.key,
                candidate,
                status.st_size,
                int(status.st_mtime),
                start_s=utterance.clip_start_s,
                end_s=utterance.clip_end_s,
            )
        return Clip(utterance.key, path, MISSING, problem=f"{path}: no such file")

    def _candidates(self, utterance: Utterance) -> Sequence[str]:
        names = self.names.get(utterance.key)
        if names is None:
            return (utterance.media_path,)
        folder = os.path.dirname(utterance.media_path)  # noqa: PTH120
        return [os.path.join(folder, name) for name in names]  # noqa: PTH118


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
