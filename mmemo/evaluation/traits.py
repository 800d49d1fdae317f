"""What is known of each utterance beside its label: columns of the prediction table to group by.

They are written when a run is evaluated, so that the run folder needs no corpus to tell them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmemo.audio.journal import Record
from mmemo.audio.levels import frame_snr_db, removed_snr_db
from mmemo.corpora.utterance import Utterance
from mmemo.evaluation.predictions import TRAIT_PREFIX

OF_UTTERANCES = ("season", "session", "style")
"""Fields of an utterance that are one."""

LEVEL, SNR = "level_db", "snr_db"
"""The original sound's level in dB of full scale, and its estimated signal-to-noise ratio in dB."""

NO_TRAITS = {
    *(field.name for field in fields(Utterance)),
    *(field.name for field in fields(Record)),
    *("cut", "detail", "duration_s", "split_protocol", "source_key", "corpus_split", "unit"),
}
"""Columns of a corpus' rows that are none; all others are what its reader tells beside them."""

Sound = Callable[[int], NDArray[np.float32]]
"""Prepared sound (T,) of a row by its place."""


def with_traits(rows: pd.DataFrame, sound: Sound | None, sample_rate: int) -> pd.DataFrame:
    """The rows with a column for each trait that some row has.

    The signal-to-noise ratio is an estimate: where a denoiser was at work, of what it kept to what
    it took away; elsewhere of loud frames to quiet ones.

    Args:
        rows: Of a prepared corpus.
        sound: Reads it; None where there is none.
        sample_rate: Of that, in Hz.
    """
    names = [*OF_UTTERANCES, *(str(c) for c in rows if str(c) not in NO_TRAITS)]
    found = {name: rows[name] for name in names if name in rows and rows[name].notna().any()}
    if sound is not None and "level_before_db" in rows:
        before, after = (
            rows[name].to_numpy(dtype=np.float64) for name in ("level_before_db", "level_after_db")
        )
        if np.nanmax(np.abs(before - after), initial=0.0) > 0:
            snr = removed_snr_db(before, after)
        else:
            snr = np.array([frame_snr_db(sound(row), sample_rate) for row in range(len(rows))])
        found[LEVEL] = pd.Series(before, rows.index)
        found[SNR] = pd.Series(snr, rows.index)
    return rows.assign(**{TRAIT_PREFIX + name: values for name, values in found.items()})
