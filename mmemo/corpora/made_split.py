"""A seeded split for a corpus that has none of its own."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pandas as pd

from mmemo.corpora.splits import GroupDisjointSplit
from mmemo.corpora.utterance import SPLITS

log = logging.getLogger(__name__)


def made_split(
    corpus: str,
    rows: pd.DataFrame,
    labels: pd.Series[str],
    group_columns: Sequence[str],
    num_test_folds: int,
    num_val_folds: int,
    seed: int,
) -> tuple[list[str], str]:
    """Deal rows to train, val and test so that no group stands in two.

    Rare labels are dealt with the most frequent one: too few for a stratum of their own.

    Args:
        corpus: Its name, for messages.
        rows: With the columns key and those of the groups.
        labels: Whose shares are to be alike in all splits.
        group_columns: Columns whose values together name a group.
        num_test_folds: One in so many groups goes to test.
        num_val_folds: One in so many of the rest goes to val.
        seed: Decides which.

    Returns:
        The split of each row, and how it was made, in words.

    Raises:
        InputError: If there are fewer groups than folds, or a row names none.
    """
    counts = labels.value_counts()
    is_rare = labels.map(counts) < num_test_folds + num_val_folds
    pooled = rows.assign(split="", stratum=labels.mask(is_rare, counts.index[0]))
    folds = (num_test_folds, num_val_folds)
    protocol = GroupDisjointSplit(corpus, group_columns, *folds, 0, seed, option="corpus")
    split = protocol.assign(pooled, "stratum")["split"]
    for name in SPLITS:
        there = labels[split.to_numpy() == name].unique()
        absent = sorted(set(counts.index) - set(there))
        if absent:
            log.warning("%s: the split '%s' has no %s", corpus, name, ", ".join(absent))
    return split.tolist(), f"made here, by {' and '.join(group_columns)}, seed {seed}"
