"""Rates of drawn answers whose truth is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rate = float | None

LEVEL = 0.05
NUM_RESAMPLES = 1000
DIALOGUE_SIZE = 9.6


@dataclass(frozen=True)
class Row:
    """What was simulated, and the rates of both methods; None where a method gives no answer."""

    what: str
    nominal: float
    before: Rate
    after: Rate


def repeated(repeats: int, seed: int) -> Iterator[np.random.Generator]:
    """A generator for each repeat."""
    for number in range(repeats):
        yield np.random.default_rng([seed, number])


def rate(answers: list[bool | None]) -> Rate:
    """Share of the answers that are true; None where there is hardly any."""
    known = [answer for answer in answers if answer is not None]
    return float(np.mean(known)) if len(known) > len(answers) / 2 else None


def holds(bounds: tuple[float, float] | None, truth: float) -> bool | None:
    """Whether an interval holds the truth."""
    return None if bounds is None else bounds[0] <= truth <= bounds[1]


def is_below(p: float | None) -> bool | None:
    """Whether a p is significant."""
    return None if p is None else p < LEVEL


def dialogue_sizes(random: np.random.Generator, num: int) -> NDArray[np.int64]:
    """Utterances of each dialogue, as many as MELD's on average."""
    return 1 + random.poisson(DIALOGUE_SIZE - 1, size=num)
