"""Clips inside a packed archive."""

from __future__ import annotations

import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from mmemo.corpora.clips import MISSING, Clip, Done, is_done
from mmemo.corpora.utterance import Utterance
from mmemo.errors import InputError


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
                better_is_done = ranks.get(done.get(clip.key, ("", 0, 0))[0], ("", rank))[1] < rank
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
                    modified_s = int(member.mtime)
                    clip = Clip(ranks[name][0], source, member.size, modified_s, content)
                    yield clip, reason
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
