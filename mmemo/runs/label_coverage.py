"""How much of a corpus a label set knows, before anything is trained on the rest."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache

import pandas as pd
import yaml

from mmemo.corpora.utterance import EMOTIONS, LabelSet
from mmemo.errors import InputError
from mmemo.folders import config_dir

MAX_UNKNOWN_SHARE = 0.5
"""More labels than this of which nobody knows what they mean are codes that were not told."""


@cache
def emotion_tables() -> dict[str, dict[str, str]]:
    """What corpora call emotions, by the table's name: conf/corpus/emotions."""
    folder = config_dir() / "corpus" / "emotions"
    # Plain words first, where another table knows no more.
    paths = sorted(folder.glob("*.yaml"), key=lambda path: (path.stem != "common", path.stem))
    tables = {path.stem: yaml.safe_load(path.read_text("utf-8")) or {} for path in paths}
    return {name: dict(table) for name, table in tables.items()}


def check_labels(
    rows: pd.DataFrame,
    corpus: str,
    labels: LabelSet,
    has_tables: bool,
    allow_unknown: bool = False,
) -> None:
    """Tell which labels of a corpus are left out, with counts; refuse one that is mostly unknown.

    Unknown is what is neither a class of the set nor an emotion: a code, or a name that no table
    maps. An emotion that the set leaves out is known.

    Args:
        rows: The corpus' rows, with their labels.
        corpus: Its name.
        labels: The classes.
        has_tables: Whether the corpus takes a table of emotions.
        allow_unknown: Go on whatever the share is.

    Raises:
        InputError: If more than half of the labels are unknown.
    """
    found = rows[labels.column].fillna("")
    found = found[found != ""]
    counts = found[~found.isin(labels.classes)].value_counts()
    if counts.empty:
        return
    described = ", ".join(f"{name} ({count})" for name, count in counts.items())[:500]
    print(f"mmemo: {corpus}: labels={labels.name} leaves out {described}", file=sys.stderr)
    known = {*labels.classes, *EMOTIONS}
    for table in emotion_tables().values():
        known |= {*table.values()}
    unknown = counts[~counts.index.isin(known)]
    share = unknown.sum() / len(found)
    if share > MAX_UNKNOWN_SHARE and not allow_unknown:
        names = ", ".join(f"{name} ({count})" for name, count in unknown.items())[:500]
        remedy = ""
        if has_tables:
            remedy = f"{suggested_table(found, labels)}; map them "
            remedy += "with +corpus.emotions.NAME_IN_THE_FILE=CLASS, or"
        raise InputError(
            f"labels={labels.name}: expected labels of {', '.join(labels.classes)} in {corpus}, "
            f"got {share:.0%} that nobody knows: {names}{remedy or ';'} choose other labels, or "
            "train on the rest with allow_unknown_labels=true"
        )


def check_trained_classes(
    trained: Sequence[str], labels: LabelSet, split: str, corpus: str
) -> None:
    """Refuse to train on a single class, which would be answered always and prove nothing.

    Args:
        trained: Labels of the training split.
        labels: The classes.
        split: Name of the split protocol.
        corpus: Name of the corpus.

    Raises:
        InputError: If there are fewer than two classes.
    """
    there = [name for name in labels.classes if name in set(trained)]
    if len(there) < 2:
        raise InputError(
            f"split={split}: expected two or more of {', '.join(labels.classes)} in the training "
            f"split of {corpus}, got {', '.join(there) or 'none'}; choose another split or other "
            "labels"
        )


def suggested_table(found: pd.Series[str], labels: LabelSet) -> str:
    """The table of emotions that maps most labels to classes of a set, as a remedy, or nothing.

    Args:
        found: Labels as they are.
        labels: The classes.
    """
    names = found.dropna().astype(str).str.lower()
    is_in = names.isin(labels.classes)
    tables = emotion_tables()
    shares = {
        table: float((is_in | names.map(words).isin(labels.classes)).mean())
        for table, words in tables.items()
    }
    # Of equals the one that also knows most of what the set leaves out.
    known = {
        table: float(names.isin({*words, *words.values()}).mean())
        for table, words in tables.items()
    }
    best = max(shares, key=lambda table: (shares[table], known[table]), default="")
    if not best or shares[best] <= float(is_in.mean()):
        return ""
    return f". corpus/emotions={best} maps {shares[best]:.0%} of them to these classes"
