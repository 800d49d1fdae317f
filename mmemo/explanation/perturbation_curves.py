"""A class' probability while an utterance is taken away in the order of an attribution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import auc

from mmemo.explanation.chance import unrelated

Floats = NDArray[np.float64]
Masks = NDArray[np.bool_]

Score = Callable[[Masks], Floats]
"""Of masks (N, U), True where a unit (a frame or a word) is kept and its baseline stands elsewhere,
the probability (N,) of the explained class."""

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Shares of the units that the curves are taken at."""

ERASURE_SHARES = (0.1, 0.2, 0.5)
"""Those that comprehensiveness and sufficiency are averaged over."""


BETTER_SIDE = {
    "deletion area": -1,
    "insertion area": 1,
    "comprehensiveness": 1,
    "sufficiency": -1,
}
"""The measures of an order, and on which side of a random one's a good one's are."""


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
        random: By measure the number of each random order (K,).
    """

    shares: tuple[float, ...]
    deletion: tuple[float, ...]
    insertion: tuple[float, ...]
    random_deletion: tuple[float, ...]
    random_insertion: tuple[float, ...]
    random: dict[str, tuple[float, ...]]

    @property
    def measures(self) -> dict[str, float]:
        """The measures by name.

        The areas below the curves: of deletion the lower, of insertion the higher, the better the
        order. Comprehensiveness is the mean loss of probability when 10, 20 and 50 % of the units
        are deleted, sufficiency that when they alone are left, which is low where they suffice.
        """
        return measured(np.array(self.deletion), np.array(self.insertion))


def measured(deletion: Floats, insertion: Floats) -> dict[str, float]:
    """The measures of two curves (S,) at ``SHARES``."""
    erasures = [SHARES.index(share) for share in ERASURE_SHARES]
    return {
        "deletion area": float(auc(SHARES, deletion)),
        "insertion area": float(auc(SHARES, insertion)),
        "comprehensiveness": float((deletion[0] - deletion[erasures]).mean()),
        "sufficiency": float((deletion[0] - insertion[erasures]).mean()),
    }


def perturbation_curves(
    attribution: Floats, score: Score, num_random: int, seed: int, is_sound: bool = False
) -> PerturbationCurves:
    """Delete and insert an utterance's units, the most positive attribution first.

    Args:
        attribution: (U,), signed, of the explained class.
        score: Probabilities of masked utterances; asked once, for all masks.
        num_random: Random orders beside it, at least 1.
        seed: Of those orders.
        is_sound: Whether the units are frames of sound, whose random orders are as smooth in time
            as the attribution; see ``unrelated``.

    Raises:
        ValueError: If there is no unit or no random order.
    """
    num_units = len(attribution)
    if num_units == 0 or num_random < 1:
        raise ValueError(
            f"expected at least one unit and one random order, got {num_units} and {num_random}"
        )
    others = unrelated(attribution, num_random, np.random.default_rng(seed), is_sound)
    orders = np.argsort(-np.vstack([attribution, others]), axis=1, kind="stable")
    counts = [round(share * num_units) for share in SHARES]
    kept = np.ones((len(orders), len(counts), num_units), dtype=bool)
    for masks, order in zip(kept, orders, strict=True):
        for mask, count in zip(masks, counts, strict=True):
            mask[order[:count]] = False
    both = np.concatenate([kept, ~kept]).reshape(-1, num_units)
    distinct, places = np.unique(both, axis=0, return_inverse=True)
    values = score(distinct)[places.reshape(-1)].reshape(2, len(orders), len(counts))
    deletion, insertion = values
    found = [measured(*curves) for curves in zip(deletion[1:], insertion[1:], strict=True)]

    def curve(points: Floats) -> tuple[float, ...]:
        return tuple(float(point) for point in points)

    return PerturbationCurves(
        SHARES,
        curve(deletion[0]),
        curve(insertion[0]),
        curve(deletion[1:].mean(axis=0)),
        curve(insertion[1:].mean(axis=0)),
        {name: tuple(one[name] for one in found) for name in BETTER_SIDE},
    )
