"""Whether two groups of runs differ: tests over utterances, dialogues and seeds.

The tests are scipy's and statsmodels'; this file lays out what they are asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, permutation_test, wilcoxon
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from mmemo.evaluation.confusion_scores import Floats, Metric
from mmemo.evaluation.intervals import MIN_DIALOGUES, DialogueCounts

SEEDS_FOR_SIGNIFICANCE = 6
"""Fewer pairs have no two-sided p below 0.05, however they fall: 2 / 2**5 = 0.0625."""

EXACT_BELOW = 25
"""Discordant utterances below which McNemar's test is exact."""


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
    """McNemar's test (1947) of two runs on the same utterances.

    Args:
        p: Two-sided; exact (binomial) below 25 discordant utterances, else with continuity
            correction.
        only_a_right: Utterances that the first alone gets right.
        only_b_right: Those that the second alone gets right.
    """

    p: float
    only_a_right: int
    only_b_right: int


def bootstrap_p(differences: Floats) -> float | None:
    """Two-sided p of paired bootstrap differences (R,): twice the smaller share beyond 0.

    Source: Davison and Hinkley 1997, section 4.4, with one added so that it is never 0.
    None where a score is not defined in a resample.
    """
    if not np.isfinite(differences).all():
        return None
    beyond = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return min(1.0, 2 * (beyond + 1) / (len(differences) + 1))


def randomisation_p(
    pairs: Sequence[tuple[DialogueCounts, DialogueCounts]],
    metric: Metric,
    num_resamples: int,
    seed: int,
) -> list[float | None]:
    """Two-sided p of approximate randomisation: each dialogue's answers change sides or do not.

    Source: Noreen 1989; Yeh 2000. The statistic is the difference of the means over seeds, of which
    both sides have as many. All pairs see the same swaps.

    Args:
        pairs: On the same G dialogues.
        metric: What is compared.
        num_resamples: Swaps that are drawn; where there are fewer in all, each is tried once.
        seed: Of the swaps.

    Returns:
        p of each pair; None where there is one dialogue alone.
    """
    if not pairs:
        return []
    num_dialogues = pairs[0][0].counts.shape[1]
    if num_dialogues < MIN_DIALOGUES:
        return [None] * len(pairs)
    sides = {id(side): side for pair in pairs for side in pair}
    totals = {key: side.counts.sum(axis=1) for key, side in sides.items()}

    def differences(x: NDArray[np.int64], y: NDArray[np.int64], axis: int) -> Floats:
        # x (..., G) holds g where dialogue g is answered by its own side, and G + g by the other.
        stays = (np.atleast_2d(x) < num_dialogues).astype(np.float64)
        kept = {key: side.weighted(stays) for key, side in sides.items()}
        values = np.empty((len(stays), len(pairs)))
        for place, (a, b) in enumerate(pairs):
            moved = kept[id(a)] - kept[id(b)]
            first, second = totals[id(b)] + moved, totals[id(a)] - moved
            values[:, place] = metric(first).mean(axis=1) - metric(second).mean(axis=1)
        return values.reshape(*np.shape(x)[:-1], len(pairs))

    places = np.arange(num_dialogues)
    result = permutation_test(
        (places, places + num_dialogues),
        differences,
        permutation_type="samples",
        vectorized=True,
        n_resamples=num_resamples,
        axis=-1,
        random_state=np.random.default_rng(seed),
    )
    return [float(p) for p in result.pvalue]


def mcnemar_test(a_right: NDArray[np.bool_], b_right: NDArray[np.bool_]) -> McNemar:
    """McNemar's test of who is right (N,) on the same utterances."""
    table = [
        [int((a_right & b_right).sum()), int((a_right & ~b_right).sum())],
        [int((~a_right & b_right).sum()), int((~a_right & ~b_right).sum())],
    ]
    discordant = table[0][1] + table[1][0]
    p = float(mcnemar(table, exact=discordant < EXACT_BELOW).pvalue) if discordant else 1.0
    return McNemar(p, table[0][1], table[1][0])


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
    if not p_values:
        return []
    return [float(p) for p in multipletests(p_values, method="holm")[1]]


def seeds_note(num_seeds: int) -> str | None:
    """What a reader must know of tests over few seeds; None for six and more."""
    if num_seeds >= SEEDS_FOR_SIGNIFICANCE:
        return None
    if num_seeds == 0:
        return "Groups without a common seed are compared by bootstrap alone."
    smallest = float(binomtest(0, num_seeds).pvalue)
    return (
        f"With {num_seeds} seed{'s' if num_seeds > 1 else ''} no two-sided p below 0.05 can be "
        f"reached over seeds, whatever the scores (the smallest is {smallest:.3g}); "
        f"{SEEDS_FOR_SIGNIFICANCE} are needed at least."
    )
