"""What the table of a prepared corpus' clips tells: lengths, channel layouts, identical sound."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from mmemo.audit.counts import splits_of
from mmemo.audit.durations import Durations, check_durations
from mmemo.audit.near_copies import NearCopies, NearCopy

SPAN_TOLERANCE_S = 0.5
"""A clip is cut at whole frames of its picture and its sound, which is far less."""


@dataclass(frozen=True)
class SpanDifference:
    """A clip whose sound is not as long as the annotation says."""

    key: str
    sound_s: float
    span_s: float


@dataclass(frozen=True)
class SpanComparison:
    """Sound against annotated spans, one split.

    Args:
        split: Its name.
        num_compared: Clips that have both.
        num_longer: Clips with sound longer than the span by more than ``SPAN_TOLERANCE_S``.
        num_shorter: Clips with sound shorter than it by more than that.
    """

    split: str
    num_compared: int
    num_longer: int
    num_shorter: int


@dataclass(frozen=True)
class IdenticalClips:
    """Clips whose prepared sound is identical: samples of equal number and checksum.

    Args:
        keys: Their utterances, in corpus order.
        labels: The label of each.
        across_splits: Whether they stand in different splits.
    """

    keys: tuple[str, ...]
    labels: tuple[str, ...]
    across_splits: bool


@dataclass(frozen=True)
class ClipChecks:
    """What was found out about the clips of a prepared corpus.

    Args:
        states: For each split how many rows were kept, and skipped by reason.
        durations: Lengths of the sound, and speech rates by them; skipped rows have none.
        spans: Sound against annotated spans, by split.
        span_differences: The clips where they differ, the largest difference first.
        num_identical_groups: Groups of clips with identical sound.
        num_identical_across_splits: Groups with identical sound that stand in several splits.
        identical: The groups with identical sound, the ones across splits first.
        layouts: Clips by season and channel layout; without seasons by split. Where it changes
            with the season, a model that hears the layout hears the season.
        layouts_by: "season" or "split".
        num_near_copies: Pairs of clips of different splits that seem to be one.
        near_copies: Pairs of clips of different splits that seem to be one.
        near_copies_by_length: Whether all clips of like length were compared for them, or those of
            equal text alone.
        num_damaged: Clips whose samples are not those that were written.
        damaged: Their keys.
    """

    states: dict[str, dict[str, int]]
    durations: Durations
    spans: tuple[SpanComparison, ...]
    span_differences: tuple[SpanDifference, ...]
    num_identical_groups: int
    num_identical_across_splits: int
    identical: tuple[IdenticalClips, ...]
    layouts: dict[str, dict[str, int]]
    layouts_by: str
    num_near_copies: int
    near_copies: tuple[NearCopy, ...]
    near_copies_by_length: bool
    num_damaged: int
    damaged: tuple[str, ...]


def check_clips(
    table: pd.DataFrame, sample_rate: int, damaged: list[str], near: NearCopies | None = None
) -> ClipChecks:
    """Check the clips of a prepared corpus by its table, and what was found out of their sound.

    Args:
        table: Its annotated rows, as ``findings.audit_table`` makes them from its manifest. The
            length of a clip is ``source_duration_s`` where the manifest has it, else that of the
            samples.
        sample_rate: Samples a second, in Hz.
        damaged: Keys of clips whose samples are damaged.
        near: Near copies across splits; None where none were looked for.
    """
    near = near or NearCopies()
    kept = table[table["status"] == "kept"]
    sound_s = _sound_s(kept, sample_rate).reindex(table.index)
    spans, differences = _compare_spans(table, sound_s)
    identical = _identical(kept)
    by, layouts = _layouts(kept)
    return ClipChecks(
        states=_states(table),
        durations=check_durations(table, sound_s, "sound"),
        spans=spans,
        span_differences=differences,
        num_identical_groups=len(identical),
        num_identical_across_splits=sum(group.across_splits for group in identical),
        identical=identical,
        layouts=layouts,
        layouts_by=by,
        num_near_copies=len(near.pairs),
        near_copies=near.pairs,
        near_copies_by_length=near.by_length,
        num_damaged=len(damaged),
        damaged=tuple(damaged),
    )


def _sound_s(kept: pd.DataFrame, sample_rate: int) -> pd.Series:
    if "source_duration_s" in kept:
        return kept["source_duration_s"].astype(float)
    return kept["num_samples"].astype(float) / sample_rate


def _states(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    state = table["reason"].where(table["status"] == "skipped", "kept")
    states = {}
    for split in splits_of(table):
        counts = state[table["split"] == split].value_counts()
        states[split] = {str(name): int(n) for name, n in counts.items()}
    return states


def _compare_spans(
    table: pd.DataFrame, sound_s: pd.Series
) -> tuple[tuple[SpanComparison, ...], tuple[SpanDifference, ...]]:
    span_s = table["end_s"] - table["start_s"]
    excess_s = sound_s - span_s
    comparisons = []
    for split in splits_of(table):
        mine = excess_s[table["split"] == split]
        comparisons.append(
            SpanComparison(
                split=split,
                num_compared=int(mine.notna().sum()),
                num_longer=int((mine > SPAN_TOLERANCE_S).sum()),
                num_shorter=int((mine < -SPAN_TOLERANCE_S).sum()),
            )
        )
    order = excess_s.abs().sort_values(ascending=False, kind="stable")
    differing = order[order > SPAN_TOLERANCE_S].index
    found = zip(table["key"][differing], sound_s[differing], span_s[differing], strict=True)
    differences = [SpanDifference(str(k), round(a, 3), round(b, 3)) for k, a, b in found]
    return tuple(comparisons), tuple(differences)


def _identical(kept: pd.DataFrame) -> tuple[IdenticalClips, ...]:
    groups = []
    repeated = kept[kept.duplicated(["crc32", "num_samples"], keep=False)]
    for _, rows in repeated.groupby(["crc32", "num_samples"], sort=False):
        keys, labels = (tuple(str(value) for value in rows[c]) for c in ("key", "label"))
        groups.append(IdenticalClips(keys, labels, rows["split"].nunique() > 1))
    return tuple(sorted(groups, key=lambda group: not group.across_splits))


def _layouts(kept: pd.DataFrame) -> tuple[str, dict[str, dict[str, int]]]:
    by = "season" if kept["season"].notna().any() else "split"
    layouts: dict[str, dict[str, int]] = {}
    for value, rows in kept.groupby(by, sort=by == "season"):
        counts = rows["channel_layout"].value_counts()
        layouts[str(value)] = {str(name): int(n) for name, n in counts.items()}
    return by, layouts
