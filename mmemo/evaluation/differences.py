"""Differences between groups of runs, each with its tests, adjusted for their number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmemo.evaluation.confusion_scores import METRICS, Floats
from mmemo.evaluation.intervals import DialogueCounts, interval
from mmemo.evaluation.significance import (
    bootstrap_p,
    holm,
    mcnemar_test,
    randomisation_p,
    seeds_note,
    sign_test_over_seeds,
    wilcoxon_over_seeds,
)

ADJUSTED = ("bootstrap_p", "randomisation_p")
"""p values that Holm's method adjusts over all pairs of a table."""


@dataclass(frozen=True)
class Scored:
    """One group's answers on the test split.

    Args:
        name: The group's.
        seeds: S seeds.
        counts: Confusion counts (S, G, C, C) by dialogue.
        right: (S, N), who was right; utterances in the same order for all groups.
    """

    name: str
    seeds: tuple[int, ...]
    counts: DialogueCounts
    right: NDArray[np.bool_]

    def only(self, seeds: Sequence[int]) -> Scored:
        """The same for some of its seeds."""
        if tuple(seeds) == self.seeds:
            return self
        places = [self.seeds.index(seed) for seed in seeds]
        counts = DialogueCounts(self.counts.counts[places])
        return Scored(self.name, tuple(seeds), counts, self.right[places])


@dataclass(frozen=True)
class DifferenceTests:
    """Tests the differences between groups on the same utterances.

    Bootstrap and its interval are of the groups' means over all of their seeds; every other test
    is of the seeds that both have.

    Args:
        metric: Name of the tested metric.
        confidence: Of the interval of a difference.
        num_resamples: Of the randomisation.
        seed: Of the randomisation.
    """

    metric: str
    confidence: float
    num_resamples: int
    seed: int

    def run(
        self, groups: Sequence[Scored], distribution: Floats, pairs: Sequence[tuple[int, int]]
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """Test pairs of groups.

        Args:
            groups: K groups.
            distribution: (K, R), each group's score in each resample of dialogues.
            pairs: Places of the two groups of each pair.

        Returns:
            A document for each pair, and notes for the reader.
        """
        common = [_with_common_seeds(groups[a], groups[b]) for a, b in pairs]
        randomised = iter(
            randomisation_p(
                [(first.counts, second.counts) for first, second in common if first.seeds],
                METRICS[self.metric],
                self.num_resamples,
                self.seed,
            )
        )
        tested = []
        for (a, b), (first, second) in zip(pairs, common, strict=True):
            pair = self._pair(groups[a], groups[b], distribution[a] - distribution[b])
            pair["randomisation_p"] = next(randomised) if first.seeds else None
            tested.append(pair | self._over_seeds(first, second))
        for name in ADJUSTED:
            known = [pair for pair in tested if pair[name] is not None]
            for pair, p in zip(known, holm([pair[name] for pair in known]), strict=True):
                pair["holm"][name] = p
        if not tested:
            return [], []
        notes = {seeds_note(pair["wilcoxon"]["num_pairs"]) for pair in tested}
        return tested, sorted(note for note in notes if note)

    def _pair(self, a: Scored, b: Scored, distribution: Floats) -> dict[str, Any]:
        metric = METRICS[self.metric]
        difference = a.counts.scores(metric).mean() - b.counts.scores(metric).mean()
        return {
            "a": a.name,
            "b": b.name,
            "difference": float(difference),
            "interval": interval(distribution, self.confidence),
            "bootstrap_p": bootstrap_p(distribution),
            "holm": dict.fromkeys(ADJUSTED),
        }

    def _over_seeds(self, a: Scored, b: Scored) -> dict[str, Any]:
        scores = [list(side.counts.scores(METRICS[self.metric])) for side in (a, b)]
        return {
            "mcnemar": [
                {"seed": seed, **asdict(mcnemar_test(right_a, right_b))}
                for seed, right_a, right_b in zip(a.seeds, a.right, b.right, strict=True)
            ],
            "wilcoxon": asdict(wilcoxon_over_seeds(*scores)),
            "sign_test": asdict(sign_test_over_seeds(*scores)),
        }


def _with_common_seeds(a: Scored, b: Scored) -> tuple[Scored, Scored]:
    seeds = [seed for seed in a.seeds if seed in b.seeds]
    return a.only(seeds), b.only(seeds)
