"""What a corpus' reader gives: all rows, and where their clips are."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any

import pandas as pd

from mmemo.corpora.agreement import Agreement
from mmemo.corpora.clips import ClipSource
from mmemo.corpora.facts import CorpusFacts
from mmemo.corpora.utterance import Skip, Utterance
from mmemo.errors import InputError

NAME = re.compile(r"\w[\w .+-]{0,99}")


LATER_FIELDS = ("session", "style", "clip_start_s", "clip_end_s", "ratings")
"""Fields of an utterance that count for the digest only where one has them."""

OWN_SPLIT = "its own"
"""Where the splits of rows come from that their corpus has split itself."""


@dataclass(frozen=True)
class Annotations:
    """All rows of a corpus: the usable ones in reading order, and those that cannot be used.

    Args:
        corpus: Its name.
        utterances: Usable rows.
        clips: Hands out their clips.
        skips: The other rows.
        num_repaired: For each split, how many rows had text of a wrong encoding repaired.
        variant: Names a choice among several clips of one utterance; corpora of other variants
            are prepared apart.
        split_origin: Where the rows' splits come from.
        facts: What is documented of the corpus; None where nothing is said.
        no_transcripts: Where the corpus has none: what was expected and what to do.
        agreement: Of raters, where several labelled a clip.
    """

    corpus: str
    utterances: tuple[Utterance, ...]
    clips: ClipSource
    skips: tuple[Skip, ...] = ()
    num_repaired: Mapping[str, int] = field(default_factory=dict)
    variant: str = ""
    split_origin: str = OWN_SPLIT
    facts: CorpusFacts | None = None
    no_transcripts: str = ""
    agreement: Agreement | None = None

    def __post_init__(self) -> None:
        """Refuse a name that no folder can have.

        Raises:
            InputError: If it is empty, begins with a dot, or holds what is none of a word's.
        """
        if not NAME.fullmatch(self.corpus):
            raise InputError(
                "corpus.name: expected letters, digits, spaces and any of -_.+ (folders are named "
                f"by it), got '{self.corpus}'"
            )

    def frame(self) -> pd.DataFrame:
        """The usable rows as a table: a column for each field of an utterance, and each trait."""
        return pd.DataFrame(utterance_columns(self.utterances))

    @property
    def has_own_split(self) -> bool:
        """Whether the corpus has split its rows itself."""
        return self.split_origin == OWN_SPLIT

    def shortfall(self) -> str:
        """What a copy lacks of the whole corpus, in one sentence; empty where nothing is known."""
        if self.facts is None:
            return ""
        return self.facts.shortfall(self.frame(), self.has_own_split)

    def digest(self) -> str:
        """Sixteen hexadecimal digits that change with any annotated row or choice of clips."""
        columns = utterance_columns(self.utterances)
        columns["media_path"] = [path.rpartition(os.sep)[2] for path in columns["media_path"]]
        for name in LATER_FIELDS:
            # A corpus without any is the one that it was before there were such fields.
            if not any(value is not None for value in columns[name]):
                del columns[name]
        skips = [vars(skip) | {"path": ""} for skip in self.skips]
        text = json.dumps([columns, skips, self.variant])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def utterance_columns(utterances: Sequence[Utterance]) -> dict[str, list[Any]]:
    """The fields of utterances, each as a column; traits as columns of their own names.

    A mapping for each of so many rows takes seconds.
    """
    columns = {f.name: list(map(attrgetter(f.name), utterances)) for f in fields(Utterance)}
    traits = columns.pop("traits")
    if any(traits):
        by_row = list(map(dict, traits))
        for name in dict.fromkeys(name for row in by_row for name in row):
            columns[name] = [row.get(name) for row in by_row]
    return columns
