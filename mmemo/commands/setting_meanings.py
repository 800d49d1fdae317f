"""What the comments of a config's files say of its settings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mmemo.runs.joint_option import GROUP, JOINT, PARTS

SEVERAL = ", "
"""Between the options of a group of which several are chosen."""

GLOBAL_PACKAGE = "# @package _global_"
KEY_LINE = re.compile(r"(?P<indent> *)(?P<key>[\w.-]+|null):(?P<rest>( .*)?)$")
DEFAULT = re.compile(r"^  - (\w+)$", re.MULTILINE)
TRAILING = re.compile(r"(?:^|\s)# (?P<comment>.*)$")


@dataclass(frozen=True)
class Meaning:
    """What is said of a setting.

    Args:
        above: Lines in front of it.
        beside: What stands behind its value.
    """

    above: tuple[str, ...] = ()
    beside: str = ""


def meanings(folder: Path, command: str, choices: Mapping[str, str]) -> dict[str, Meaning]:
    """Meaning by dotted key, for a command and the options that are chosen.

    Args:
        folder: ``conf/``.
        command: Whose config it is.
        choices: The chosen option of each group, or several with commas between them.
    """
    found: dict[str, Meaning] = {}
    for path in (*_with_defaults(folder / f"{command}.yaml"), folder / "base.yaml"):
        if path.is_file():
            _add(found, path, "")
    chosen = []
    for key, option in choices.items():
        group, _, package = key.partition("@")
        files = [folder / group / f"{name}.yaml" for name in option.split(SEVERAL)]
        chosen += [(package or group, file) for file in files]
    if any(place.startswith(f"{GROUP}.{PARTS}.") for place, _ in chosen):
        chosen.append((GROUP, folder / GROUP / f"{JOINT}.yaml"))
    there = [(group, path) for group, path in chosen if path.is_file()]
    # Experiments and the like change what other groups explain.
    for group, path in sorted(there, key=lambda pair: _is_global(pair[1])):
        for part in _with_defaults(path):
            _add(found, part, group.replace("/", "."), is_chosen=part == path)
    return found


def _is_global(path: Path) -> bool:
    return path.read_text(encoding="utf-8").startswith(GLOBAL_PACKAGE)


def _with_defaults(path: Path) -> Iterator[Path]:
    """An option's file and those of its group that it is made from."""
    yield path
    for name in DEFAULT.findall(path.read_text(encoding="utf-8")):
        other = path.with_name(f"{name}.yaml")
        if other.is_file() and other != path:
            yield from _with_defaults(other)


def _add(found: dict[str, Meaning], path: Path, group: str, is_chosen: bool = True) -> None:
    text = path.read_text(encoding="utf-8")
    prefix = f"{group}." if group and not text.startswith(GLOBAL_PACKAGE) else ""
    for key, meaning in _commented(text):
        # What is said of an option as a whole is said of no other option.
        if key and (meaning.above or meaning.beside):
            found.setdefault(f"{prefix}{key}", meaning)
        elif prefix and is_chosen and not key:
            found.setdefault(group, meaning)


def _commented(text: str) -> Iterator[tuple[str, Meaning]]:
    """Key and meaning of each setting in a file; of the file itself under an empty key."""
    parents: list[tuple[int, str]] = []
    above: list[str] = []
    is_first = True
    for line in text.removeprefix(GLOBAL_PACKAGE).strip("\n").splitlines():
        if line.lstrip().startswith("#"):
            above.append(line.lstrip("# "))
            continue
        matched = KEY_LINE.match(line)
        if matched is None:
            above = []
            continue
        indent = len(matched["indent"])
        while parents and parents[-1][0] >= indent:
            parents.pop()
        parents.append((indent, matched["key"]))
        key = ".".join(name for _, name in parents)
        if is_first and matched["key"] in ("_target_", "defaults"):
            yield "", Meaning(tuple(above))
            above = []
        beside = TRAILING.search(matched["rest"])
        yield key, Meaning(tuple(above), beside["comment"] if beside else "")
        above, is_first = [], False
