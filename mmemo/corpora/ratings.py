"""Several raters' labels of one clip, and what most of them say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmemo.corpora.agreement import Agreement
from mmemo.corpora.text_table import whole_number
from mmemo.errors import InputError

TIES = ("skip", "first")
TIE = "tie of raters"
"""Reason to leave out a row that no label has most votes of."""


@dataclass(frozen=True)
class Rated:
    """What raters say of each row.

    Args:
        labels: The majority's; '' where there is none.
        votes: As JSON, label to number, in the order in which labels are first named.
        is_tied: Where labels have most votes together.
        agreement: Of all rows.
    """

    labels: pd.Series[str]
    votes: pd.Series[str]
    is_tied: pd.Series[bool]
    agreement: Agreement


def votes_of_columns(
    where: str,
    cells: pd.DataFrame,
    ratings: Sequence[str] | Mapping[str, str],
    emotions: Mapping[str, str],
) -> list[dict[str, int]]:
    """Each row's votes, from a column for each rater, or for each label with its count.

    Args:
        where: The table's name, for messages.
        cells: The table.
        ratings: The raters' columns, or by label the column of its counts.
        emotions: What labels are called here.

    Raises:
        InputError: If a column is missing, or a count is no whole number.
    """
    columns = list(ratings.values()) if isinstance(ratings, Mapping) else list(ratings)
    absent = [str(name) for name in columns if name not in cells]
    if absent or not columns:
        raise InputError(
            f"{where}: missing the columns {', '.join(absent) or 'of raters'}, which "
            f"corpus.ratings names; there are {', '.join(cells.columns)[:500]}"
        )
    if not isinstance(ratings, Mapping):
        given = [cells[name].str.strip().str.lower().tolist() for name in columns]
        return [_counted(row, emotions) for row in zip(*given, strict=True)]
    counts: dict[str, NDArray[np.int64]] = {}
    for label, numbers in _counts_by_label(where, cells, ratings).items():
        name = emotions.get(label, label)
        counts[name] = counts.get(name, 0) + numbers
    return [
        {label: int(numbers[row]) for label, numbers in counts.items() if numbers[row]}
        for row in range(len(cells))
    ]


def votes_by_name(
    where: str, cells: pd.DataFrame, ratings: Sequence[str] | Mapping[str, str]
) -> dict[str, int]:
    """All rows' votes by the label as the table writes it; arguments as of votes_of_columns."""
    if isinstance(ratings, Mapping):
        counts = _counts_by_label(where, cells, ratings)
        return {label: int(numbers.sum()) for label, numbers in counts.items() if numbers.any()}
    labels = pd.concat([cells[name].str.strip().str.lower() for name in ratings])
    return {str(label): int(n) for label, n in labels[labels != ""].value_counts().items()}


def votes_of_rows(labels: pd.Series[str], clips: pd.Series[int]) -> list[dict[str, int]]:
    """Each clip's votes from rows of one rater each.

    Args:
        labels: The rows' labels.
        clips: Which clip a row is of, numbered in the order of their first rows.
    """
    found: list[list[str]] = [[] for _ in range(int(clips.max()) + 1)]
    for label, clip in zip(labels, clips, strict=True):
        found[clip].append(label)
    return [_counted(given, {}) for given in found]


def rate(votes: Sequence[Mapping[str, int]], index: pd.Index[int], ties: str) -> Rated:
    """The majority's labels.

    Args:
        votes: Of each row.
        index: The rows'.
        ties: "skip": none where several labels have most votes; "first": the one of these that is
            named first.

    Raises:
        InputError: If the rule is neither.
    """
    if ties not in TIES:
        raise InputError(f"corpus.ties: expected one of {', '.join(TIES)}, got '{ties}'")
    labels, tied = [], []
    for given in votes:
        most = max(given.values(), default=0)
        best = [label for label, count in given.items() if count == most]
        tied.append(len(best) > 1)
        labels.append(best[0] if len(best) == 1 or (best and ties == "first") else "")
    return Rated(
        labels=pd.Series(labels, index=index, dtype=object),
        votes=pd.Series([json.dumps(dict(v)) if v else "" for v in votes], index=index),
        is_tied=pd.Series(tied, index=index, dtype=bool),
        agreement=_agreement(votes, sum(tied)),
    )


def _agreement(votes: Sequence[Mapping[str, int]], num_ties: int) -> Agreement:
    sizes = np.array([sum(given.values()) for given in votes])
    rated = sizes[sizes > 0]
    usual = int(np.bincount(rated).argmax()) if len(rated) else 0
    chosen = [given for given, size in zip(votes, sizes, strict=True) if size == usual > 0]
    labels = sorted({label for given in chosen for label in given})
    kappa = None
    if usual > 1 and len(labels) > 1:
        # Imported here: it takes a second.
        from statsmodels.stats.inter_rater import fleiss_kappa

        kappa = float(fleiss_kappa([[given.get(name, 0) for name in labels] for given in chosen]))
    return Agreement(len(chosen), usual, kappa, num_ties)


def _counted(labels: Sequence[str], emotions: Mapping[str, str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for label in labels:
        name = emotions.get(label, label)
        if name:
            found[name] = found.get(name, 0) + 1
    return found


def _counts_by_label(
    where: str, cells: pd.DataFrame, ratings: Mapping[str, str]
) -> dict[str, NDArray[np.int64]]:
    """Each row's counts (N,) by label."""
    counts: dict[str, NDArray[np.int64]] = {}
    for label, column in ratings.items():
        name = label.strip().lower()
        counts[name] = counts.get(name, 0) + np.array(_counts(where, cells, column), np.int64)
    return counts


def _counts(where: str, cells: pd.DataFrame, name: str) -> list[int]:
    found = [whole_number(cell.strip().removesuffix(".0") or "0") for cell in cells[name]]
    for row, number in enumerate(found):
        if number is None:
            raise InputError(
                f"{where}: expected a number of votes in {name}, got "
                f"'{cells[name].iloc[row][:60]}' in the {row + 1}. row; correct it, or name "
                "columns of raters in corpus.ratings"
            )
    return [number or 0 for number in found]
