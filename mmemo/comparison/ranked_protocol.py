"""What must be equal for the scores of two groups of runs to be ranked."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, fields

import pandas as pd

from mmemo.comparison.groups import Replicate, RunGroup
from mmemo.comparison.runs import Setting

MAX_ORDERS = 64
"""Runs of one protocol hold the same rows: as many orders of rows are remembered."""


@dataclass(frozen=True)
class RankedProtocol:
    """What is equal for all groups of a table: only then are their scores ranked.

    Args:
        corpus: Name of the corpus.
        corpus_split: Where the corpus' own split comes from.
        labels: Name of the label set.
        classes: Names of the classes, in label order.
        split: Name of the split protocol.
        split_settings: Options of the split by name, but which fold a run has tested.
        leaky: Whether evaluated utterances have copies in training.
        missing: "audio" or "text" where the models had to answer without it.
        num_utterances: Different utterances by split: "val", "test".
        val_utterances: Digest of the keys and targets of validation.
        test_utterances: Digest of those of test.
        evaluated_on: Another corpus, which test is of; None for the same one.
        part: One of several corpora, which the rows of test are of; None for all of them.
    """

    corpus: str
    corpus_split: str
    labels: str
    classes: tuple[str, ...]
    split: str
    split_settings: Mapping[str, Setting]
    leaky: bool
    missing: str | None
    num_utterances: Mapping[str, int]
    val_utterances: str
    test_utterances: str
    evaluated_on: str | None = None
    part: str | None = None

    @property
    def fields(self) -> dict[str, Setting]:
        """Values by name, as JSON holds them."""
        return {
            field.name: list(value) if isinstance(value, tuple) else value
            for field in fields(self)
            for value in [getattr(self, field.name)]
        }

    def differs(self, other: RankedProtocol) -> dict[str, tuple[Setting, Setting]]:
        """Fields in which another one differs: its value here and there."""
        theirs = other.fields
        return {
            name: (value, theirs[name])
            for name, value in self.fields.items()
            if value != theirs[name]
        }


def by_protocol(group: RunGroup) -> list[tuple[RunGroup, RankedProtocol]]:
    """A group's seeds, apart where their utterances differ."""
    parts: dict[str, tuple[list[Replicate], RankedProtocol]] = {}
    for replicate in group.replicates:
        protocol = _protocol(replicate)
        parts.setdefault(repr(protocol), ([], protocol))[0].append(replicate)
    return [
        (RunGroup(group.settings, tuple(replicates)), protocol)
        for replicates, protocol in parts.values()
    ]


def _protocol(replicate: Replicate) -> RankedProtocol:
    given = replicate.runs[0].protocol
    val, test = _Utterances.of(replicate.val), _Utterances.of(replicate.test)
    settings = dict(given.split_settings)
    # The utterances tell of a run's own folds.
    settings.pop("val_fold", None)
    if len(replicate.test_folds) > 1:
        settings.pop("test_fold", None)
    if not settings.get("nested"):
        # As of a version that could not nest.
        settings.pop("nested", None)
    return RankedProtocol(
        corpus=given.corpus,
        corpus_split=given.corpus_split,
        labels=given.labels,
        classes=given.classes,
        split=given.split,
        split_settings=settings,
        leaky=given.leaky,
        missing=given.missing,
        # In joined folds an utterance may have several predictions.
        num_utterances={"val": val.num, "test": test.num},
        val_utterances=val.digest,
        test_utterances=test.digest,
        evaluated_on=given.evaluated_on.stamp if given.evaluated_on else None,
        part=replicate.runs[0].part,
    )


@dataclass(frozen=True)
class _Utterances:
    """Which utterances a table has, and what is right for each.

    Args:
        keys: (N,), in the table's order.
        targets: (N,).
        num: How many different keys there are.
        digest: Digest of keys and targets, whatever their order.
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
