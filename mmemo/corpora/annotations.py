"""What a corpus' reader gives: all rows, and where their clips are."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any

import pandas as pd

from mmemo.corpora.agreement import Agreement
from mmemo.corpora.clips import ClipSource
from mmemo.corpora.utterance import Skip, Utterance
from mmemo.errors import InputError

NAME = re.compile(r"\w[\w .+-]{0,99}")


LATER_FIELDS = ("clip_start_s", "clip_end_s", "ratings")
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
        """The usable rows as a table: a column for each field of an utterance."""
        return pd.DataFrame(self._columns())

    def digest(self) -> str:
        """Sixteen hexadecimal digits that change with any annotated row or choice of clips."""
        columns = self._columns()
        columns["media_path"] = [path.rpartition(os.sep)[2] for path in columns["media_path"]]
        for name in LATER_FIELDS:
            # A corpus without any is the one that it was before there were such fields.
            if not any(value is not None for value in columns[name]):
                del columns[name]
        skips = [vars(skip) | {"path": ""} for skip in self.skips]
        text = json.dumps([columns, skips, self.variant])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _columns(self) -> dict[str, list[Any]]:
        """The utterances field by field: a mapping for each of so many rows takes seconds."""
        return {f.name: list(map(attrgetter(f.name), self.utterances)) for f in fields(Utterance)}
