"""The utterance and why one is left out; the label sets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmemo.corpora.label_colours import with_colours
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
    group and compare by: what a file's name tells beside these. ``clip_start_s`` and
    ``clip_end_s`` bound the stretch of the clip that the utterance is, in seconds; None for the
    clip's own beginning and end. ``ratings`` are the votes of several raters, as JSON: label to
    number.
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
    clip_start_s: float | None = None
    clip_end_s: float | None = None
    ratings: str | None = None


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


def joint_name(corpus: str, name: str) -> str:
    """``demo/train/dia0_utt0``; nothing stays nothing."""
    return f"{corpus}/{name}" if name else name


def own_name(corpus: str, name: str) -> str:
    """What the corpus itself calls it."""
    return name.removeprefix(f"{corpus}/")


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
        colours: For classes their colours in figures; where no classes are given, in their order.
            A class without one gets a colour that its neighbours differ from for all eyes.
        column: What of an utterance is told apart: "emotion" or "sentiment".
        classes: Their names in order; None for those of the colours.

    Raises:
        InputError: If there are fewer than two classes, one is named twice, a colour is none or of
            no class, or the column is neither.
    """

    def __init__(
        self,
        name: str,
        colours: Mapping[str, str] | None = None,
        column: str = "emotion",
        classes: Sequence[str] | None = None,
    ) -> None:
        where = f"correct conf/labels/{name}.yaml, or what labels names"
        given = {str(label): colour for label, colour in (colours or {}).items()}
        names = [*given] if classes is None else [str(label) for label in classes]
        if len(names) < 2 or len(set(names)) < len(names) or "" in names:
            raise InputError(
                f"labels '{name}': expected two or more classes, each once, got "
                f"{', '.join(names) or 'none'}; {where}"
            )
        if column not in LABEL_COLUMNS:
            raise InputError(
                f"labels '{name}': expected column to be one of {', '.join(LABEL_COLUMNS)}, got "
                f"'{column}'; {where}"
            )
        if others := [label for label in given if label not in names]:
            raise InputError(
                f"labels '{name}': expected colours of {', '.join(names)}, got one of "
                f"{', '.join(others)}; {where}"
            )
        for label, colour in given.items():
            if not _is_colour(colour):
                raise InputError(
                    f"labels '{name}': expected a colour such as \"#0072b2\" for {label}, got "
                    f"'{colour}'; {where}"
                )
        every = with_colours(names, given)
        self.name = name
        self.column = column
        self.classes = tuple(names)
        self.colours = every
        self._indices = {label: index for index, label in enumerate(self.classes)}

    def __len__(self) -> int:
        """Number of classes C."""
        return len(self.classes)

    def index(self, label: str) -> int:
        """Class index of a label, in [0, C)."""
        return self._indices[label]
