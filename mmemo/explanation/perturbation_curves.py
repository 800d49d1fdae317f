"""A class' probability while an utterance is taken away in the order of an attribution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import auc

Floats = NDArray[np.float64]
Masks = NDArray[np.bool_]

Score = Callable[[Masks], Floats]
"""Of masks (N, U), True where a unit (a frame or a word) is kept and its baseline stands elsewhere,
the probability (N,) of the explained class."""

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Shares of the units that the curves are taken at."""

ERASURE_SHARES = (0.1, 0.2, 0.5)
"""Those that comprehensiveness and sufficiency are averaged over."""


@dataclass(frozen=True)
class PerturbationCurves:
    """Deletion and insertion of U units in the order of an attribution.

    Source: Petsiuk et al. 2018 (RISE) for the curves, DeYoung et al. 2020 (ERASER, section 4) for
    comprehensiveness and sufficiency, there for tokens.

    Args:
        shares: (S,), of the units.
        deletion: (S,), the probability with the most important of them at their baseline.
        insertion: (S,), with all but the most important of them at their baseline.
        random_deletion: (S,), the mean over random orders.
        random_insertion: (S,), the same.
    """

    shares: tuple[float, ...]
    deletion: tuple[float, ...]
    insertion: tuple[float, ...]
    random_deletion: tuple[float, ...]
    random_insertion: tuple[float, ...]

    @property
    def deletion_area(self) -> float:
        """Area below the deletion curve: the lower, the better the order."""
        return float(auc(self.shares, self.deletion))

    @property
    def insertion_area(self) -> float:
        """Area below the insertion curve: the higher, the better the order."""
        return float(auc(self.shares, self.insertion))

    @property
    def random_deletion_area(self) -> float:
        """The deletion area of a random order."""
        return float(auc(self.shares, self.random_deletion))

    @property
    def random_insertion_area(self) -> float:
        """The insertion area of a random order."""
        return float(auc(self.shares, self.random_insertion))

    def comprehensiveness(self, random: bool = False) -> float:
        """Mean loss of probability when 10, 20 and 50 % of the units are deleted."""
        curve = self.random_deletion if random else self.deletion
        return float(np.mean([self.deletion[0] - curve[place] for place in self._erasures()]))

    def sufficiency(self, random: bool = False) -> float:
        """Mean loss of probability when 10, 20 and 50 % alone are left; low where they suffice."""
        curve = self.random_insertion if random else self.insertion
        return float(np.mean([self.deletion[0] - curve[place] for place in self._erasures()]))

    def _erasures(self) -> list[int]:
        return [self.shares.index(share) for share in ERASURE_SHARES]


def perturbation_curves(
    attribution: Floats, score: Score, num_random: int, seed: int, is_sound: bool = False
) -> PerturbationCurves:
    """Delete and insert an utterance's units, the most positive attribution first.

    Args:
        attribution: (U,), signed, of the explained class.
        score: Probabilities of masked utterances; asked once, for all masks.
        num_random: Random orders beside it, at least 1.
        seed: Of those orders.
        is_sound: Whether the units are frames of sound. Their random orders are as smooth in
            time as the attribution: single frames taken out here and there harm speech more than
            the same share in one piece, so that any smooth attribution would look right.

    Raises:
        ValueError: If there is no unit or no random order.
    """
    num_units = len(attribution)
    if num_units == 0 or num_random < 1:
        raise ValueError(
            f"expected at least one unit and one random order, got {num_units} and {num_random}"
        )
    random = np.random.default_rng(seed)
    orders = [np.argsort(-attribution, kind="stable")]
    orders += _random_orders(attribution, num_random, random, is_sound)
    counts = [round(share * num_units) for share in SHARES]
    kept = np.ones((len(orders), len(counts), num_units), dtype=bool)
    for masks, order in zip(kept, orders, strict=True):
        for mask, count in zip(masks, counts, strict=True):
            mask[order[:count]] = False
    both = np.concatenate([kept, ~kept]).reshape(-1, num_units)
    distinct, places = np.unique(both, axis=0, return_inverse=True)
    values = score(distinct)[places.reshape(-1)].reshape(2, len(orders), len(counts))
    deletion, insertion = values

    def curve(points: Floats) -> tuple[float, ...]:
        return tuple(float(point) for point in points)

    return PerturbationCurves(
        SHARES,
        curve(deletion[0]),
        curve(insertion[0]),
        curve(deletion[1:].mean(axis=0)),
        curve(insertion[1:].mean(axis=0)),
    )


def _random_orders(
    attribution: Floats, num_random: int, random: np.random.Generator, is_sound: bool
) -> list[NDArray[np.int64]]:
    num_units = len(attribution)
    if not is_sound or num_units < 2:
        return [random.permutation(num_units) for _ in range(num_random)]
    surrogates = [_surrogate(attribution, random) for _ in range(num_random)]
    return [np.argsort(-surrogate, kind="stable") for surrogate in surrogates]


def _surrogate(attribution: Floats, random: np.random.Generator) -> Floats:
    """Noise with the spectrum of an attribution (U,), and so as smooth: its phases are drawn.

    Source: Theiler et al. 1992, "Testing for nonlinearity in time series", section 2.4.1.
    """
    spectrum = np.fft.rfft(attribution)
    phases = random.uniform(0, 2 * np.pi, size=len(spectrum))
    noise: Floats = np.fft.irfft(np.abs(spectrum) * np.exp(1j * phases), len(attribution))
    return noise
