"""What must be equal for the scores of two groups of runs to be ranked."""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mmemo.comparison.run_groups import Replicate, RunGroup
from mmemo.documents import content_of

PROTOCOL_FIELDS = ("corpus", "corpus_split", "labels", "classes", "split", "split_settings")
"""Fields of the protocol that must be equal for two scores to be ranked."""

MAX_ORDERS = 64
"""Runs of one protocol hold the same rows: as many orders of rows are remembered."""


def by_protocol(group: RunGroup) -> list[tuple[RunGroup, dict[str, Any]]]:
    """A group's seeds, apart where their utterances differ."""
    parts: dict[str, tuple[list[Any], dict[str, Any]]] = {}
    for replicate in group.replicates:
        protocol = _protocol(replicate)
        parts.setdefault(repr(protocol), ([], protocol))[0].append(replicate)
    return [
        (RunGroup(group.settings, tuple(replicates)), protocol)
        for replicates, protocol in parts.values()
    ]


def _protocol(replicate: Replicate) -> dict[str, Any]:
    """What must be equal for two scores to be ranked."""
    given = replicate.runs[0].protocol
    val, test = _Utterances.of(replicate.val), _Utterances.of(replicate.test)
    content = content_of(given)
    protocol = {field: content[field] for field in PROTOCOL_FIELDS}
    settings = dict(content["split_settings"])
    # The utterances tell of a run's own folds.
    settings.pop("val_fold", None)
    if len(replicate.test_folds) > 1:
        settings.pop("test_fold", None)
    if not settings.get("nested"):
        # As of a version that could not nest.
        settings.pop("nested", None)
    return protocol | {
        "split_settings": settings,
        "leaky": given.leaky,
        "missing": given.missing,
        # In joined folds an utterance may have several predictions.
        "num_utterances": {"val": val.num, "test": test.num},
        "val_utterances": val.digest,
        "test_utterances": test.digest,
    }


@dataclass(frozen=True)
class _Utterances:
    """Which utterances a table has, and what is right for each.

    Args:
        keys: (N,), in the table's order.
        targets: (N,).
        num: How many different keys there are.
        digest: Of both, in any order.
    """

    keys: pd.Series[str]
    targets: pd.Series[str]
    num: int
    digest: str

    @classmethod
    def of(cls, table: pd.DataFrame) -> _Utterances:
        """Looked up where a table of another run has the same rows."""
        keys, targets = table["key"], table["target"]
        for known in _known:
            if keys.equals(known.keys) and targets.equals(known.targets):
                return known
        rows = sorted(zip(keys.tolist(), targets.tolist(), strict=True))
        digest = hashlib.sha256(repr(rows).encode()).hexdigest()[:12]
        _known.append(cls(keys, targets, keys.nunique(), digest))
        return _known[-1]


_known: deque[_Utterances] = deque(maxlen=MAX_ORDERS)
