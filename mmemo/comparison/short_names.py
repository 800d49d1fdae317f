"""Names of groups where there is little room: never cut where they differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os.path import commonprefix


def short_names(names: Sequence[str], most: int) -> list[str]:
    """The names with at most so many characters each, different where the names are.

    Values without their keys where that suffices (``text, 64`` for ``modality=text,
    bottleneck_dim=64``), else without the middle, else from where they begin to differ.

    Args:
        names: Of groups, which may hold ``key=value`` apart by commas.
        most: Characters; at least 8.
    """
    shared = len(commonprefix(list(names))) if len(names) > 1 else 0
    ways: tuple[Callable[[str], str], ...] = (
        lambda name: name,
        lambda name: ", ".join(part.partition("=")[2] or part for part in name.split(", ")),
        lambda name: _without_middle(name, most),
        lambda name: _without_middle("…" + name[max(shared - 3, 0) :], most),
    )
    for way in ways:
        short = [way(name) for name in names]
        fits = all(len(name) <= most for name in short)
        if fits and len(set(short)) == len(set(names)):
            return short
    return [_without_middle(f"{rank} {name}", most) for rank, name in enumerate(names, 1)]


def _without_middle(name: str, most: int) -> str:
    if len(name) <= most:
        return name
    head = (most - 1) // 2
    return f"{name[:head]}…{name[len(name) - (most - 1 - head) :]}"
