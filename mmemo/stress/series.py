"""Series of conditions, such as make a curve, and which of them a model can be tried under."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from mmemo.audio.perturbations import Perturbation
from mmemo.errors import InputError
from mmemo.extras import MissingPackageError
from mmemo.stress.conditions import (
    AS_TRAINED,
    AUDIO,
    CLEAN,
    CLEAN_CONDITION,
    DENOISING,
    OTHERWISE,
    TEXT,
    Condition,
)
from mmemo.stress.words import WordChange, WordErrors
from mmemo.values import check_real

SNR = "snr_db"
"""Ends the names of a perturbation's parameters that are ratios of sound to noise."""


class Series(Protocol):
    """Conditions that belong together."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Modalities, "audio" and "text", that a model has to have for it."""
        ...

    def conditions(self) -> list[Condition]:
        """All of them, in the order of their axis."""
        ...

    def check(self) -> None:
        """Find what would fail later.

        Raises:
            InputError: Such as a package that is not installed.
        """
        ...


@dataclass(frozen=True)
class SoundSeries:
    """A perturbation at several strengths.

    Args:
        panel: Title of its small multiple.
        axis: What the levels are, with their unit.
        perturbation: Makes it from keyword arguments.
        parameters: Names of those that are set to the level: ends of a range, as a rule.
        levels: Numbers, from little to much; ratios of sound to noise in any order.
        curve: Its line, where several series share a panel.
        denoising: Of ``DENOISING`` one or both.
        neutral: Level that changes nothing, where others lie on both sides of it; None where the
            levels begin beyond it.

    Raises:
        InputError: If there is no level, or no such way of denoising.
    """

    panel: str
    axis: str
    perturbation: Callable[..., Perturbation]
    parameters: Sequence[str]
    levels: Sequence[float]
    curve: str = ""
    denoising: Sequence[str] = (AS_TRAINED,)
    neutral: float | None = None
    needs: tuple[str, ...] = field(default=(AUDIO,), init=False)

    def __post_init__(self) -> None:
        """Check the levels."""
        where = f"conditions: {self.panel}"
        if not self.levels:
            raise InputError(f"{where}: expected at least one of levels, got none")
        unknown = [name for name in self.denoising if name not in DENOISING]
        if unknown or not self.denoising:
            raise InputError(
                f"{where}: expected denoising of {', '.join(DENOISING)}, got "
                f"{', '.join(map(str, unknown)) or 'none'}"
            )

    def conditions(self) -> list[Condition]:
        """Each level with each denoising; without the run's own, clean sound too."""
        found = []
        for denoising in self.denoising:
            if denoising == OTHERWISE:
                clean = Condition(self.panel, self.curve, CLEAN, None, self.axis, self.neutral)
                found.append(replace(clean, denoising=denoising))
            for level in self._levels_to_the_worst():
                sound = self.perturbation(**dict.fromkeys(self.parameters, level))
                condition = Condition(
                    self.panel,
                    self.curve,
                    f"{level:g}",
                    float(level),
                    self.axis,
                    self.neutral,
                    sound,
                )
                found.append(replace(condition, denoising=denoising))
        return found

    def _levels_to_the_worst(self) -> Sequence[float]:
        """As they are given; ratios of sound to noise falling, in whatever order they are given."""
        are_ratios = any(name.endswith(SNR) for name in self.parameters)
        if not are_ratios or not all(isinstance(level, int | float) for level in self.levels):
            return self.levels
        return sorted(self.levels, reverse=True)

    def check(self) -> None:
        """Check each perturbation."""
        with named_errors(self.panel):
            check_sounds([one.sound for one in self.conditions()])


@dataclass(frozen=True)
class NamedSounds:
    """Perturbations side by side, each by its name.

    Args:
        panel: Title of their small multiple.
        sounds: By name.
    """

    panel: str
    sounds: Mapping[str, Perturbation]
    needs: tuple[str, ...] = field(default=(AUDIO,), init=False)

    def conditions(self) -> list[Condition]:
        """One for each."""
        return [Condition(self.panel, "", name, sound=one) for name, one in self.sounds.items()]

    def check(self) -> None:
        """Check each perturbation."""
        with named_errors(self.panel):
            check_sounds(list(self.sounds.values()))


@dataclass(frozen=True)
class WordErrorSeries:
    """Wrong words at several rates.

    Args:
        panel: Title of their small multiple.
        curve: Its line there.
        kinds: Of ``mmemo.stress.words.KINDS`` some, equally often.
        rates: Wrong words as a share of all that were said.

    Raises:
        InputError: If a rate is not within 0 and 1, or there is no such kind.
    """

    panel: str
    curve: str
    kinds: Sequence[str]
    rates: Sequence[float]
    needs: tuple[str, ...] = field(default=(TEXT,), init=False)

    def __post_init__(self) -> None:
        """Check the rates."""
        for rate in self.rates:
            check_real(f"conditions: {self.panel}: rates", rate, 0)

    def conditions(self) -> list[Condition]:
        """One for each rate."""
        return [
            Condition(
                self.panel,
                self.curve,
                f"{100 * rate:g} %",
                100 * rate,
                "word error rate, %",
                words=WordErrors(rate, tuple(self.kinds)),
            )
            for rate in self.rates
        ]

    def check(self) -> None:
        """Check the kinds."""
        self.conditions()


@dataclass(frozen=True)
class NamedWords:
    """Changes of the words side by side, each by its name.

    Args:
        panel: Title of their small multiple.
        changes: By name.
    """

    panel: str
    changes: Mapping[str, WordChange]
    needs: tuple[str, ...] = field(default=(TEXT,), init=False)

    def conditions(self) -> list[Condition]:
        """One for each."""
        return [Condition(self.panel, "", name, words=one) for name, one in self.changes.items()]

    def check(self) -> None:
        """Nothing can be wrong."""


@dataclass(frozen=True)
class RecogniserName:
    """A recogniser of speech.

    Args:
        label: What it is called.
        identity: What its words depend on.
    """

    label: str
    identity: str


@dataclass(frozen=True)
class RecognisedWords:
    """The words of a recogniser of speech, where one is chosen.

    Args:
        panel: Title of its small multiple.
        name: Stands there before the recogniser's name.
    """

    panel: str
    name: str
    needs: tuple[str, ...] = field(default=(AUDIO, TEXT), init=False)

    def conditions(self) -> list[Condition]:
        """One, whose recogniser is still to be named."""
        return [Condition(self.panel, "", self.name, recogniser="")]

    def check(self) -> None:
        """Nothing can be wrong."""


@dataclass(frozen=True)
class OneModality:
    """Sound alone, and words alone.

    Args:
        panel: Title of their small multiple.
    """

    panel: str
    needs: tuple[str, ...] = field(default=(AUDIO, TEXT), init=False)

    def conditions(self) -> list[Condition]:
        """Both."""
        return [
            Condition(self.panel, "", "sound alone", without=TEXT),
            Condition(self.panel, "", "words alone", without=AUDIO),
        ]

    def check(self) -> None:
        """Nothing can be wrong."""


@dataclass(frozen=True)
class Contradiction:
    """The sound of each utterance with words of another one, of each class.

    Args:
        panel: Title of its small multiple.
    """

    panel: str
    needs: tuple[str, ...] = field(default=(AUDIO, TEXT), init=False)

    def conditions(self) -> list[Condition]:
        """One, which stands for all classes: ``of_class`` makes that of each."""
        return [Condition(self.panel, "", "words of another", words_of="")]

    def check(self) -> None:
        """Nothing can be wrong."""


def chosen_conditions(
    series: Sequence[Series],
    modalities: Sequence[str],
    classes: Sequence[str],
    recogniser: RecogniserName | None,
    denoises_otherwise: bool,
) -> list[Condition]:
    """The conditions of some series that a model can be tried under, clean first.

    Args:
        series: In the order of the page.
        modalities: The model's, "audio" and "text".
        classes: Its classes: a contradiction is tried with words of each.
        recogniser: The recogniser of speech; None where there is none.
        denoises_otherwise: Whether there is another way of denoising than the run's own.

    Raises:
        InputError: If there is none but clean, or a recogniser and none that reads its words.
    """
    found = []
    for one in series:
        if not set(one.needs) <= set(modalities):
            continue
        for condition in one.conditions():
            if condition.denoising == OTHERWISE and not denoises_otherwise:
                continue
            if condition.recogniser is not None:
                if recogniser is None:
                    continue
                condition = replace(
                    condition,
                    level=f"{condition.level} {recogniser.label}",
                    recogniser=recogniser.identity,
                )
            if condition.words_of is not None:
                found += [replace(condition, words_of=c, level=f"words of {c}") for c in classes]
                continue
            found.append(condition)
    if not found:
        raise InputError(
            f"conditions: expected some that a model of {' and '.join(modalities)} can be tried "
            "under, got none; choose others: conditions=[noise,channel,words,modality]"
        )
    if recogniser is not None and all(one.recogniser is None for one in found):
        raise InputError(
            "asr: expected conditions.recognised, which is one of conditions=[words], and a model "
            f"of audio and text, got a model of {' and '.join(modalities)} and no condition that "
            f"reads the words of {recogniser.label}; choose words, or leave asr out"
        )
    return [CLEAN_CONDITION, *found]


def usable_series(series: Sequence[Series]) -> tuple[list[Series], list[str]]:
    """Those series whose packages are installed, and of each other one why it is left out.

    Raises:
        InputError: If one would fail for another reason.
    """
    found, left_out = [], []
    for one in series:
        try:
            one.check()
            found.append(one)
        except MissingPackageError as error:
            left_out.append(str(error))
    return found, left_out


@contextmanager
def named_errors(panel: str) -> Iterator[None]:
    """Put the panel in front of what a perturbation, which knows of none, complains about."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"conditions, {panel}: {error}") from error


def check_sounds(sounds: Sequence[Perturbation | None]) -> None:
    """Let each perturbation that can find out early what it would fail by.

    Raises:
        InputError: As they do.
    """
    for sound in sounds:
        if sound is not None and hasattr(sound, "check"):
            sound.check()
