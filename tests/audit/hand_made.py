"""Tables of annotated rows that are short enough to count by hand."""

from __future__ import annotations

from typing import Any

import pandas as pd

from mmemo.audit.findings import audit_table


def table(*rows: tuple[str, int, int, str, str], **columns: list[Any]) -> pd.DataFrame:
    """Rows of split, dialogue, utterance, label and transcript; further columns by name."""
    frame = pd.DataFrame(
        rows, columns=["split", "dialogue_id", "utterance_id", "emotion", "transcript"]
    )
    frame["key"] = [f"{s}/dia{d}_utt{u}" for s, d, u, _, _ in rows]
    frame["corpus"] = "mine"
    frame["speaker"] = "Ada"
    for name in ("season", "episode", "start_s", "end_s"):
        frame[name] = None
    return audit_table(frame.assign(**columns), "emotion")
