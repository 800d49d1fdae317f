"""A table of texts that every format is written from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Cell(NamedTuple):
    """One cell.

    Args:
        text: What is read.
        key: What it is sorted by; None where it is undefined.
    """

    text: str
    key: float | str | None = None


@dataclass(frozen=True)
class TextTable:
    """A table of a comparison.

    Args:
        name: What it holds, for choosing among tables.
        title: Above it.
        header: One text for each column; a line break stands where a narrow column breaks.
        align: One letter for each column: ``l`` for names, ``r`` for numbers.
        rows: Of as many cells as the header.
        note: What must be known to read it.
    """

    name: str
    title: str
    header: Sequence[str]
    align: str
    rows: Sequence[Sequence[Cell]]
    note: str = ""


def named(text: str) -> Cell:
    """A cell that is sorted as it reads."""
    return Cell(text, text)
