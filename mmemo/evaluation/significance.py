"""Whether groups of trained models differ: randomisation over units, tests over seeds.

The tests over seeds are scipy's; this file lays out what they are asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, wilcoxon

from mmemo.evaluation.confusion_scores import Floats, Metric, Tallies
from mmemo.evaluation.intervals import UnitTallies, stacked

SEEDS_FOR_SIGNIFICANCE = 6
"""Fewer pairs have no two-sided p below 0.05, however they fall: 2 / 2**5 = 0.0625."""

SAME = 1e-9
"""Differences of scores up to here are rounding."""

SWAPS_AT_A_TIME = 500

ALL_WAYS_UP_TO = 14
"""Units whose 2**14 = 16,384 ways are all tried, however few draws were asked for."""


@dataclass(frozen=True)
class SeedTest:
    """A test over seeds.

    Args:
        p: Two-sided; None where no pair differs.
        smallest_p: What it would be if every seed favoured the same group.
        num_pairs: Seeds that both groups have.
    """

    p: float | None
    smallest_p: float | None
    num_pairs: int


@dataclass(frozen=True)
class McNemar:
    """McNemar's question of two runs on the same utterances, asked of units.

    Args:
        p: Two-sided; None where there is one unit alone.
        only_a_right: Utterances that the first alone gets right.
        only_b_right: Utterances that the second alone gets right.
    """

    p: float | None
    only_a_right: int
    only_b_right: int


@dataclass(frozen=True)
class UnitSwaps:
    """Which units' answers change sides, for approximate randomisation.

    Source: Noreen 1989; Yeh 2000. Where there are no more ways than draws, or few units, each way
    is tried once.

    Args:
        num_units: G.
        num_resamples: Ways that are drawn, where not all are tried.
        seed: Seed of the draws.
    """

    num_units: int
    num_resamples: int
    seed: int

    @property
    def is_exact(self) -> bool:
        """Whether all ways are tried."""
        num = self.num_units
        return num <= ALL_WAYS_UP_TO or (num < 63 and 2**num <= self.num_resamples)

    @property
    def smallest_p(self) -> float | None:
        """Two-sided, of a difference that no way exceeds; None where there is one unit alone."""
        if self.num_units < 2:
            return None
        return 2 / 2**self.num_units if self.is_exact else 1 / (self.num_resamples + 1)

    @cached_property
    def stays(self) -> NDArray[np.bool_]:
        """(R, G), True where a unit's answers stay on their side."""
        if self.is_exact:
            ways = np.arange(2**self.num_units)[:, None]
            tried: NDArray[np.bool_] = np.equal((ways >> np.arange(self.num_units)) & 1, 0)
            return tried
        random = np.random.default_rng(self.seed)
        drawn = random.integers(2, size=(self.num_resamples, self.num_units), dtype=np.uint8)
        return np.equal(drawn, 0)

    def p(self, exceeding: int) -> float:
        """From how many of the ways give at least the difference that was seen (R)."""
        if self.is_exact:
            return float(exceeding / 2**self.num_units)
        # The way that was seen is one of them (Phipson and Smyth 2010).
        return float((exceeding + 1) / (self.num_resamples + 1))


def randomisation_p(
    pairs: Sequence[tuple[UnitTallies, UnitTallies]], metric: Metric, swaps: UnitSwaps
) -> list[float | None]:
    """Two-sided p of approximate randomisation: each unit's answers change sides or do not.

    The statistic is the difference of the means over runs, of which both sides have as many. All
    pairs see the same swaps.

    Args:
        pairs: On the same units.
        metric: What is compared.
        swaps: Which of those units change sides in each way.

    Returns:
        p of each pair; None where there is one unit alone.
    """
    if not pairs:
        return []
    if swaps.num_units < 2:
        return [None] * len(pairs)
    sides = list({id(side): side for pair in pairs for side in pair}.values())
    first = np.cumsum([0, *(side.num_runs for side in sides)])
    place = {id(side): slice(a, b) for side, a, b in zip(sides, first, first[1:], strict=False)}
    runs = stacked(sides)
    totals = runs.totals
    seen = [_difference(metric, *(_part(totals, place[id(s)]) for s in pair)) for pair in pairs]
    exceeding = np.zeros(len(pairs), np.int64)
    stays = swaps.stays
    for start in range(0, len(stays), SWAPS_AT_A_TIME):
        kept = runs.weighted(stays[start : start + SWAPS_AT_A_TIME].astype(np.float64))
        for number, pair in enumerate(pairs):
            a, b = (_part(kept, place[id(side)]) for side in pair)
            all_a, all_b = (_part(totals, place[id(side)]) for side in pair)
            moved = [a.right - b.right, a.predicted - b.predicted]
            swapped = (
                Tallies(all_b.right + moved[0], all_b.predicted + moved[1], totals.annotated),
                Tallies(all_a.right - moved[0], all_a.predicted - moved[1], totals.annotated),
            )
            found = np.abs(_difference(metric, *swapped))
            exceeding[number] += int((found >= np.abs(seen[number]) - SAME).sum())
    return [swaps.p(int(count)) for count in exceeding]


def _part(tallies: Tallies, runs: slice) -> Tallies:
    return Tallies(tallies.right[..., runs, :], tallies.predicted[..., runs, :], tallies.annotated)


def _difference(metric: Metric, a: Tallies, b: Tallies) -> Floats:
    """Of the means over runs: (...)."""
    difference: Floats = metric(a).mean(axis=-1) - metric(b).mean(axis=-1)
    return difference


def mcnemar_tests(
    pairs: Sequence[tuple[UnitTallies, UnitTallies]],
    right: Sequence[tuple[NDArray[np.bool_], NDArray[np.bool_]]],
    swaps: UnitSwaps,
) -> list[McNemar]:
    """McNemar's test (1947) over units: who of two runs is right changes sides unit by unit.

    McNemar's own counts utterances as independent, which those of one dialogue or speaker are not
    (Durkalski et al. 2003). Where each unit is one utterance, this is its exact form.

    Args:
        pairs: Counts of two runs each, on the same units.
        right: Who of them is right, (N,) each.
        swaps: Which of those units change sides in each way.
    """
    gains = [a.right[0].sum(axis=-1) - b.right[0].sum(axis=-1) for a, b in pairs]
    p_values: list[float | None] = [None] * len(pairs)
    if pairs and swaps.num_units > 1:
        net = np.stack(gains, axis=1).astype(np.float32)
        exceeding = np.zeros(len(pairs), np.int64)
        for start in range(0, len(swaps.stays), SWAPS_AT_A_TIME):
            stays = swaps.stays[start : start + SWAPS_AT_A_TIME]
            # Sums of whole numbers are exact.
            found = np.abs(np.where(stays, np.float32(1), np.float32(-1)) @ net)
            exceeding += (found >= np.abs(net.sum(axis=0))).sum(axis=0)
        p_values = [swaps.p(int(count)) for count in exceeding]
    return [
        McNemar(p, int((a & ~b).sum()), int((~a & b).sum()))
        for p, (a, b) in zip(p_values, right, strict=True)
    ]


def wilcoxon_over_seeds(a: Sequence[float], b: Sequence[float]) -> SeedTest:
    """Wilcoxon's signed-rank test (1945) of the scores of the same seeds."""
    differences = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    smallest = _smallest_wilcoxon_p(len(a)) if len(a) else None
    p = float(wilcoxon(differences).pvalue) if np.any(differences) else None
    return SeedTest(p, smallest, len(a))


def sign_test_over_seeds(a: Sequence[float], b: Sequence[float]) -> SeedTest:
    """The sign test of the scores of the same seeds; ties are left out."""
    differences = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    higher, untied = int((differences > 0).sum()), int((differences != 0).sum())
    smallest = float(binomtest(0, len(a)).pvalue) if len(a) else None
    p = float(binomtest(higher, untied).pvalue) if untied else None
    return SeedTest(p, smallest, len(a))


@lru_cache
def _smallest_wilcoxon_p(num_pairs: int) -> float:
    return float(wilcoxon(np.arange(1, num_pairs + 1)).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values adjusted for their number (Holm 1979)."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    factors = np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * p[order]))
    return [float(value) for value in adjusted]


def seeds_note(num_seeds: int) -> str | None:
    """What a reader must know of tests over few seeds; None for six and more."""
    if num_seeds >= SEEDS_FOR_SIGNIFICANCE:
        return None
    if num_seeds == 0:
        return "Groups without a common seed have no tests of pairs of seeds."
    smallest = float(binomtest(0, num_seeds).pvalue)
    return (
        f"With {num_seeds} seed{'s' if num_seeds > 1 else ''} no two-sided p below 0.05 can be "
        f"reached over seeds, whatever the scores (the smallest is {smallest:.3g}); "
        f"{SEEDS_FOR_SIGNIFICANCE} are needed at least."
    )
