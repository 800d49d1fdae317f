"""Conditions that a model is tried under."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Literal

from mmemo.audio.perturbations import Perturbation
from mmemo.stress.words import WordChange

AS_TRAINED: Literal["as trained"] = "as trained"
OTHERWISE: Literal["otherwise"] = "otherwise"
DENOISING = (AS_TRAINED, OTHERWISE)
"""With the run's own denoiser or none, as it was trained; or the other of the two."""

AUDIO, TEXT = "audio", "text"
CLEAN = "clean"


@dataclass(frozen=True, eq=False)
class Condition:
    """What is done to every utterance of the test split.

    Two are the same only where they are one object; ``identity`` tells what answers depend on.

    Args:
        panel: Of the small multiples the one that it is drawn in.
        curve: Its line there; nothing where there is one alone.
        level: What is written below it.
        value: Place on the axis; None for names, which stand side by side.
        axis: What the values are, with their unit.
        neutral: Value that changes nothing, where others lie on both sides of it; else None.
        sound: Done to the sound as it was recorded; None for nothing.
        denoising: Of ``DENOISING``.
        words: Done to the words; None for nothing.
        recogniser: Whose words are read: what the words of a recogniser of speech depend on;
            nothing for one that is still to be named; None for the annotated words.
        without: Modality that is withheld, "audio" or "text"; None for none.
        words_of: Class whose words the sounds are given; None for their own words.
    """

    panel: str
    curve: str = ""
    level: str = ""
    value: float | None = None
    axis: str = ""
    neutral: float | None = None
    sound: Perturbation | None = None
    denoising: str = AS_TRAINED
    words: WordChange | None = None
    recogniser: str | None = None
    without: str | None = None
    words_of: str | None = None

    @property
    def prepares_sound(self) -> bool:
        """Whether sound has to be denoised and resampled anew."""
        return self.sound is not None or self.denoising == OTHERWISE

    @property
    def name(self) -> str:
        """What it is called in the terminal."""
        return ", ".join(part for part in (self.panel, self.curve, self.level) if part)

    @property
    def draws(self) -> str:
        """Names its random draws: those of one curve, and of both denoisings, are the same."""
        return f"{self.panel}, {self.curve}"

    def identity(self) -> str:
        """Text that changes with anything that its answers depend on, beside model and data."""
        parts = (self.sound, self.denoising, self.words, self.recogniser, self.without)
        draws = self.draws if self.sound is not None or self.words is not None else None
        return repr([*map(described, parts), self.words_of, draws])


def described(part: object) -> str:
    """An object's class and settings, and the state of files that it reads."""
    kind = f"{type(part).__module__}.{type(part).__qualname__}"
    state = part.state() if hasattr(part, "state") else ""
    if is_dataclass(part):
        told = {one.name: getattr(part, one.name) for one in fields(part) if one.repr}
    else:
        told = getattr(part, "__dict__", {"value": part})
    return f"{kind} {told} {state}"


CLEAN_CONDITION = Condition(CLEAN)
"""Sound and words as evaluation gives them."""
