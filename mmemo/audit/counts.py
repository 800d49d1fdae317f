"""How much a corpus holds: rows, dialogues, speakers and classes; gaps; colliding keys.

All functions take the table that ``findings.audit_table`` makes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from mmemo.corpora.utterance import SPLITS


@dataclass(frozen=True)
class SplitCounts:
    """What one split holds.

    Args:
        split: Its name.
        num_rows: Usable annotated rows.
        num_dialogues: Different dialogue ids.
        num_speakers: Different names of speakers.
        labels: Rows of each class, alphabetically.
        num_in_label_set: Rows whose class belongs to the label set of the audit.
        speakers: Rows of each speaker, the most frequent first.
    """

    split: str
    num_rows: int
    num_dialogues: int
    num_speakers: int
    labels: dict[str, int]
    num_in_label_set: int
    speakers: dict[str, int]


@dataclass(frozen=True)
class DialogueGap:
    """A dialogue that lacks utterance ids below its highest."""

    dialogue_id: int
    missing_utterance_ids: tuple[int, ...]


@dataclass(frozen=True)
class SplitGaps:
    """Ids that one split lacks.

    Args:
        split: Its name.
        num_missing_dialogues: Dialogue ids lacking between the split's lowest and highest.
        missing_dialogue_ids: Every such id.
        num_dialogues_with_gaps: Dialogues that lack an utterance id.
        num_missing_utterances: Utterance ids lacking, over all dialogues.
        dialogues: Dialogues that lack an utterance id, and which.
    """

    split: str
    num_missing_dialogues: int
    missing_dialogue_ids: tuple[int, ...]
    num_dialogues_with_gaps: int
    num_missing_utterances: int
    dialogues: tuple[DialogueGap, ...]


@dataclass(frozen=True)
class Collisions:
    """Pairs of dialogue and utterance id that stand in several splits.

    Args:
        num_keys: How many pairs.
        num_rows: How many rows have one of them.
        by_splits: How many pairs stand in just these splits ("train, test").
    """

    num_keys: int
    num_rows: int
    by_splits: dict[str, int]


def splits_of(table: pd.DataFrame) -> list[str]:
    """The splits that occur, in the usual order."""
    present = set(table["split"])
    return [split for split in SPLITS if split in present]


def count_splits(table: pd.DataFrame, classes: Sequence[str]) -> tuple[SplitCounts, ...]:
    """Count each split.

    Args:
        table: Annotated rows.
        classes: Classes of the label set.
    """
    counts = []
    for split in splits_of(table):
        rows = table[table["split"] == split]
        labels = rows["label"].value_counts().sort_index()
        speakers = rows["speaker"].value_counts()
        counts.append(
            SplitCounts(
                split=split,
                num_rows=len(rows),
                num_dialogues=rows["dialogue_id"].nunique(),
                num_speakers=len(speakers),
                labels={str(label): int(n) for label, n in labels.items()},
                num_in_label_set=int(rows["label"].isin(classes).sum()),
                speakers={str(name): int(n) for name, n in speakers.items()},
            )
        )
    return tuple(counts)


def find_gaps(table: pd.DataFrame) -> tuple[SplitGaps, ...]:
    """Find ids that are left out; nothing where a corpus' keys are not made of such ids.

    Utterances are expected from the corpus' lowest utterance id (0 in MELD) up to the highest of
    their dialogue, dialogues from the split's lowest id up to its highest.
    """
    ids = zip(table["split"], table["dialogue_id"], table["utterance_id"], strict=True)
    if list(table["key"]) != [f"{split}/dia{d}_utt{u}" for split, d, u in ids]:
        return ()
    first = int(table["utterance_id"].min())
    found = []
    for split in splits_of(table):
        rows = table[table["split"] == split]
        present: dict[int, set[int]] = defaultdict(set)
        for dialogue_id, utterance_id in zip(
            rows["dialogue_id"], rows["utterance_id"], strict=True
        ):
            present[int(dialogue_id)].add(int(utterance_id))
        gaps = [
            DialogueGap(dialogue_id, tuple(sorted(set(range(first, max(ids))) - ids)))
            for dialogue_id, ids in sorted(present.items())
            if len(ids) < max(ids) + 1 - first
        ]
        missing = tuple(sorted(set(range(min(present), max(present))) - set(present)))
        num_missing = sum(len(gap.missing_utterance_ids) for gap in gaps)
        found.append(SplitGaps(split, len(missing), missing, len(gaps), num_missing, tuple(gaps)))
    return tuple(found)


def find_collisions(table: pd.DataFrame) -> Collisions:
    """Count the pairs of ids that would collide if the splits were merged without their names."""
    splits_by_key: dict[tuple[int, int], set[str]] = defaultdict(set)
    for split, *ids in table[["split", "dialogue_id", "utterance_id"]].itertuples(index=False):
        splits_by_key[(int(ids[0]), int(ids[1]))].add(split)
    by_splits: dict[str, int] = {}
    for splits in splits_by_key.values():
        if len(splits) > 1:
            name = ", ".join(split for split in SPLITS if split in splits)
            by_splits[name] = by_splits.get(name, 0) + 1
    num_rows = sum(len(name.split(", ")) * n for name, n in by_splits.items())
    return Collisions(sum(by_splits.values()), num_rows, dict(sorted(by_splits.items())))
