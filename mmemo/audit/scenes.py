"""Scenes that stand in two splits: dialogues of one episode whose times overlap.

Utterances are compared, not whole dialogues, because a dialogue may leave out minutes between two
of its utterances. Some of MELD's times are wrong, so that dialogues which have nothing in common
overlap too: the transcripts tell which pairs are one scene.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmemo.audit.overlaps import EPISODE, PAIRS

MAX_SPAN_S = 30.0
"""Longer spans are left out, because they would overlap with whole scenes. MELD has three: two
(305 and 235 s) are wrong times of a short sentence, one (41 s) is a stage direction."""

MIN_WORDS_ALIKE = 2
"""A text of one word inside another ("Oh") proves nothing."""


@dataclass(frozen=True)
class ScenePair:
    """Two dialogues of different splits and one episode whose times overlap.

    Args:
        dialogue: The first dialogue, as "test/dia85".
        other_dialogue: The second, as "train/dia12".
        season: Season of both.
        episode: Episode of both.
        num_overlapping: Pairs of their utterances with a common stretch of time.
        overlap_s: Length of those stretches together.
        num_equal: Overlapping pairs with equal normalised transcripts.
        num_equal_other_label: Pairs of equal transcripts with different labels.
        num_alike: Overlapping pairs where one normalised transcript, of two words or more, stands
            word for word in the other, the equal ones included: annotators cut scenes differently.
        num_alike_other_label: Pairs of such transcripts with different labels.
    """

    dialogue: str
    other_dialogue: str
    season: int
    episode: int
    num_overlapping: int
    overlap_s: float
    num_equal: int
    num_equal_other_label: int
    num_alike: int
    num_alike_other_label: int

    @property
    def is_confirmed(self) -> bool:
        """Whether a transcript says that it is one scene."""
        return self.num_alike > 0


@dataclass(frozen=True)
class SharedScenes:
    """Overlapping dialogues of two splits.

    Args:
        split: The first split.
        other: The second.
        num_pairs: Pairs of dialogues with overlapping times.
        num_confirmed: Pairs of dialogues where a transcript says so too.
        num_rows: Rows of ``split`` in the overlapping pairs of utterances.
        pairs: All pairs, the confirmed ones first.
    """

    split: str
    other: str
    num_pairs: int
    num_confirmed: int
    num_rows: int
    pairs: tuple[ScenePair, ...]


def shared_scenes(table: pd.DataFrame) -> tuple[SharedScenes, ...]:
    """Find overlapping dialogues for each pair of splits that occur.

    Rows without episode or times, with a span of no length, or with one above ``MAX_SPAN_S`` are
    left out.

    Args:
        table: Annotated rows, as ``findings.audit_table`` makes them.
    """
    span_s = table["end_s"] - table["start_s"]
    timed = table[(span_s > 0) & (span_s <= MAX_SPAN_S)].dropna(subset=EPISODE)
    by_split = {str(split): rows for split, rows in timed.groupby("split")}
    present = set(table["split"])
    found = []
    for split, other in PAIRS:
        if split in present and other in present:
            mine, theirs = (by_split.get(name, timed.iloc[:0]) for name in (split, other))
            found.append(_compare(split, other, mine, theirs))
    return tuple(found)


def _compare(split: str, other: str, mine: pd.DataFrame, theirs: pd.DataFrame) -> SharedScenes:
    overlaps: dict[tuple[str, str], list[tuple[pd.Series, pd.Series]]] = {}
    keys = set()
    for a, b in _overlapping(mine, theirs):
        names = f"{split}/dia{a['dialogue_id']}", f"{other}/dia{b['dialogue_id']}"
        overlaps.setdefault(names, []).append((a, b))
        keys.add(a["key"])
    pairs = [_scene_pair(*names, rows) for names, rows in overlaps.items()]
    pairs.sort(key=lambda pair: (-pair.num_alike, -pair.num_overlapping, -pair.overlap_s))
    num_confirmed = sum(pair.is_confirmed for pair in pairs)
    return SharedScenes(split, other, len(pairs), num_confirmed, len(keys), tuple(pairs))


def _overlapping(mine: pd.DataFrame, theirs: pd.DataFrame) -> Iterator[tuple[pd.Series, pd.Series]]:
    """Pairs of rows of one episode whose spans have a common stretch of positive length."""
    episodes = dict(list(theirs.groupby(EPISODE)))
    for episode, a in mine.groupby(EPISODE):
        b = episodes.get(episode)
        if b is None:
            continue
        start_a, end_a = (a[column].to_numpy()[:, None] for column in ("start_s", "end_s"))
        start_b, end_b = (b[column].to_numpy()[None, :] for column in ("start_s", "end_s"))
        for row, column in np.argwhere((start_a < end_b) & (start_b < end_a)):
            yield a.iloc[row], b.iloc[column]


def _scene_pair(
    dialogue: str, other_dialogue: str, rows: list[tuple[pd.Series, pd.Series]]
) -> ScenePair:
    equal = [(a, b) for a, b in rows if a["text"] == b["text"]]
    alike = [(a, b) for a, b in rows if _are_alike(a["text"], b["text"])]
    first = rows[0][0]
    overlap_s = sum(min(a["end_s"], b["end_s"]) - max(a["start_s"], b["start_s"]) for a, b in rows)
    return ScenePair(
        dialogue=dialogue,
        other_dialogue=other_dialogue,
        season=int(first["season"]),
        episode=int(first["episode"]),
        num_overlapping=len(rows),
        overlap_s=round(float(overlap_s), 3),
        num_equal=len(equal),
        num_equal_other_label=sum(a["label"] != b["label"] for a, b in equal),
        num_alike=len(alike),
        num_alike_other_label=sum(a["label"] != b["label"] for a, b in alike),
    )


def _are_alike(text: str, other: str) -> bool:
    if text == other:
        return True
    shorter, longer = sorted((text, other), key=len)
    return len(shorter.split()) >= MIN_WORDS_ALIKE and f" {shorter} " in f" {longer} "
