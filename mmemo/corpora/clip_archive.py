"""Clips inside a packed archive."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mmemo.corpora.clips import MISSING, Clip, Done, is_done
from mmemo.corpora.tar_members import tar_members
from mmemo.corpora.utterance import Utterance


class ClipArchive:
    """Clips inside a ``.tar.gz``, read in one pass; nothing is unpacked to the disk.

    A member is a clip by its file name alone. Links, devices, sparse files, names that lead out of
    the archive's folder and members that are too large for memory are refused. Whether the archive
    is whole is known when it was read to its end: each clip carries a checksum, by which one that
    came out of a damaged archive is known as another one later.

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

        Raises:
            InputError: If the archive is damaged or incomplete; no clip is called missing then.
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
                known = done.get(clip.key)
                better_is_done = known and ranks.get(known.name, ("", rank))[1] < rank
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

        def is_wanted(name: str) -> bool:
            return name in ranks and self.pattern.fullmatch(name) is not None

        for member in tar_members(self.path, is_wanted):
            clip = Clip(
                ranks[member.file_name][0],
                f"{self.path.name}:{member.name}",
                len(member.content),
                member.modified_s,
                member.content,
                crc32=zlib.crc32(member.content),
            )
            yield clip, member.refusal
