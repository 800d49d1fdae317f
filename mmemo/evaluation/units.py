"""What is drawn anew to tell how far scores would vary: what the split keeps together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmemo.errors import InputError
from mmemo.evaluation.protocol import Protocol

UNIT = "unit"
"""Column of a prediction table: names what the row belongs to."""

UNIT_COLUMNS = {
    "speaker": ["speaker"],
    "dialogue": ["corpus_split", "dialogue_id"],
    "utterance": ["key"],
}
"""What can be drawn; a dialogue is named by the corpus' own split too, in which its id restarts."""

PLURALS = {"corpus": "corpora"}

MIN_UNITS = 20
"""Fewer have no interval by bootstrap, which is wrong too often there.

Source: ``benchmarks/statistics.py``; Cameron, Gelbach and Miller 2008.
"""

MIN_EFFECTIVE_UNITS = 5
"""Nor has a number that is larger, where so few of the units have nearly all of the rows; fewer
have none by the jackknife either (``benchmarks/statistics.py``)."""


def plural(unit: str) -> str:
    """``speakers``, ``corpora``."""
    return PLURALS.get(unit, f"{unit}s")


@dataclass(frozen=True)
class Units:
    """Which rows of a table are drawn together.

    Args:
        name: Name of one unit: "speaker".
        number: (N,), of each row, from 0.
    """

    name: str
    number: NDArray[np.int64]

    @classmethod
    def of(cls, name: str, rows: pd.DataFrame, columns: Sequence[str]) -> Units:
        """Units that the values of some columns name together."""
        labels = pd.MultiIndex.from_frame(rows[list(columns)])
        number, _ = pd.factorize(labels, sort=True)
        return cls(name, number.astype(np.int64))

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Rows of each unit (G,)."""
        return np.bincount(self.number)

    @property
    def num(self) -> int:
        """G."""
        return len(self.sizes)

    @property
    def text(self) -> str:
        """``12 speakers``."""
        return f"{self.num:,} {self.name if self.num == 1 else plural(self.name)}"

    @property
    def effective_num(self) -> float:
        """So many units of equal size vary as much: (sum of sizes)² / sum of squared sizes.

        G where all are of one size. Where a few units have most of the rows, as MELD's six leads
        have, their number decides and not the number of all. Source: Kish 1965, "Survey
        Sampling"; Carter, Schnepel and Steigerwald 2017 for its use with few clusters.
        """
        sizes = self.sizes.astype(np.float64)
        return float(sizes.sum() ** 2 / np.square(sizes).sum())

    @property
    def are_few(self) -> bool:
        """Whether no interval by bootstrap can be given."""
        return self.num < MIN_UNITS or self.effective_num < MIN_EFFECTIVE_UNITS

    @property
    def has_jackknife(self) -> bool:
        """Whether an interval is given by leaving out one unit at a time: there are few, not very.

        ``benchmarks/statistics.py`` has its coverage.
        """
        return self.num < MIN_UNITS and self.effective_num >= MIN_EFFECTIVE_UNITS

    @property
    def jackknife_text(self) -> str:
        """How that interval is made, in words."""
        return f"jackknife, t with {self.effective_num - 1:.3g} degrees of freedom"

    @property
    def few_note(self) -> str | None:
        """Why there is no interval, or no bootstrap's; None where there may be one."""
        if not self.are_few:
            return None
        if self.has_jackknife:
            return (
                f"Of {self.text}, fewer than {MIN_UNITS}, the interval leaves out one {self.name} "
                f"at a time ({self.jackknife_text}): a bootstrap of so few is too narrow, so that "
                "there is no bootstrap p, and no interval of the setting."
            )
        if self.num < MIN_EFFECTIVE_UNITS:
            least = f"at least {MIN_EFFECTIVE_UNITS} are needed"
        else:
            least = f"they are as good as {self.effective_num:.1f} of one size, at least "
            least += f"{MIN_EFFECTIVE_UNITS} are needed"
        return (
            f"No interval and no bootstrap p of {self.text}: {least}. Of few a bootstrap draws too "
            "narrow ones: of 10 units its nominal 5 % are 8 %, of 5 they are 13 %, of 2 they are "
            "32 % (benchmarks/statistics.py)."
        )


def kept_together(rows: pd.DataFrame, group_columns: Sequence[str]) -> tuple[str, list[str]]:
    """What a split keeps together: its groups, else speakers, else dialogues, else utterances.

    Speakers count as kept together where every row names one and none is in two splits. Dialogues
    count wherever one has several rows, for its rows resemble each other in any split.

    Args:
        rows: Rows of all splits that are known: split, speaker, corpus_split, dialogue_id, key, and
            ``source_key`` where rows may be copies.
        group_columns: Columns whose values the split protocol keeps together.

    Returns:
        Its name, that of the last column, and the columns whose values name it.
    """
    if group_columns:
        return group_columns[-1], list(group_columns)
    speaker = rows["speaker"].fillna("").astype(str)
    is_apart = rows.groupby(speaker)["split"].nunique().max() == 1
    if (speaker != "").all() and speaker.nunique() > 1 and is_apart:
        return "speaker", UNIT_COLUMNS["speaker"]
    if rows.duplicated(UNIT_COLUMNS["dialogue"]).any():
        return "dialogue", UNIT_COLUMNS["dialogue"]
    return "utterance", ["source_key"] if "source_key" in rows else UNIT_COLUMNS["utterance"]


def with_units(rows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The rows with the column ``unit``: a text that the values of some columns make."""
    texts = rows[list(columns)].astype(str)
    return rows.assign(**{UNIT: texts.agg("/".join, axis=1)})


@dataclass(frozen=True)
class KeyUnits:
    """What utterances belong to, by key.

    Args:
        name: Name of one unit: "dialogue".
        by_key: The unit of an utterance; one that is not there is a unit of its own.
    """

    name: str = "utterance"
    by_key: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, table: pd.DataFrame, protocol: Protocol) -> KeyUnits:
        """From a prediction table of all splits, and the run's protocol."""
        if UNIT in table and protocol.unit:
            named, name = table, protocol.unit
        else:
            name, columns = kept_together(table, _known_groups(table, protocol))
            named = with_units(table, columns)
        return cls(name, dict(zip(named["key"], named[UNIT], strict=True)))


def _known_groups(table: pd.DataFrame, protocol: Protocol) -> Sequence[str]:
    """The protocol's group columns, if the table of an earlier mmemo has them."""
    groups = protocol.group_columns
    return groups if set(groups) <= set(table) else ()


def check_unit(unit: str | None) -> None:
    """Refuse the name of what cannot be drawn.

    Raises:
        InputError: If it is neither None nor one of ``UNIT_COLUMNS``.
    """
    if unit is not None and unit not in UNIT_COLUMNS:
        raise InputError(
            f"unit: expected null (what the split keeps together), {', '.join(UNIT_COLUMNS)}, got "
            f"'{unit}'"
        )


def table_units(
    test: pd.DataFrame, known: pd.DataFrame, protocol: Protocol, wanted: str | None
) -> Units:
    """The units of a test table.

    Args:
        test: Prediction table of test, of all folds.
        known: Rows of validation and test of one run, which tell what is apart where its protocol
            does not: one of an earlier mmemo does not name what its split keeps together.
        protocol: Protocol of that run.
        wanted: One of ``UNIT_COLUMNS``; None for what the split keeps together.

    Raises:
        InputError: If speakers are wanted and a row names none.
    """
    if wanted is not None:
        if wanted == "speaker" and (test["speaker"].fillna("") == "").any():
            raise InputError(
                "unit=speaker: expected a speaker of every test utterance, some have none; "
                "choose unit=dialogue or unit=utterance"
            )
        return Units.of(wanted, test, UNIT_COLUMNS[wanted])
    if UNIT in test and protocol.unit:
        return Units.of(protocol.unit, test, [UNIT])
    name, columns = kept_together(known, _known_groups(test, protocol))
    return Units.of(name, test, columns)
