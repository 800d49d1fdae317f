"""Where the clips lie that a table names, perhaps by their bare names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from mmemo.errors import InputError

MEDIA_SUFFIXES = frozenset(
    (
        *(".wav", ".wave", ".w64", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".oga", ".opus"),
        *(".wma", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".amr", ".ape", ".wv", ".tta"),
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".flv"),
        *(".wmv", ".3gp", ".3g2", ".ogv", ".ac3", ".dts", ".nist", ".sph", ".mka", ".voc", ".tak"),
    )
)
"""Of files that are taken from a folder, or meant by a name without a suffix."""


class ClipPlaces:
    """Finds clips by the names that a table has for them.

    A name is looked for from ``root`` on; a bare one that is not there, in all folders below; and
    one without a suffix with any.

    Args:
        where: The table's name, for messages.
        root: The folder that names start from.
    """

    def __init__(self, where: str, root: Path) -> None:
        self.where = where
        self._root = os.path.join(root, "")  # noqa: PTH118 (it ends in a separator)

    def find(self, names: Sequence[str]) -> tuple[list[str], bool]:
        """Where each named clip lies, or would lie; and whether any of them is there.

        Raises:
            InputError: If a bare name stands for several files.
        """
        places = [_joined(self._root, name) if name else "" for name in names]
        is_there = False
        # Where a corpus is whole, one look into each folder is enough: what is missing after that
        # is looked for once.
        present: dict[str, frozenset[str]] = {}
        for index, place in enumerate(places):
            folder, _, file = place.rpartition(os.sep)
            if folder not in present:
                present[folder] = _files_in(folder)
            if not place:
                continue
            if file not in present[folder]:
                found = self._elsewhere(names[index], folder, file, present[folder])
                places[index] = found or place
                is_there |= found is not None
            else:
                is_there = True
        return places, is_there

    def _elsewhere(self, name: str, folder: str, file: str, beside: frozenset[str]) -> str | None:
        """A clip that is not where its name says, and is the only one that may be meant."""
        found = [f"{folder}{os.sep}{n}" for n in beside if _is_meant(file, n)]
        if not found and os.sep not in name:
            found = [*self._below.get(file, ())]
            found = found or [p for p in self._stems.get(file, ()) if _is_meant(file, _name(p))]
        if len(found) > 1:
            first, second = sorted(found)[:2]
            raise InputError(
                f"{self.where}: expected one clip called {name} below {self._root}, found "
                f"{len(found)}: {first} and {second}; name the folders too, or a folder that holds "
                "one of them with corpus.root=DIR"
            )
        return found[0] if found else None

    @cached_property
    def _below(self) -> dict[str, list[str]]:
        """All files below the root, by name."""
        found: dict[str, list[str]] = {}
        for folder, _, files in os.walk(self._root):
            for file in files:
                found.setdefault(file, []).append(_joined(os.path.join(folder, ""), file))  # noqa: PTH118
        return found

    @cached_property
    def _stems(self) -> dict[str, list[str]]:
        """All files below the root, by their names without a suffix."""
        found: dict[str, list[str]] = {}
        for file, places in self._below.items():
            found.setdefault(_stem(file), []).extend(places)
        return found


def _files_in(folder: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder or os.sep))  # noqa: PTH208 (for many thousand names)
    except (OSError, ValueError):
        return frozenset()


def _name(path: str) -> str:
    return path.rpartition(os.sep)[2]


def _stem(file: str) -> str:
    return os.path.splitext(file)[0]  # noqa: PTH122


def _is_meant(name: str, file: str) -> bool:
    """Whether a file is a clip that is named without its suffix."""
    stem, suffix = os.path.splitext(file)  # noqa: PTH122
    return stem == name and suffix.casefold() in MEDIA_SUFFIXES


def _joined(root: str, path: str) -> str:
    """``Path(root) / path`` as text, which costs ten times as much where the path is plain."""
    is_plain = os.sep == "/" and path[0] != "/" and path[-1] not in "/."
    if is_plain and "//" not in path and "./" not in path:
        return root + path
    return str(Path(root) / path)
