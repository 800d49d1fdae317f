"""The split protocol that the reproduced paper's numbers imply: copies first, splits later."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mmemo.corpora.splits import with_source
from mmemo.corpora.utterance import SPLITS
from mmemo.errors import InputError
from mmemo.values import check_seed


class OversampledBeforeSplit:
    """Oversamples, then splits at random: most rare utterances are tested on what was trained.

    Every class is repeated up to the size of the largest one (its rows in a random order, over
    and over), then all rows are split at random, stratified by class. Repeating in turn is the
    mildest form of oversampling: the copies of two rows of a class differ in number by at most
    one. It shows what a score is worth that was measured so; it is no way to measure.

    Args:
        source_splits: The corpus' splits whose rows are taken; the others' are left out.
        test_share: Share of all rows, copies included, that are tested on, in (0, 1).
        val_share: Share of all rows that are validated on; both shares leave rows to train.
        seed: Decides copies and splits: equal seeds give equal ones.
    """

    name = "oversampled_before_split"
    leaky = True
    group_columns: Sequence[str] = ()

    def __init__(
        self, source_splits: Sequence[str], test_share: float, val_share: float, seed: int
    ) -> None:
        unknown = [split for split in source_splits if split not in SPLITS]
        if unknown or not source_splits:
            raise InputError(
                f"split.source_splits: expected one or more of {', '.join(SPLITS)}, got "
                f"{', '.join(unknown) or 'none'}"
            )
        check_seed("split.seed", seed)
        if not (min(test_share, val_share) > 0 and test_share + val_share < 1):
            raise InputError(
                "split.test_share and split.val_share: expected shares above 0, together below 1, "
                f"got {test_share} and {val_share}"
            )
        self.source_splits = tuple(source_splits)
        self.test_share = test_share
        self.val_share = val_share
        self.seed = seed

    def assign(self, rows: pd.DataFrame, column: str) -> pd.DataFrame:
        """Copy the rows, then split them; copies have their source's key with ``#2``, ``#3`` added.

        Raises:
            InputError: If there are too few rows for every class in every split.
        """
        from sklearn.model_selection import train_test_split

        rows = self._oversample(with_source(rows), column)
        labels = rows[column].to_numpy()
        num_test = round(self.test_share * len(rows))
        num_val = round(self.val_share * len(rows))
        num_classes = len(set(labels))
        smallest = min(num_test, num_val, len(rows) - num_test - num_val)
        if smallest < num_classes:
            raise InputError(
                f"split={self.name}: expected at least one row of each of {num_classes} classes in "
                f"every split, got a split of {smallest} rows; raise its share or take more rows"
            )
        everything = np.arange(len(rows))
        rest, test = train_test_split(
            everything, test_size=num_test, stratify=labels, random_state=self.seed
        )
        _, val = train_test_split(
            rest, test_size=num_val, stratify=labels[rest], random_state=self.seed
        )
        split = np.full(len(rows), "train", dtype=object)
        split[test] = "test"
        split[val] = "val"
        rows["split"] = split
        return rows

    def _oversample(self, rows: pd.DataFrame, column: str) -> pd.DataFrame:
        pool = rows[rows["split"].isin(self.source_splits)].reset_index(drop=True)
        if pool.empty:
            return pool
        random = np.random.default_rng(self.seed)
        members = pool.groupby(column, sort=True).indices
        size = max(len(indices) for indices in members.values())
        copies = [np.resize(random.permutation(indices), size) for indices in members.values()]
        rows = pool.iloc[np.sort(np.concatenate(copies))].reset_index(drop=True)
        numbers = rows.groupby("key").cumcount() + 1
        rows["key"] = [
            key if number == 1 else f"{key}#{number}"
            for key, number in zip(rows["key"], numbers, strict=True)
        ]
        return rows
