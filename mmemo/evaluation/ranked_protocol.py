"""What must be equal for the scores of two groups of runs to be ranked."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

import pandas as pd

from mmemo.evaluation.run_groups import Replicate, RunGroup

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
    given, val, test = replicate.runs[0].protocol, replicate.val, replicate.test
    protocol = {field: given[field] for field in PROTOCOL_FIELDS}
    settings = dict(given["split_settings"])
    # The utterances tell of a run's own folds.
    settings.pop("val_fold", None)
    if len(replicate.test_folds) > 1:
        settings.pop("test_fold", None)
    if not settings.get("nested"):
        # As of a version that could not nest.
        settings.pop("nested", None)
    return protocol | {
        "split_settings": settings,
        "leaky": given["leaky"],
        "missing": given.get("missing"),
        # In joined folds an utterance may have several predictions.
        "num_utterances": {"val": val["key"].nunique(), "test": test["key"].nunique()},
        "val_utterances": _digest(val),
        "test_utterances": _digest(test),
    }


def _digest(table: pd.DataFrame) -> str:
    """Of which utterances there are, and what is right for each, in any order."""
    return _sorted_digest("\n".join(table["key"].tolist()), "\n".join(table["target"].tolist()))


@lru_cache(maxsize=MAX_ORDERS)
def _sorted_digest(keys: str, targets: str) -> str:
    rows = sorted(zip(keys.split("\n"), targets.split("\n"), strict=True))
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:12]
