"""A seeded split for a corpus that has none of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from mmemo.corpora.splits import GroupDisjointSplit
from mmemo.corpora.utterance import SPLITS


@dataclass(frozen=True)
class MadeSplit:
    """Which split each row was dealt to.

    Args:
        of_rows: The split of each row.
        origin: How they were made, in words.
        lacking: For each split that lacks classes, which, in words.
    """

    of_rows: tuple[str, ...]
    origin: str
    lacking: tuple[str, ...]


def made_split(
    corpus: str,
    rows: pd.DataFrame,
    labels: pd.Series[str],
    group_columns: Sequence[str],
    num_test_folds: int,
    num_val_folds: int,
    seed: int,
) -> MadeSplit:
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

    Raises:
        InputError: If there are fewer groups than folds, or a row names none.
    """
    counts = labels.value_counts()
    is_rare = labels.map(counts) < num_test_folds + num_val_folds
    pooled = rows.assign(split="", stratum=labels.mask(is_rare, counts.index[0]))
    folds = (num_test_folds, num_val_folds)
    protocol = GroupDisjointSplit(corpus, group_columns, *folds, 0, seed, option="corpus")
    split = protocol.assign(pooled, "stratum")["split"].to_numpy()
    lacking = []
    for name in SPLITS:
        absent = sorted(set(counts.index) - set(labels[split == name].unique()))
        if absent:
            lacking.append(f"the split '{name}' has no {', '.join(absent)}")
    origin = f"made here, by {' and '.join(group_columns)}, seed {seed}"
    return MadeSplit(tuple(split.tolist()), origin, tuple(lacking))
