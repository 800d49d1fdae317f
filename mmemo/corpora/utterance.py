"""The utterance and why one is left out; the label sets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mmemo.errors import InputError

SPLITS = ("train", "val", "test")

EMOTIONS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
"""The seven classes of MELD (Poria et al. 2019), in alphabetical order."""

MISSING_FIELD = "missing field"
"""Reason to leave out a row that lacks what it must have."""

NO_AGREEMENT = "raters disagree"
"""Reason to leave out an utterance that no majority of its raters calls by one emotion."""

UNREADABLE = "unreadable annotation"
"""Reason to leave out a row whose annotation is not of its corpus' format."""

LABEL_COLUMNS = ("emotion", "sentiment")


@dataclass(frozen=True)
class Utterance:
    """One annotated utterance and the clip that holds its sound.

    ``key`` is unique within a corpus and traceable to its source. ``dialogue_id`` may restart in
    every split, as MELD's does. ``media_path`` is where the clip lies, or would lie if its archive
    were unpacked: as text, for a ``Path`` of each row of a large corpus takes seconds. ``start_s``
    and ``end_s`` are the annotation's times inside the episode, in seconds; a duration is always
    taken from the sound instead. ``session`` is the recording session or the series that an
    utterance comes from, for a split by it; ``style`` is how its speech came about, where a corpus
    mixes ways ("improvised", "scripted"). ``traits`` are further columns of its corpus by name, to
    group and compare by: what a file's name tells beside these.
    """

    corpus: str
    key: str
    split: str
    dialogue_id: int
    utterance_id: int
    speaker: str
    transcript: str
    emotion: str
    media_path: str
    sentiment: str | None = None
    season: int | None = None
    episode: int | None = None
    start_s: float | None = None
    end_s: float | None = None
    session: str | None = None
    style: str | None = None
    traits: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Skip:
    """A row or a clip that was left out, and why.

    ``reason`` is a short fixed phrase that can be counted; ``detail`` tells the one case.
    """

    key: str
    split: str
    reason: str
    detail: str
    path: str


def _is_colour(colour: object) -> bool:
    if isinstance(colour, str) and re.fullmatch("#[0-9a-fA-F]{6}", colour):
        return True
    # Imported for other ways to write one alone: it takes a moment.
    from matplotlib.colors import CSS4_COLORS

    return isinstance(colour, str) and colour in CSS4_COLORS


class LabelSet:
    """The classes that a model tells apart: their order, names and colours.

    The head's size, the order of every table and the classes' weights follow from it.

    Args:
        name: What the set is called in reports ("five").
        colours: For each class, in order, its colour in figures.
        column: What of an utterance is told apart: "emotion" or "sentiment".

    Raises:
        InputError: If there are fewer than two classes, a colour is none, or the column is
            neither.
    """

    def __init__(self, name: str, colours: Mapping[str, str], column: str = "emotion") -> None:
        where = f"correct conf/labels/{name}.yaml"
        if len(colours) < 2:
            raise InputError(
                f"labels '{name}': expected two or more classes with their colours, got "
                f"{', '.join(colours) or 'none'}; {where}"
            )
        if column not in LABEL_COLUMNS:
            raise InputError(
                f"labels '{name}': expected column to be one of {', '.join(LABEL_COLUMNS)}, got "
                f"'{column}'; {where}"
            )
        for label, colour in colours.items():
            if not _is_colour(colour):
                raise InputError(
                    f"labels '{name}': expected a colour such as \"#0072b2\" for {label}, got "
                    f"'{colour}'; {where}"
                )
        self.name = name
        self.column = column
        self.classes = tuple(colours)
        self.colours = dict(colours)
        self._indices = {label: index for index, label in enumerate(self.classes)}

    def __len__(self) -> int:
        """Number of classes C."""
        return len(self.classes)

    def index(self, label: str) -> int:
        """Class index of a label, in [0, C)."""
        return self._indices[label]
