"""Split protocols: which utterances train, validate and test."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd

from mmemo.corpora.utterance import SPLITS
from mmemo.errors import InputError
from mmemo.values import check_seed, check_whole

Indices = np.ndarray[tuple[int], np.dtype[np.int64]]

ALL_FOLDS = "all"
"""As ``split.test_fold`` of a sweep: each fold once."""


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


@runtime_checkable
class FoldedSplit(Protocol):
    """A split protocol that tests one of several folds."""

    test_fold: int
    num_test_folds: int | None

    def count_folds(self, rows: pd.DataFrame) -> int:
        """How many there are of these rows."""
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

    A class may be rarer than the folds, or be of few groups: some splits then lack it.

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
        _check_test_fold(option, test_fold)
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

    def count_folds(self, rows: pd.DataFrame) -> int:
        """How many test folds there are, whatever the rows."""
        return self.num_test_folds

    def assign(self, rows: pd.DataFrame, column: str) -> pd.DataFrame:
        """Deal the groups to the splits.

        Raises:
            InputError: If a row names no group, or there are fewer groups than folds.
        """
        rows = with_source(rows)
        groups = group_numbers(rows, self.group_columns, self.name)
        labels = _class_numbers(rows, column)
        everything = np.arange(len(rows))
        rest, test = self._deal(everything, labels, groups, self.num_test_folds, self.test_fold)
        _, val = self._deal(rest, labels, groups, self.num_val_folds, self.val_fold)
        return _with_splits(rows, val, test)

    def _deal(
        self, indices: Indices, labels: Indices, groups: Indices, num_folds: int, fold: int
    ) -> tuple[Indices, Indices]:
        """The indices outside and inside one fold."""
        num_groups = len(np.unique(groups[indices]))
        if num_groups < num_folds:
            raise InputError(
                f"split={self.name}: expected at least {num_folds} groups of one "
                f"{' and '.join(self.group_columns)}, one for each fold, got {num_groups}; lower "
                f"{self.option}.num_test_folds or {self.option}.num_val_folds"
            )
        dealt = stratified_folds(indices, labels, groups, num_folds, self.seed)
        return next(islice(dealt, fold, None))


class LeaveOneGroupOut:
    """One group is tested, others validate, the rest trains: so many folds as there are groups.

    Groups are numbered in the alphabetical order of their names; over all folds each is tested
    once, by a model that has seen nothing of it. Validation is of whole groups of the rest too:
    one of ``num_val_folds`` folds by ``StratifiedGroupKFold``, or a single group where there are
    no more groups than folds.

    Args:
        name: What the protocol is called in reports.
        group_columns: Columns whose values together name a group: speaker, session, corpus.
        test_fold: The group that is tested, from 0.
        num_val_folds: One in so many groups of the rest validates, at least 2.
        seed: Decides which; equal seeds give equal ones.
        val_group_columns: Columns whose values name what validates as a whole, where that is
            smaller than a group: speakers of a corpus. None for the groups themselves.
        option: Where these settings stand, for messages.
        leaky: Let clips stand in several splits, and stamp every number for it.
    """

    def __init__(
        self,
        name: str,
        group_columns: Sequence[str],
        test_fold: int,
        num_val_folds: int,
        seed: int,
        val_group_columns: Sequence[str] | None = None,
        option: str = "split",
        leaky: bool = False,
    ) -> None:
        _check_test_fold(option, test_fold)
        check_whole(f"{option}.num_val_folds", num_val_folds, 2)
        check_seed(f"{option}.seed", seed)
        self.name = name
        self.leaky = leaky
        self.option = option
        self.group_columns = list(group_columns)
        self.val_group_columns = list(val_group_columns or group_columns)
        self.num_val_folds = num_val_folds
        self.test_fold = test_fold
        self.seed = seed
        self.num_test_folds: int | None = None

    def count_folds(self, rows: pd.DataFrame) -> int:
        """How many groups the rows have.

        Raises:
            InputError: If a row names none.
        """
        return int(group_numbers(rows, self.group_columns, self.name).max(initial=-1)) + 1

    def assign(self, rows: pd.DataFrame, column: str) -> pd.DataFrame:
        """Leave one group out; ``num_test_folds`` then says how many there are.

        Raises:
            InputError: If a row names no group, there is no group of that number, or there are too
                few to validate by.
        """
        rows = with_source(rows)
        groups = group_numbers(rows, self.group_columns, self.name)
        what = " and ".join(self.group_columns)
        num_groups = self.num_test_folds = self.count_folds(rows)
        if not self.test_fold < num_groups:
            raise InputError(
                f"{self.option}.test_fold: expected 0 to {num_groups - 1}, as {num_groups} groups "
                f"of one {what} are there, got {self.test_fold}; "
                f"`mmemo train -m {self.option}.test_fold=all` runs each once"
            )
        test, rest = (np.flatnonzero(groups == self.test_fold), groups != self.test_fold)
        by = group_numbers(rows, self.val_group_columns, self.name)
        val = self._validation(np.flatnonzero(rest), _class_numbers(rows, column), by)
        return _with_splits(rows, val, test)

    def _validation(self, rest: Indices, labels: Indices, groups: Indices) -> Indices:
        num_groups = len(np.unique(groups[rest]))
        what = " and ".join(self.val_group_columns)
        if num_groups < 2:
            raise InputError(
                f"split={self.name}: expected at least 2 groups of one {what} beside the tested "
                f"one, to train and to validate on, got {num_groups}; name smaller ones that "
                f"validation can be made of: {self.option}.val_group_columns=[speaker]"
            )
        num_folds = min(self.num_val_folds, num_groups)
        dealt = stratified_folds(rest, labels, groups, num_folds, self.seed)
        # Of very unlike groups a fold may get none.
        return next(inside for outside, inside in dealt if len(inside) and len(outside))


def group_numbers(rows: pd.DataFrame, columns: Sequence[str], name: str) -> Indices:
    """The group of each row (N,), from 0 in the alphabetical order of the groups' names.

    Args:
        rows: Utterances.
        columns: Columns whose values together name a group.
        name: What the split protocol is called, for the message.

    Raises:
        InputError: If a row names no group.
    """
    names = rows.reindex(columns=list(columns))
    unnamed = (names.isna() | (names == "")).any(axis=1)
    if unnamed.any():
        raise InputError(
            f"split={name}: expected {' and '.join(columns)} of every row, "
            f"{int(unnamed.sum())} of {len(rows)} rows lack them (the first is "
            f"{rows.loc[unnamed, 'key'].iloc[0]}); fill them in or choose another split"
        )
    return rows.groupby(list(columns), sort=True).ngroup().to_numpy().astype(np.int64)


def stratified_folds(
    indices: Indices, labels: Indices, groups: Indices, num_folds: int, seed: int
) -> Iterator[tuple[Indices, Indices]]:
    """Deal rows to folds by their groups, each fold with about its share of every class.

    Args:
        indices: (M,), the rows that are dealt.
        labels: (N,), class of each of all rows.
        groups: (N,), group of each.
        num_folds: At most as many as the groups of these rows.
        seed: Of the order in which groups are dealt.

    Yields:
        For each fold the indices outside and inside.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    strata = labels[indices]
    if np.bincount(strata).max() < num_folds:
        # No class suffices for a row in each fold: they are dealt by size alone.
        strata = np.zeros_like(strata)
    settings = {"n_splits": num_folds, "shuffle": True, "random_state": seed}
    with warnings.catch_warnings():
        # Classes that are rarer than the folds; who trains tells what a split lacks.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        if len(np.unique(groups[indices])) == len(indices):
            # To deal 200,000 groups of one by their groups takes minutes.
            dealt = list(StratifiedKFold(**settings).split(indices, strata))
        else:
            by_group = StratifiedGroupKFold(**settings)
            dealt = list(by_group.split(indices, strata, groups[indices]))
    for outside, inside in dealt:
        yield indices[outside], indices[inside]


def _check_test_fold(option: str, test_fold: object) -> None:
    if test_fold == ALL_FOLDS:
        raise InputError(
            f"{option}.test_fold={ALL_FOLDS}: expected a sweep, which runs each fold once; write "
            f"`mmemo train -m … {option}.test_fold={ALL_FOLDS}`"
        )
    check_whole(f"{option}.test_fold", test_fold, 0)


def _class_numbers(rows: pd.DataFrame, column: str) -> Indices:
    """(N,), in alphabetical order: scikit-learn sorts them, and deals them as it does names."""
    return pd.factorize(rows[column], sort=True)[0].astype(np.int64)


def _with_splits(rows: pd.DataFrame, val: Indices, test: Indices) -> pd.DataFrame:
    split = np.full(len(rows), "train", dtype=object)
    split[test] = "test"
    split[val] = "val"
    return rows.assign(split=split)


def with_source(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the columns ``corpus_split`` and ``source_key``, from split and key."""
    rows = rows.reset_index(drop=True)
    return rows.assign(corpus_split=rows["split"], source_key=rows["key"])
