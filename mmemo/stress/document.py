"""What a stress test has found: the contents of ``stress.json``.

Tables, figures, the page and comparisons are made of these classes alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import FiniteFloat

from mmemo.documents import read_document
from mmemo.evaluation.protocol import Protocol

STRESS_FOLDER = "stress"
STRESS_FILE = "stress.json"

METRICS = ("accuracy", "macro_f1", "uar", "ece")
"""What each condition is told by; the last one is better the lower it is."""


def denoised_by(denoiser: str | None) -> str:
    """``with deepfilternet2``, ``without denoising``; a denoiser's version is left out."""
    return f"with {denoiser.split()[0]}" if denoiser else "without denoising"


@dataclass(frozen=True)
class StressScore:
    """A metric under a condition.

    Args:
        value: Of all utterances.
        difference: To the value of what it is compared with, as a rule to clean.
        interval: Of the difference, paired by unit; None where units are too few.
    """

    value: FiniteFloat
    difference: FiniteFloat
    interval: tuple[FiniteFloat, FiniteFloat] | None


@dataclass(frozen=True)
class ConditionResult:
    """What a model is worth under one condition.

    Args:
        panel: Of the small multiples the one that it is drawn in.
        curve: Its line there; nothing where there is one alone.
        level: What is written below it.
        value: Place on the axis; None for a name, or for clean.
        axis: What the values are, with their unit.
        denoiser: What denoised the sound; None for nothing.
        as_trained: Whether sound was denoised as in training.
        num_utterances: That it is of: all, or those that could be tried.
        word_error_rate: Of the words that were read; None where they were not changed.
        scores: By metric.
        neutral: Place of clean on the axis, where the values lie on both sides of it; None where
            they begin with it.
    """

    panel: str
    curve: str
    level: str
    value: FiniteFloat | None
    axis: str
    denoiser: str | None
    as_trained: bool
    num_utterances: int
    word_error_rate: FiniteFloat | None
    scores: Mapping[str, StressScore]
    neutral: FiniteFloat | None = None

    @property
    def line(self) -> str:
        """What its line in the panel is called: curve, and how it is denoised if not as trained."""
        if self.as_trained:
            return self.curve
        denoised = denoised_by(self.denoiser)
        return f"{self.curve}, {denoised}" if self.curve else denoised

    @property
    def name(self) -> tuple[str, str, str]:
        """What it is known by in another run's results."""
        return self.panel, self.line, self.level


@dataclass(frozen=True)
class DenoisingGain:
    """What denoising is worth under one condition.

    Args:
        panel: Of the condition.
        curve: Of the condition.
        level: Of the condition.
        value: Place on the axis; None for clean.
        axis: What the values are, with their unit.
        gains: By metric the value with denoising, and the difference to that without.
        beyond_clean: By metric that difference, and how much more it is than of clean sound; None
            for clean, and where clean was not tried both ways.
    """

    panel: str
    curve: str
    level: str
    value: FiniteFloat | None
    axis: str
    gains: Mapping[str, StressScore]
    beyond_clean: Mapping[str, StressScore] | None = None


@dataclass(frozen=True)
class ConflictCell:
    """Sounds of one class with words of another.

    Args:
        sound: Class of the sounds.
        words: Class of the words.
        num: How many pairs.
        answers: Pairs by the class that was answered, in label order.
    """

    sound: str
    words: str
    num: int
    answers: tuple[int, ...]


@dataclass(frozen=True)
class WinningShare:
    """A share of the pairs whose classes differ.

    Args:
        share: Of them.
        interval: Units of the sounds drawn anew; None where they are too few.
    """

    share: FiniteFloat
    interval: tuple[FiniteFloat, FiniteFloat] | None


@dataclass(frozen=True)
class Conflict:
    """Which modality wins where sound and words are of different utterances.

    Args:
        cells: For each pair of classes, sounds' classes first.
        num: Pairs whose classes differ.
        sound_wins: Those answered by the class of the sound.
        words_win: Those answered by the class of the words.
        neither: The others.
    """

    cells: tuple[ConflictCell, ...]
    num: int
    sound_wins: WinningShare
    words_win: WinningShare
    neither: WinningShare


@dataclass(frozen=True)
class StressDocument:
    """Contents of ``stress.json``: a model under conditions that it was not evaluated under.

    Args:
        run: Name of the run.
        protocol: How the run's numbers came about.
        mmemo_version: That wrote it.
        seed: Of all draws.
        num_utterances: Of the test split that were tried.
        num_of_test: Of all of it.
        num_decoded: Whose clips were decoded again; of the others prepared sound was changed. 0
            for a model that hears nothing.
        hears: Whether the model hears.
        denoiser: The run's own; None for none.
        other_denoiser: What took its place; None for none.
        unit: What is drawn anew for the intervals: "dialogue".
        num_units: How many there are.
        confidence: Of the intervals.
        interval_kind: How they are made, in words; why there are none, where units are too few.
        withheld: Whether a missing modality was withheld, as in training; else it was empty.
        majority: By metric what it is worth to answer always with the training split's most
            frequent class.
        largest_difference: Between a clean probability and that of the run's prediction table.
        clean: By metric.
        conditions: In the order of the page.
        denoising: What it is worth under conditions that were tried both ways.
        conflict: None where it was not tried.
        num_passes: Utterances that the model was asked about, over all conditions.
        seconds: That it took, over all conditions, whenever they were computed.
        left_out: Why conditions could not be tried.
    """

    VERSION: ClassVar[int] = 1

    run: str
    protocol: Protocol
    mmemo_version: str
    seed: int
    num_utterances: int
    num_of_test: int
    num_decoded: int
    hears: bool
    denoiser: str | None
    other_denoiser: str | None
    unit: str
    num_units: int
    confidence: FiniteFloat
    interval_kind: str
    withheld: bool
    majority: Mapping[str, FiniteFloat]
    largest_difference: FiniteFloat
    clean: Mapping[str, FiniteFloat]
    conditions: tuple[ConditionResult, ...]
    denoising: tuple[DenoisingGain, ...]
    conflict: Conflict | None
    num_passes: int
    seconds: FiniteFloat
    left_out: tuple[str, ...] = ()


def read_stress(folder: Path) -> StressDocument:
    """What ``mmemo stress`` has written of a run.

    Args:
        folder: The run's.

    Raises:
        InputError: If it is missing, damaged, or of another version.
    """
    path = folder / STRESS_FOLDER / STRESS_FILE
    remedy = "write it again with `mmemo stress run=DIR`"
    return read_document(path, StressDocument, "the results of a stress test", remedy)
