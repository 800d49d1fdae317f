"""The utterance, the reasons to leave one out, and the label sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mmemo.errors import InputError

SPLITS = ("train", "val", "test")

EMOTIONS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
"""The seven classes of MELD (Poria et al. 2019), in alphabetical order."""


@dataclass(frozen=True)
class Utterance:
    """One annotated utterance and the clip that holds its sound.

    ``dialogue_id`` restarts in every split of MELD, so that only the split, the dialogue and
    the utterance together name an utterance. ``start_s`` and ``end_s`` are the annotation's
    times inside the episode, in seconds; a duration is always taken from the sound instead.
    """

    corpus: str
    split: str
    dialogue_id: int
    utterance_id: int
    speaker: str
    transcript: str
    emotion: str
    media_path: Path
    sentiment: str | None = None
    season: int | None = None
    episode: int | None = None
    start_s: float | None = None
    end_s: float | None = None

    @property
    def key(self) -> str:
        """``split/dia{D}_utt{U}``: unique within a corpus."""
        return f"{self.split}/dia{self.dialogue_id}_utt{self.utterance_id}"


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


@dataclass(frozen=True)
class Annotations:
    """All rows of a corpus: the usable ones in reading order, and those that cannot be used."""

    corpus: str
    utterances: tuple[Utterance, ...]
    skips: tuple[Skip, ...] = ()

    @property
    def num_rows(self) -> int:
        """Rows read: usable and skipped."""
        return len(self.utterances) + len(self.skips)


class LabelSet:
    """The classes that a model tells apart: their order, names and colours.

    Args:
        name: What the set is called in reports ("five").
        colours: For each emotion, in the order of the classes, its colour in figures.

    Raises:
        InputError: If there are fewer than two classes or one is not an emotion of MELD.
    """

    def __init__(self, name: str, colours: Mapping[str, str]) -> None:
        unknown = sorted(set(colours) - set(EMOTIONS))
        if unknown or len(colours) < 2:
            raise InputError(
                f"labels '{name}': expected two or more of {', '.join(EMOTIONS)}, "
                f"got {', '.join(colours) or 'none'}; correct conf/labels/{name}.yaml"
            )
        self.name = name
        self.classes = tuple(colours)
        self.colours = dict(colours)
        self._indices = {emotion: index for index, emotion in enumerate(self.classes)}

    def __len__(self) -> int:
        """Number of classes C."""
        return len(self.classes)

    def __contains__(self, emotion: str) -> bool:
        """Whether the emotion is one of the classes."""
        return emotion in self._indices

    def index(self, emotion: str) -> int:
        """Class index of an emotion, in [0, C)."""
        return self._indices[emotion]
