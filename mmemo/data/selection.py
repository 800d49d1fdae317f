"""Which utterances of a prepared corpus a label set keeps, and why it skips the others."""

from __future__ import annotations

import pandas as pd

from mmemo.corpora.utterance import MISSING_FIELD, LabelSet

CLASS_EXCLUDED = "class excluded"
TOO_SHORT = "shorter than min_duration_s"

STATE_COLUMNS = (
    "key",
    "corpus",
    "split",
    "status",
    "reason",
    "detail",
    "emotion",
    "sentiment",
    "duration_s",
    "source_duration_s",
    "cut",
    "level_before_db",
    "level_after_db",
    "num_packets",
    "num_bad_packets",
    "note",
    "source",
    "speaker",
    "dialogue_id",
    "utterance_id",
    "season",
    "episode",
    "session",
    "style",
    "transcript",
)
"""Columns of the table of states that people read."""


def utterance_states(
    manifest: pd.DataFrame,
    labels: LabelSet,
    min_duration_s: float,
    sample_rate: int,
    needs_transcript: bool = False,
) -> pd.DataFrame:
    """The one state of every row read: kept, or skipped with the first reason that holds.

    The reasons, in this order: what preparation found (no clip, no sound, a missing field),
    a label missing, a class excluded, a transcript missing where text is read, too short.

    Args:
        manifest: Rows of a prepared corpus: status, reason, detail, num_samples, the label.
        labels: The classes.
        min_duration_s: Shorter sound is skipped.
        sample_rate: Samples a second, in Hz.
        needs_transcript: Whether the model reads text.

    Returns:
        The manifest's rows with their final status, reason and detail, and ``duration_s``.
    """
    states = manifest.copy()
    states["duration_s"] = states["num_samples"].astype("Float64") / sample_rate
    for column in ("reason", "detail"):
        states[column] = states[column].astype(object)
    label = states[labels.column]
    unlabelled = label.isna() | (label == "")
    _skip(states, unlabelled, MISSING_FIELD, f"{labels.column} empty")
    excluded = ~label.isin(labels.classes)
    _skip(states, excluded, CLASS_EXCLUDED, label[excluded].map(str))
    if needs_transcript:
        silent = states["transcript"].isna() | (states["transcript"] == "")
        _skip(states, silent, MISSING_FIELD, "transcript empty")
    durations_s = states["duration_s"].astype(float)
    short = durations_s < min_duration_s
    detail = f"{{:.3f}} s, the least is {min_duration_s} s"
    _skip(states, short, TOO_SHORT, durations_s[short].map(detail.format))
    return states


def _skip(
    states: pd.DataFrame, holds: pd.Series[bool], reason: str, detail: str | pd.Series[str]
) -> None:
    chosen = holds & (states["status"] == "kept")
    if not chosen.any():
        return
    details = detail if isinstance(detail, str) else detail[chosen[chosen].index]
    states.loc[chosen, "detail"] = details
    states.loc[chosen, "reason"] = reason
    states.loc[chosen, "status"] = "skipped"


def kept_rows(states: pd.DataFrame) -> pd.DataFrame:
    """The kept rows, in corpus order."""
    return states[states["status"] == "kept"].reset_index(drop=True)


def state_counts(states: pd.DataFrame) -> pd.DataFrame:
    """Rows read, kept and skipped by reason: a row for each split of the corpus, one for all."""
    state = states["reason"].where(states["status"] == "skipped", "kept")
    table = pd.crosstab(states["split"], state).reindex(states["split"].unique(), fill_value=0)
    if "kept" not in table:
        table["kept"] = 0
    table = table[["kept", *sorted(set(table.columns) - {"kept"})]]
    table.insert(0, "rows", table.sum(axis=1))
    table.loc["all"] = table.sum()
    table.index.name = "split"
    return table.rename_axis(columns=None)
