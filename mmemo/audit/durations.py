"""How long utterances are, by the annotation's times or by their sound, and what cannot be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmemo.audit.counts import splits_of

SHORT_S = 0.3
"""Hardly a syllable fits into less."""

LONG_S = 30.0
"""Nobody speaks that long in one utterance of a conversation: look at these."""

MAX_LETTERS_PER_S = 40.0
"""Fast speech has up to ten syllables a second, an English syllable about three letters; a third
above those 30 leaves room for edges that cut into the first and the last word."""

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)

BIN_S = 0.25
NUM_BINS = 48


@dataclass(frozen=True)
class DurationSummary:
    """Durations of one split.

    Args:
        split: Its name.
        num_rows: Rows with a duration.
        num_without: Rows without one.
        num_not_positive: Durations of zero or less.
        num_short: Positive durations below ``SHORT_S``.
        num_long: Durations above ``LONG_S``.
        hours: All positive durations together.
        quantiles_s: Durations in s by quantile ("0.5" is the median), linearly interpolated.
        histogram: Rows in bins of ``BIN_S`` from 0 s; the last bin holds all that is longer.
    """

    split: str
    num_rows: int
    num_without: int
    num_not_positive: int
    num_short: int
    num_long: int
    hours: float
    quantiles_s: dict[str, float]
    histogram: tuple[int, ...]


@dataclass(frozen=True)
class TimedRow:
    """A row that stands out, with what was measured.

    Args:
        key: Its key.
        duration_s: Its length.
        letters_per_s: Letters and digits of its transcript by second; None for a length of zero
            or less.
        transcript: What is said in it.
    """

    key: str
    duration_s: float
    letters_per_s: float | None
    transcript: str


@dataclass(frozen=True)
class Durations:
    """Durations of all splits and the rows that stand out.

    Args:
        basis: Where they are from: "annotated span" or "sound".
        splits: A summary of each split.
        num_too_fast: For each split the rows above ``MAX_LETTERS_PER_S``. Rows of no length are
            not among them.
        not_positive: Rows with a duration of zero or less.
        long: Rows above ``LONG_S``, the longest first.
        too_fast: Rows above ``MAX_LETTERS_PER_S``, the fastest first.
    """

    basis: str
    splits: tuple[DurationSummary, ...]
    num_too_fast: dict[str, int]
    not_positive: tuple[TimedRow, ...]
    long: tuple[TimedRow, ...]
    too_fast: tuple[TimedRow, ...]


def check_durations(table: pd.DataFrame, duration_s: pd.Series, basis: str) -> Durations:
    """Summarise durations and find those that stand out.

    Args:
        table: Annotated rows, as ``findings.audit_table`` makes them.
        duration_s: For each of its rows a duration in s, or NaN.
        basis: Where the durations are from.
    """
    letters = table["text"].str.replace(" ", "", regex=False).str.len()
    rate = (letters / duration_s).where(duration_s > 0)
    rows = table.assign(duration_s=duration_s, letters_per_s=rate)
    too_fast = rows[rate > MAX_LETTERS_PER_S].sort_values("letters_per_s", ascending=False)
    long = rows[duration_s > LONG_S].sort_values("duration_s", ascending=False)
    splits = splits_of(table)
    return Durations(
        basis=basis,
        splits=tuple(_summarise(split, duration_s[table["split"] == split]) for split in splits),
        num_too_fast={split: int((too_fast["split"] == split).sum()) for split in splits},
        not_positive=_timed_rows(rows[duration_s <= 0]),
        long=_timed_rows(long),
        too_fast=_timed_rows(too_fast),
    )


def _summarise(split: str, duration_s: pd.Series) -> DurationSummary:
    known = duration_s.dropna().to_numpy(dtype=float)
    positive = known[known > 0]
    bins = np.clip(np.floor(positive / BIN_S).astype(int), 0, NUM_BINS)
    quantiles = np.quantile(known, QUANTILES) if len(known) else []
    return DurationSummary(
        split=split,
        num_rows=len(known),
        num_without=len(duration_s) - len(known),
        num_not_positive=len(known) - len(positive),
        num_short=int((positive < SHORT_S).sum()),
        num_long=int((known > LONG_S).sum()),
        hours=float(positive.sum()) / 3600,
        quantiles_s={
            str(q): round(float(s), 3) for q, s in zip(QUANTILES, quantiles, strict=False)
        },
        histogram=tuple(int(n) for n in np.bincount(bins, minlength=NUM_BINS + 1)),
    )


def _timed_rows(rows: pd.DataFrame) -> tuple[TimedRow, ...]:
    columns = (rows[name] for name in ("key", "duration_s", "letters_per_s", "transcript"))
    return tuple(
        TimedRow(key, round(duration_s, 3), None if rate != rate else round(rate, 1), transcript)
        for key, duration_s, rate, transcript in zip(*columns, strict=True)
    )
