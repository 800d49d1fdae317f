"""Split protocols: which utterances train, validate and test."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, Protocol

import numpy as np
import pandas as pd

from mmemo.corpora.utterance import SPLITS
from mmemo.errors import InputError
from mmemo.values import check_seed, check_whole

Indices = np.ndarray[tuple[int], np.dtype[np.int64]]


class SplitProtocol(Protocol):
    """Assigns each utterance to train, val or test.

    ``leaky`` says that copies of one utterance may stand in several splits; ``group_columns``
    are those whose values together name a group that stands in one split alone.
    """

    name: str
    leaky: bool
    group_columns: Sequence[str]

    def assign(self, rows: pd.DataFrame, column: str) -> pd.DataFrame:
        """Give every row its split.

        Args:
            rows: Utterances in corpus order: key, split, the label, what the groups are made of.
            column: The label's column.

        Returns:
            Rows in the same order with ``split`` as the protocol has it, ``corpus_split`` as the
            corpus has it, and ``source_key``: the utterance's key, which ``key`` differs from in
            copies.

        Raises:
            InputError: If the rows do not suffice for the protocol.
        """
        ...


class OfficialSplit:
    """The corpus' own split.

    Args:
        leaky: Let clips stand in several splits, and stamp every number for it.
    """

    name = "official"
    group_columns: Sequence[str] = ()

    def __init__(self, leaky: bool = False) -> None:
        self.leaky = leaky

    def assign(self, rows: pd.DataFrame, column: str) -> pd.DataFrame:
        """Keep every row where the corpus has it."""
        return with_source(rows)


class WholeCorpus:
    """All rows are tested: those of another corpus than that of the training.

    Args:
        split: The corpus' own split that is tested alone; None for all rows.

    Raises:
        InputError: If there is no such split.
    """

    leaky = False
    group_columns: Sequence[str] = ()

    def __init__(self, split: str | None = None) -> None:
        if split not in (None, *SPLITS):
            raise InputError(
                f"split: expected null (all rows of the corpus) or {', '.join(SPLITS)}, got "
                f"'{split}'"
            )
        self.split = split
        self.name = f"its own {split}" if split else "all rows"

    def assign(self, rows: pd.DataFrame, column: str) -> pd.DataFrame:
        """Keep the rows of the split that is tested; ``split`` is "test" for each."""
        rows = with_source(rows)
        if self.split is not None:
            rows = rows[rows["split"] == self.split].reset_index(drop=True)
        return rows.assign(split="test")


class GroupDisjointSplit:
    """No group of utterances stands in two splits; the classes' shares are alike in all three.

    All rows are pooled and dealt to ``num_test_folds`` folds with scikit-learn's
    ``StratifiedGroupKFold``; one fold is the test split. The rest is dealt to ``num_val_folds``
    folds, one of which is the validation split: the first, or, in nested folds, each in turn, so
    that what is chosen for a test fold is chosen on all that is not tested in it (Varma and Simon
    2006, "Bias in error estimation when using cross-validation for model selection").

    Args:
        name: What the protocol is called in reports.
        group_columns: Columns whose values together name a group.
        num_test_folds: At least 2.
        num_val_folds: At least 2.
        test_fold: Which fold is tested, from 0; over all of them each group is tested once.
        seed: Decides the folds: equal seeds give equal ones.
        nested: Whether the validation folds take turns.
        val_fold: Which of them validates, from 0; another than 0 in nested folds alone.
        option: Where these settings stand, for messages.
        leaky: Let clips stand in several splits, and stamp every number for it.
    """

    def __init__(
        self,
        name: str,
        group_columns: Sequence[str],
        num_test_folds: int,
        num_val_folds: int,
        test_fold: int,
        seed: int,
        nested: bool = False,
        val_fold: int = 0,
        option: str = "split",
        leaky: bool = False,
    ) -> None:
        check_whole(f"{option}.num_test_folds", num_test_folds, 2)
        check_whole(f"{option}.num_val_folds", num_val_folds, 2)
        check_whole(f"{option}.test_fold", test_fold, 0)
        check_whole(f"{option}.val_fold", val_fold, 0)
        check_seed(f"{option}.seed", seed)
        for setting, fold, num_folds in (
            ("test", test_fold, num_test_folds),
            ("val", val_fold, num_val_folds),
        ):
            if not 0 <= fold < num_folds:
                raise InputError(
                    f"{option}.{setting}_fold: expected 0 to {num_folds - 1} "
                    f"({option}.num_{setting}_folds is {num_folds}), got {fold}"
                )
        if val_fold and not nested:
            raise InputError(
                f"{option}.val_fold: expected 0 where folds are not nested, got {val_fold}; set "
                f"{option}.nested=true and let all of them take turns"
            )
        self.name = name
        self.leaky = leaky
        self.option = option
        self.group_columns = list(group_columns)
        self.num_test_folds = num_test_folds
        self.num_val_folds = num_val_folds
        self.test_fold = test_fold
        self.val_fold = val_fold
        self.seed = seed

    def assign(self, rows: pd.DataFrame, column: str) -> pd.DataFrame:
        """Deal the groups to the splits.

        Raises:
            InputError: If a row names no group, there are fewer groups than folds, or a split
                lacks a class.
        """
        rows = with_source(rows)
        # Numbers in alphabetical order: scikit-learn sorts them, and deals them as it does names.
        labels = pd.factorize(rows[column], sort=True)[0]
        groups = self._groups(rows)
        everything = np.arange(len(rows))
        rest, test = self._deal(everything, labels, groups, self.num_test_folds, self.test_fold)
        _, val = self._deal(rest, labels, groups, self.num_val_folds, self.val_fold)
        split = np.full(len(rows), "train", dtype=object)
        split[test] = "test"
        split[val] = "val"
        rows["split"] = split
        self._check_classes(rows, column)
        return rows

    def _groups(self, rows: pd.DataFrame) -> np.ndarray[tuple[int], Any]:
        names = rows.reindex(columns=self.group_columns)
        unnamed = (names.isna() | (names == "")).any(axis=1)
        if unnamed.any():
            raise InputError(
                f"split={self.name}: expected {' and '.join(self.group_columns)} of every row, "
                f"{int(unnamed.sum())} of {len(rows)} rows lack them (the first is "
                f"{rows.loc[unnamed, 'key'].iloc[0]}); fill them in or choose another split"
            )
        return rows.groupby(self.group_columns, sort=True).ngroup().to_numpy()

    def _deal(
        self,
        indices: Indices,
        labels: Indices,
        groups: np.ndarray[tuple[int], Any],
        num_folds: int,
        fold: int,
    ) -> tuple[Indices, Indices]:
        """The indices outside and inside one fold."""
        from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

        num_groups = len(np.unique(groups[indices]))
        if num_groups < num_folds:
            raise InputError(
                f"split={self.name}: expected at least {num_folds} groups of one "
                f"{' and '.join(self.group_columns)}, one for each fold, got {num_groups}; lower "
                f"{self.option}.num_test_folds or {self.option}.num_val_folds"
            )
        counts = np.bincount(labels[indices])
        rarest = int(counts[counts > 0].min())
        if rarest < num_folds:
            raise InputError(
                f"split={self.name}: expected at least {num_folds} utterances of every class, one "
                f"for each fold, got {rarest} of one; lower {self.option}.num_test_folds or "
                f"{self.option}.num_val_folds, or choose other labels"
            )
        settings = {"n_splits": num_folds, "shuffle": True, "random_state": self.seed}
        if num_groups == len(indices):
            # To deal 200,000 groups of one by their groups takes minutes.
            dealt = StratifiedKFold(**settings).split(indices, labels[indices])
        else:
            by_group = StratifiedGroupKFold(**settings)
            dealt = by_group.split(indices, labels[indices], groups[indices])
        outside, inside = next(islice(dealt, fold, None))
        return indices[outside], indices[inside]

    def _check_classes(self, rows: pd.DataFrame, column: str) -> None:
        classes = set(rows[column].unique())
        for split in SPLITS:
            absent = classes - set(rows.loc[rows["split"] == split, column].unique())
            if absent:
                raise InputError(
                    f"split={self.name}: expected every class in every split, {split} lacks "
                    f"{', '.join(sorted(absent))}; choose another {self.option}.seed or fewer folds"
                )


def with_source(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the columns ``corpus_split`` and ``source_key``, from split and key."""
    rows = rows.reset_index(drop=True)
    return rows.assign(corpus_split=rows["split"], source_key=rows["key"])
