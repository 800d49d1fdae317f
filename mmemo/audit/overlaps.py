"""What two splits share: transcripts, speakers, episodes.

All functions take the table that ``findings.audit_table`` makes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

PAIRS = (("val", "train"), ("test", "train"), ("test", "val"))
"""Which split is looked for in which: (val, train) asks what of val stands in train."""

EPISODE = ["season", "episode"]


@dataclass(frozen=True)
class SharedTranscripts:
    """Rows of one split whose text also stands in another.

    Args:
        split: The split whose rows are counted.
        other: The split in which their text is looked for.
        scope: Which rows of both were taken: "all", or the name of a label set.
        normalised: Whether texts are compared normalised, or exactly.
        num_rows: Rows of ``split``.
        num_shared: Rows of ``split`` whose text stands in ``other``.
        num_texts: How many different texts are shared.
        num_same_label: Shared rows with the label of at least one copy.
        num_other_label: Shared rows with the label of none of the copies.
        num_mixed: Shared rows with at least one copy of another label (they may have one of the
            same label, too).
    """

    split: str
    other: str
    scope: str
    normalised: bool
    num_rows: int
    num_shared: int
    num_texts: int
    num_same_label: int
    num_other_label: int
    num_mixed: int


@dataclass(frozen=True)
class SharedRow:
    """A row whose normalised text also stands in another split, with the copies' labels."""

    key: str
    other: str
    transcript: str
    label: str
    copies: dict[str, int]
    first_copy: str


@dataclass(frozen=True)
class SharedValues:
    """Speakers or episodes of one split that also stand in another.

    Args:
        what: "speakers" or "episodes".
        split: The split whose values and rows are counted.
        other: The split in which they are looked for.
        num_values: Different values in ``split``.
        num_shared_values: Values that stand in ``other`` too.
        num_rows: Rows of ``split`` that have a value.
        num_shared_rows: Rows with a shared value.
        unshared: The values that do not stand in ``other``.
    """

    what: str
    split: str
    other: str
    num_values: int
    num_shared_values: int
    num_rows: int
    num_shared_rows: int
    unshared: tuple[str, ...]


def shared_transcripts(table: pd.DataFrame, scope: str) -> tuple[SharedTranscripts, ...]:
    """Count shared texts for each pair of splits that occur, exactly and normalised.

    Args:
        table: The rows to take; those without a transcript are left out.
        scope: What they are called.
    """
    table = table[table["transcript"] != ""]
    return tuple(
        _count_shared(split, other, mine, theirs, scope, normalised)
        for normalised in (False, True)
        for split, other, mine, theirs in _pairs(table)
    )


def _count_shared(
    split: str, other: str, mine: pd.DataFrame, theirs: pd.DataFrame, scope: str, normalised: bool
) -> SharedTranscripts:
    column = "text" if normalised else "transcript"
    copies = _labels_by_text(theirs, column)
    shared = [
        (text, label, copies[text])
        for text, label in zip(mine[column], mine["label"], strict=True)
        if text in copies
    ]
    num_same = sum(label in labels for _, label, labels in shared)
    return SharedTranscripts(
        split=split,
        other=other,
        scope=scope,
        normalised=normalised,
        num_rows=len(mine),
        num_shared=len(shared),
        num_texts=len({text for text, _, _ in shared}),
        num_same_label=num_same,
        num_other_label=len(shared) - num_same,
        num_mixed=sum(bool(labels.keys() - {label}) for _, label, labels in shared),
    )


def shared_rows(table: pd.DataFrame) -> tuple[SharedRow, ...]:
    """Every row whose normalised text stands in another split, pair after pair."""
    table = table[table["transcript"] != ""]
    rows = []
    for _, other, mine, theirs in _pairs(table):
        copies = _labels_by_text(theirs, "text")
        first = theirs.drop_duplicates("text").set_index("text")["key"].to_dict()
        found = mine[mine["text"].isin(copies)]
        columns = (found[name] for name in ("key", "transcript", "label", "text"))
        rows += [
            SharedRow(key, other, transcript, label, dict(copies[text]), first[text])
            for key, transcript, label, text in zip(*columns, strict=True)
        ]
    return tuple(rows)


def _labels_by_text(rows: pd.DataFrame, column: str) -> dict[str, Counter[str]]:
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    for text, label in zip(rows[column], rows["label"], strict=True):
        labels[text][label] += 1
    return dict(labels)


def shared_speakers(table: pd.DataFrame) -> tuple[SharedValues, ...]:
    """Count shared speakers, by name; rows without one are left out."""
    known = table.dropna(subset=["speaker"])
    return _shared_values(known, "speakers", list(known["speaker"]))


def shared_episodes(table: pd.DataFrame) -> tuple[SharedValues, ...]:
    """Count shared episodes, by season and number; rows without them are left out."""
    known = table.dropna(subset=EPISODE)
    numbers = zip(known["season"], known["episode"], strict=True)
    names = [f"season {season}, episode {episode}" for season, episode in numbers]
    return _shared_values(known, "episodes", names)


def _shared_values(
    table: pd.DataFrame, what: str, values: Sequence[str]
) -> tuple[SharedValues, ...]:
    counts = []
    for split, other, mine, theirs in _pairs(table.assign(value=values)):
        known = set(theirs["value"])
        unique = list(dict.fromkeys(mine["value"]))
        unshared = tuple(value for value in unique if value not in known)
        counts.append(
            SharedValues(
                what=what,
                split=split,
                other=other,
                num_values=len(unique),
                num_shared_values=len(unique) - len(unshared),
                num_rows=len(mine),
                num_shared_rows=int(mine["value"].isin(known).sum()),
                unshared=unshared,
            )
        )
    return tuple(counts)


def _pairs(table: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame, pd.DataFrame]]:
    """Each pair of splits that both have rows, with their rows."""
    by_split = {str(split): rows for split, rows in table.groupby("split", sort=False)}
    return [
        (split, other, by_split[split], by_split[other])
        for split, other in PAIRS
        if split in by_split and other in by_split
    ]
