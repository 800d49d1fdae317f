"""Whether utterances stand in two splits, and the stamp of a protocol that lets them."""

from __future__ import annotations

import pandas as pd

from mmemo.corpora.splits import SplitProtocol
from mmemo.errors import InputError

LEAKY = "LEAKY"
EVALUATED_SPLITS = ("val", "test")


def protocol_stamp(name: str, leaky: bool) -> str:
    """How a split protocol is called wherever its numbers stand: ``official``, ``… (LEAKY)``."""
    return f"{name} ({LEAKY})" if leaky else name


def leak_shares(rows: pd.DataFrame) -> dict[str, float]:
    """For validation and test, the share of rows whose source utterance is in training too.

    Args:
        rows: Of all splits: split, source_key.
    """
    trained = set(rows.loc[rows["split"] == "train", "source_key"])
    sources = {split: rows.loc[rows["split"] == split, "source_key"] for split in EVALUATED_SPLITS}
    return {
        split: float(keys.isin(trained).mean()) if len(keys) else 0.0
        for split, keys in sources.items()
    }


def check_disjoint(rows: pd.DataFrame, protocol: SplitProtocol) -> None:
    """Refuse splits that share an utterance, unless the protocol says that they do.

    Args:
        rows: Of all splits: split, source_key, media_path.
        protocol: What assigned them.

    Raises:
        InputError: If a source utterance, or one clip under two names, stands in two splits.
    """
    if protocol.leaky:
        return
    for column in ("source_key", "media_path"):
        splits = rows.astype({column: str}).groupby(column, sort=False)["split"]
        shared = splits.nunique()
        shared = shared[shared > 1]
        if shared.empty:
            continue
        first = str(shared.index[0])
        held = rows[rows[column].astype(str) == first]
        places = ", ".join(f"{s} ({k})" for s, k in zip(held["split"], held["key"], strict=True))
        raise InputError(
            f"split={protocol.name}: expected each source utterance in one split only, {first} is "
            f"in {places}; {len(shared)} in all. Remove them from all splits but one"
        )
