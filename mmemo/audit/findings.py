"""The audit of a corpus: every check, on its annotations and, where there are any, its clips."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar

import pandas as pd

from mmemo.audit import baselines, counts, durations, overlaps, scenes
from mmemo.audit.clip_checks import SPAN_TOLERANCE_S, ClipChecks
from mmemo.audit.durations import Durations, check_durations
from mmemo.corpora.corpus_overlaps import CorpusOverlap, corpus_overlaps
from mmemo.corpora.facts import CorpusFacts, Difference
from mmemo.corpora.utterance import LabelSet
from mmemo.version import __version__

MAX_LISTED = 1000
"""Lists of rows are cut at this length; their full number always stands beside them."""

ALL_ROWS = "all"

_Listed = TypeVar("_Listed")


@dataclass(frozen=True)
class Limits:
    """Where rows begin to stand out.

    Args:
        short_s: Utterances below it are short.
        long_s: Utterances above it are long.
        max_letters_per_s: Faster speech cannot be.
        span_tolerance_s: Sound and annotated span may differ so much.
        histogram_bin_s: Width of a bin of durations.
        max_listed: Lists of rows are cut at this length.
    """

    short_s: float
    long_s: float
    max_letters_per_s: float
    span_tolerance_s: float
    histogram_bin_s: float
    max_listed: int


LIMITS = Limits(
    short_s=durations.SHORT_S,
    long_s=durations.LONG_S,
    max_letters_per_s=durations.MAX_LETTERS_PER_S,
    span_tolerance_s=SPAN_TOLERANCE_S,
    histogram_bin_s=durations.BIN_S,
    max_listed=MAX_LISTED,
)


@dataclass(frozen=True)
class AuditProtocol:
    """What was audited, and by what.

    Args:
        mmemo_version: Version that audited.
        corpus: Its name.
        source: Where it was read.
        is_prepared: Whether its clips were checked too.
        labels: Name of the label set.
        label_column: What of an utterance the label set tells apart.
        classes: Classes of the label set, in its order.
        colours: Colour of each class.
        limits: Where rows begin to stand out.
    """

    mmemo_version: str
    corpus: str
    source: str
    is_prepared: bool
    labels: str
    label_column: str
    classes: tuple[str, ...]
    colours: dict[str, str]
    limits: Limits


@dataclass(frozen=True)
class Audit:
    """Contents of ``audit.json``: what was found out about a corpus.

    Args:
        protocol: What was audited, and by what.
        splits: What each split holds.
        num_unusable: Rows of each split that lack a transcript, a label or an id; they are in no
            other count.
        num_repaired: Rows of each split with text of a wrong encoding that was repaired; None
            where that is not known.
        facts: What is documented of the corpus; None where nothing is.
        official_differences: Counts that are not the documented ones; None for a corpus of which
            none are documented.
        shortfall: What this copy lacks of the whole corpus, in one sentence; empty for nothing.
        gaps: Ids that are left out.
        collisions: Ids that stand in several splits.
        shared_transcripts: Texts that two splits share: all rows, then the label set's.
        shared_rows: The rows whose normalised text is shared.
        shared_speakers: Speakers that two splits share.
        shared_episodes: Episodes that two splits share.
        shared_scenes: Dialogues of two splits at the same time of one episode.
        spans: The annotation's times, and speech rates by them.
        baselines: Scores that need no model: all rows, then the label set's.
        clips: What the clips tell; None without a prepared corpus.
        corpus_overlaps: What several corpora have in common; empty for one.
    """

    VERSION: ClassVar[int] = 1

    protocol: AuditProtocol
    splits: tuple[counts.SplitCounts, ...]
    num_unusable: dict[str, int]
    num_repaired: dict[str, int] | None
    facts: CorpusFacts | None
    official_differences: tuple[Difference, ...] | None
    shortfall: str
    gaps: tuple[counts.SplitGaps, ...]
    collisions: counts.Collisions
    shared_transcripts: tuple[overlaps.SharedTranscripts, ...]
    shared_rows: tuple[overlaps.SharedRow, ...]
    shared_speakers: tuple[overlaps.SharedValues, ...]
    shared_episodes: tuple[overlaps.SharedValues, ...]
    shared_scenes: tuple[scenes.SharedScenes, ...]
    spans: Durations
    baselines: tuple[baselines.BaselineScore, ...]
    clips: ClipChecks | None
    corpus_overlaps: tuple[CorpusOverlap, ...] = ()


def audit_table(rows: pd.DataFrame, label_column: str) -> pd.DataFrame:
    """The table that all checks take.

    Args:
        rows: A column for each field of an utterance; further columns are kept.
        label_column: Which of them holds the label.

    Returns:
        The rows in their order with the columns ``label`` and ``text`` (the normalised
        transcript) added, and numbers where there are numbers.
    """
    table = rows.reset_index(drop=True)
    for column in ("season", "episode"):
        table[column] = pd.to_numeric(table[column]).astype("Int64")
    for column in ("start_s", "end_s"):
        table[column] = pd.to_numeric(table[column]).astype(float)
    table["speaker"] = table["speaker"].replace("", None)
    table["label"] = table[label_column].fillna("none")
    table["text"] = table["transcript"].map(normalise_transcript)
    return table


def normalise_transcript(text: str) -> str:
    """What is left of a transcript when case, punctuation and spacing are taken away.

    Unicode NFKC, then casefold, then only letters, digits and white space are kept (an
    apostrophe or a dash is removed, not replaced: "I'm" gives "im"), then single spaces. It is
    the text cleaning of Pandey et al. 2025, without regard to case.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(c if c.isalnum() else " " if c.isspace() else "" for c in folded)
    return " ".join(kept.split())


def audit_corpus(
    corpus: str,
    source: str,
    table: pd.DataFrame,
    labels: LabelSet,
    num_unusable: Mapping[str, int],
    num_repaired: Mapping[str, int] | None = None,
    clips: ClipChecks | None = None,
    facts: CorpusFacts | None = None,
    has_own_split: bool = True,
) -> Audit:
    """Make every check.

    Args:
        corpus: Its name.
        source: Where it was read.
        table: Its usable annotated rows, from ``audit_table``.
        labels: The label set that the audit is about.
        num_unusable: Rows that are not in the table, by split.
        num_repaired: Rows whose text was repaired, by split.
        clips: What its clips tell.
        facts: What is documented of it, to be compared.
        has_own_split: Whether the corpus has split its rows itself.
    """
    split_counts = counts.count_splits(table, labels.classes)
    differences = None
    if facts is not None and facts.has_counts:
        differences = facts.differences(table, labels.column, has_own_split)
    transcripts: list[overlaps.SharedTranscripts] = []
    scores: list[baselines.BaselineScore] = []
    for name, rows, classes in _scopes(table, labels):
        transcripts += overlaps.shared_transcripts(rows, name)
        scores += baselines.score_baselines(rows, classes, name)
    return Audit(
        protocol=AuditProtocol(
            mmemo_version=__version__,
            corpus=corpus,
            source=source,
            is_prepared=clips is not None,
            labels=labels.name,
            label_column=labels.column,
            classes=labels.classes,
            colours=labels.colours,
            limits=LIMITS,
        ),
        splits=split_counts,
        num_unusable={count.split: 0 for count in split_counts} | dict(num_unusable),
        num_repaired=None if num_repaired is None else dict(num_repaired),
        facts=facts,
        official_differences=differences,
        shortfall="" if facts is None else facts.shortfall(table, has_own_split),
        gaps=counts.find_gaps(table),
        collisions=counts.find_collisions(table),
        shared_transcripts=tuple(transcripts),
        shared_rows=overlaps.shared_rows(table),
        shared_speakers=overlaps.shared_speakers(table),
        shared_episodes=overlaps.shared_episodes(table),
        shared_scenes=scenes.shared_scenes(table),
        spans=check_durations(table, table["end_s"] - table["start_s"], "annotated span"),
        baselines=tuple(scores),
        clips=clips,
        corpus_overlaps=corpus_overlaps(table.assign(source_key=table["key"])),
    )


def _scopes(
    table: pd.DataFrame, labels: LabelSet
) -> list[tuple[str, pd.DataFrame, tuple[str, ...]]]:
    """All rows, and those of the label set where it leaves some out; each with its classes."""
    scopes = [(ALL_ROWS, table, tuple(sorted(table["label"].unique())))]
    in_set = table[table["label"].isin(labels.classes)]
    if len(in_set) < len(table):
        scopes.append((labels.name, in_set, labels.classes))
    return scopes


def listed(audit: Audit) -> Audit:
    """The same with every list of rows cut at ``MAX_LISTED``."""
    clips = audit.clips
    if clips is not None:
        clips = replace(
            clips,
            durations=_cut_durations(clips.durations),
            span_differences=_cut(clips.span_differences),
            identical=_cut(clips.identical),
            near_copies=_cut(clips.near_copies),
            damaged=_cut(clips.damaged),
        )
    return replace(
        audit,
        gaps=tuple(
            replace(
                gap,
                missing_dialogue_ids=_cut(gap.missing_dialogue_ids),
                dialogues=_cut(gap.dialogues),
            )
            for gap in audit.gaps
        ),
        shared_rows=_cut(audit.shared_rows),
        shared_scenes=tuple(replace(s, pairs=_cut(s.pairs)) for s in audit.shared_scenes),
        spans=_cut_durations(audit.spans),
        clips=clips,
    )


def _cut_durations(found: Durations) -> Durations:
    return replace(
        found,
        not_positive=_cut(found.not_positive),
        long=_cut(found.long),
        too_fast=_cut(found.too_fast),
    )


def _cut(rows: tuple[_Listed, ...]) -> tuple[_Listed, ...]:
    return rows[:MAX_LISTED]
