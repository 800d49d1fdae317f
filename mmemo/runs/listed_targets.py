"""What the configs of ``conf/`` build for a run, and where."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml

from mmemo.folders import config_dir

Place = tuple[str, ...]
"""Keys from the root of a config; an item of a list is ``[]``."""

ITEM = "[]"
COMMANDS = ("train.yaml", "base.yaml", "cache.yaml")
"""What a run's config is composed of, beside the groups."""

NO_GROUPS = ("hydra", "published", "wandb", "segments", "asr", "format")
"""Folders of conf/ that no run's config takes anything from."""

_PACKAGE = re.compile(r"^#\s*@package\s+(\S+)", re.MULTILINE)
_NODE = re.compile(r"^\$\{([\w.]+)\}$")
_VALUES = re.compile(r"^\$\{oc\.dict\.values:\s*([\w.]+)\s*\}$")


@dataclass
class ListedTargets:
    """What is built at which place.

    Args:
        targets: By place the targets, each with whether it is partial.
        expressions: By place the values that have an interpolation.
        packages: That denoisers' files are looked for in.
    """

    targets: defaultdict[Place, dict[str, bool]] = field(default_factory=lambda: defaultdict(dict))
    expressions: defaultdict[Place, set[str]] = field(default_factory=lambda: defaultdict(set))
    packages: set[str] = field(default_factory=set)

    def own_paths(self) -> Iterator[Place]:
        """Places of files and folders in the run folder."""
        for place, texts in self.expressions.items():
            if any("${run_dir}" in text for text in texts):
                yield place


@cache
def listed_targets() -> ListedTargets:
    """What the configs of ``conf/`` build for a run, read from them."""
    listed = ListedTargets()
    folder = config_dir()
    groups = [path for path in folder.iterdir() if path.is_dir() and path.name not in NO_GROUPS]
    files = [folder / name for name in COMMANDS]
    for path in [*files, *(file for group in groups for file in sorted(group.rglob("*.yaml")))]:
        text = path.read_text(encoding="utf-8")
        config = yaml.safe_load(text) or {}
        _note(listed, config, _package(path, folder, text))
    _add_references(listed)
    return listed


def _package(path: Path, folder: Path, text: str) -> Place:
    """Where a file's keys stand in the composed config."""
    group = path.parent.relative_to(folder).parts
    named = _PACKAGE.search(text)
    if named is None:
        return group
    return () if named[1] == "_global_" else tuple(named[1].split("."))


def _note(listed: ListedTargets, node: object, place: Place) -> None:
    if isinstance(node, Mapping):
        if "_target_" in node:
            listed.targets[place][node["_target_"]] = bool(node.get("_partial_", False))
            if place == ("denoiser",) and isinstance(node.get("package"), str):
                listed.packages.add(node["package"])
        for key, value in node.items():
            if not (place == () and key in ("defaults", "hydra")):
                _note(listed, value, (*place, str(key)))
    elif isinstance(node, list):
        for value in node:
            _note(listed, value, (*place, ITEM))
    elif isinstance(node, str) and "${" in node:
        listed.expressions[place].add(node)


def _add_references(listed: ListedTargets) -> None:
    """What stands at a place is also built where another one refers to it."""
    for place, texts in listed.expressions.items():
        for text in texts:
            for pattern, inserted in ((_NODE, ()), (_VALUES, (ITEM,))):
                found = pattern.match(text)
                if found is not None:
                    _copy(listed.targets, tuple(found[1].split(".")), (*place, *inserted))


def _copy(targets: dict[Place, dict[str, bool]], source: Place, place: Place) -> None:
    skipped = len(source) + (place[-1] == ITEM)
    for held, built in list(targets.items()):
        if held[: len(source)] == source and len(held) >= skipped:
            targets[place + held[skipped:]].update(built)
