"""How far scores would vary with other dialogues: the bootstrap over dialogues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import bootstrap

from mmemo.evaluation.confusion_scores import Floats, Metric, confusion_counts

MIN_DIALOGUES = 2
"""One dialogue says nothing of others."""


@dataclass(frozen=True)
class DialogueCounts:
    """Confusion counts of the same utterances by several seeds, dialogue by dialogue.

    Utterances of one dialogue resemble each other: it is dialogues that are drawn, not utterances.

    Args:
        counts: (S, G, C, C), of S seeds and G dialogues; rows target, columns prediction.
    """

    counts: Floats

    @classmethod
    def of(
        cls,
        tables: Sequence[pd.DataFrame],
        classes: Sequence[str],
        dialogues: tuple[NDArray[np.int64], int],
    ) -> DialogueCounts:
        """Count the prediction tables of one split, one for each seed.

        Args:
            tables: Of the same utterances in the same order.
            classes: Names of the classes.
            dialogues: What ``dialogue_numbers`` says of them.
        """
        counts = [confusion_counts(table, classes, *dialogues) for table in tables]
        return cls(np.stack(counts))

    def scores(self, metric: Metric) -> Floats:
        """The metric of each seed (S,) over all dialogues."""
        return metric(self.counts.sum(axis=1))

    def weighted(self, weights: Floats) -> Floats:
        """Confusion (R, S, C, C) where dialogues count as often as weights (R, G) say."""
        seeds, dialogues, classes, _ = self.counts.shape
        flat = self.counts.transpose(1, 0, 2, 3).reshape(dialogues, -1)
        # Sums of whole numbers below 2**24 are exact in float32, which is twice as fast.
        product = weights.astype(np.float32) @ flat.astype(np.float32)
        return product.astype(np.float64).reshape(-1, seeds, classes, classes)


def dialogue_numbers(table: pd.DataFrame) -> tuple[NDArray[np.int64], int]:
    """Which dialogue (N,) each row belongs to, and how many there are.

    A dialogue is named by the corpus' own split and its id, which restarts in each split.
    """
    name = pd.MultiIndex.from_frame(table[["corpus_split", "dialogue_id"]])
    number, names = pd.factorize(name, sort=True)
    return number.astype(np.int64), len(names)


def resampled_scores(
    groups: Sequence[DialogueCounts],
    metrics: Mapping[str, Metric],
    num_resamples: int,
    seed: int,
) -> dict[str, Floats]:
    """The mean over seeds of each group's scores in each resample, by metric: (K, R).

    All groups are scored on the same resamples of dialogues, so that differences between them are
    paired (Efron and Tibshirani 1993; Koehn 2004 for the pairing).

    Args:
        groups: K groups on the same dialogues.
        metrics: By name, from confusion matrices (..., C, C) to scores.
        num_resamples: R.
        seed: Of the resamples.
    """
    num_dialogues = groups[0].counts.shape[1]
    if num_dialogues < MIN_DIALOGUES:
        return {name: np.full((len(groups), num_resamples), np.nan) for name in metrics}

    def scores(chosen: NDArray[np.int64], axis: int) -> Floats:  # (..., G) to (M, K, ...)
        weights = _how_often(np.atleast_2d(chosen), num_dialogues)
        values = np.stack([_means(group.weighted(weights), metrics) for group in groups], axis=1)
        return values if chosen.ndim > 1 else values[..., 0]

    result = bootstrap(
        (np.arange(num_dialogues),),
        scores,
        n_resamples=num_resamples,
        vectorized=True,
        axis=-1,
        method="percentile",
        random_state=np.random.default_rng(seed),
    )
    return dict(zip(metrics, result.bootstrap_distribution, strict=True))


def interval(distribution: Floats, confidence: float) -> tuple[float, float] | None:
    """The percentile interval of a resampled score (R,); None where a score is not defined."""
    if not np.isfinite(distribution).all():
        return None
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(distribution, [tail, 100 - tail])
    return float(low), float(high)


def _means(confusion: Floats, metrics: Mapping[str, Metric]) -> Floats:
    """Means over seeds of (R, S, C, C): (M, R)."""
    return np.stack([metric(confusion).mean(axis=1) for metric in metrics.values()])


def _how_often(chosen: NDArray[np.int64], num_dialogues: int) -> Floats:
    """Drawn numbers (R, G) to counts (R, G)."""
    offset = num_dialogues * np.arange(len(chosen))[:, None]
    counts = np.bincount((chosen + offset).ravel(), minlength=num_dialogues * len(chosen))
    return counts.reshape(len(chosen), num_dialogues).astype(np.float64)
