"""What is known of a corpus beforehand: its terms, its counts, and how far a copy is whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import pandas as pd
from pydantic import NonNegativeInt, PositiveInt, TypeAdapter, ValidationError

from mmemo.corpora.utterance import SPLITS
from mmemo.errors import InputError

WHOLE = "all"
"""What stands for the split where a count is of all rows."""

MAX_NAMED = 5
"""A sentence names so many runs of speakers, or classes, at most."""


@dataclass(frozen=True)
class ExpectedCounts:
    """What is documented of a split, or of all rows; None for what is not.

    Args:
        num_rows: Utterances.
        num_dialogues: Different dialogues.
        num_speakers: Different names of speakers.
        labels: For each column of labels the utterances of each class, by the name that the
            corpus' reader gives it.
    """

    num_rows: NonNegativeInt | None = None
    num_dialogues: NonNegativeInt | None = None
    num_speakers: NonNegativeInt | None = None
    labels: Mapping[str, Mapping[str, NonNegativeInt]] = field(default_factory=dict)


@dataclass(frozen=True)
class Difference:
    """A count that is not the expected one; ``split`` is "all" for one of all rows."""

    split: str
    what: str
    counted: int
    official: int


@dataclass(frozen=True)
class CorpusFacts:
    """What is documented of a corpus; stands under ``facts:`` in its file in ``conf/corpus``.

    Counts may be written as plain mappings, which become ``ExpectedCounts``.

    Args:
        licence: Its terms, in words or by their identifier.
        homepage: Where to get it.
        citation: Its paper.
        usual_split: The split that its literature uses, in words.
        remark: What is known of differences of official copies from these counts.
        sample_rate: Of its recordings, in Hz; None where it varies or is not documented.
        speakers: Names of all of its speakers, as the corpus' reader gives them, where they are
            documented one by one.
        total: Counts of all rows.
        splits: Counts of its own splits, by name.

    Raises:
        InputError: If a count is none, or a key is unknown.
    """

    licence: str
    homepage: str
    citation: str
    usual_split: str = ""
    remark: str = ""
    sample_rate: PositiveInt | None = None
    speakers: Sequence[str] = ()
    total: ExpectedCounts = field(default_factory=ExpectedCounts)
    splits: Mapping[str, ExpectedCounts] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make counts of mappings."""
        set_ = object.__setattr__
        set_(self, "speakers", tuple(map(str, self.speakers)))
        set_(self, "total", _counts("total", self.total))
        unknown = [name for name in self.splits if name not in SPLITS]
        if unknown:
            raise InputError(
                f"corpus.facts.splits: expected some of {', '.join(SPLITS)}, got "
                f"{', '.join(map(str, unknown))}; correct the file of the corpus"
            )
        splits = {name: _counts(f"splits.{name}", part) for name, part in self.splits.items()}
        set_(self, "splits", splits)

    @property
    def num_rows(self) -> int | None:
        """Utterances of the whole corpus; None where they are not documented."""
        parts = [part.num_rows for part in self.splits.values()]
        known = [rows for rows in parts if rows is not None]
        whole = sum(known) if parts and len(known) == len(parts) else None
        return self.total.num_rows if self.total.num_rows is not None else whole

    @property
    def has_counts(self) -> bool:
        """Whether any count is documented."""
        return any(part != ExpectedCounts() for part in (self.total, *self.splits.values()))

    @property
    def num_speakers(self) -> int | None:
        """Speakers of the whole corpus; None where they are not documented."""
        return self.total.num_speakers or len(self.speakers) or None

    def differences(
        self, rows: pd.DataFrame, label_column: str, has_own_split: bool = True
    ) -> tuple[Difference, ...]:
        """Every documented count that is another one; a class or split that is missing counts 0.

        Args:
            rows: The usable rows: split, dialogue_id, speaker, the labels.
            label_column: Which of the columns of labels is compared.
            has_own_split: Whether the rows stand in the corpus' own splits; else those counts are
                of nothing.
        """
        found = _differences(WHOLE, rows, self.total, label_column)
        for split, expected in (self.splits if has_own_split else {}).items():
            found += _differences(split, rows[rows["split"] == split], expected, label_column)
        return tuple(found)

    def shortfall(self, rows: pd.DataFrame, has_own_split: bool = True) -> str:
        """One sentence about what a copy lacks of the whole corpus, or has too much.

        Args:
            rows: The usable rows: split, dialogue_id, speaker, emotion.
            has_own_split: Whether the rows stand in the corpus' own splits.

        Returns:
            The sentence; empty where rows, speakers and classes are all as documented.
        """
        differing = [
            difference
            for difference in self.differences(rows, "emotion", has_own_split)
            if difference.what != "dialogues"
        ]
        missing, unknown = self._other_speakers(rows)
        if not (differing or any(missing) or unknown):
            return ""
        parts = []
        if any(missing):
            verb = "is" if sum(missing) == 1 else "are"
            noun = "speaker" if sum(missing) == 1 else "speakers"
            parts.append(f"{noun} {_named(_runs(self.speakers, missing))} {verb} missing")
        if unknown:
            noun = "speaker" if len(unknown) == 1 else "speakers"
            parts.append(f"{noun} {_named(unknown)} not known")
        if any(missing):
            parts += [f"no {d.what}" for d in differing if d.split == WHOLE and not d.counted]
        else:
            is_size = {(WHOLE, "rows"), (WHOLE, "speakers")}
            parts += [_named([_in_words(d) for d in differing if (d.split, d.what) not in is_size])]
        described = ", ".join(filter(None, parts))
        return f"{self._expected(rows)}{f': {described}' if described else ''}"

    def _expected(self, rows: pd.DataFrame) -> str:
        wanted = [] if self.num_rows is None else [f"{self.num_rows} rows"]
        found = [str(len(rows))] if wanted else []
        if self.num_speakers is not None:
            wanted.append(f"{self.num_speakers} speakers")
            num_found = len(_names(rows["speaker"]))
            found.append(str(num_found) if found else f"{num_found} speakers")
        if not wanted:
            return "not as documented"
        return f"expected {' of '.join(wanted)}, found {' of '.join(found)}"

    def _other_speakers(self, rows: pd.DataFrame) -> tuple[list[bool], list[str]]:
        """Which of the documented speakers are missing, and those that are not documented."""
        if not self.speakers:
            return [], []
        there = _names(rows["speaker"])
        return [name not in there for name in self.speakers], sorted(there - set(self.speakers))


def _counts(where: str, value: ExpectedCounts | Mapping[str, object]) -> ExpectedCounts:
    known = [f.name for f in fields(ExpectedCounts)]
    if isinstance(value, Mapping) and (unknown := [str(k) for k in value if k not in known]):
        raise InputError(
            f"corpus.facts.{where}: expected some of {', '.join(known)}, got "
            f"{', '.join(unknown)}; correct the file of the corpus"
        )
    try:
        return TypeAdapter(ExpectedCounts).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, ("corpus.facts", where, *first["loc"])))
        raise InputError(
            f"{place}: expected counts, got {str(first['input'])[:60]!r}: {first['msg']}; correct "
            "the file of the corpus"
        ) from error


def _differences(
    split: str, rows: pd.DataFrame, expected: ExpectedCounts, label_column: str
) -> list[Difference]:
    pairs: dict[str, tuple[int, int | None]] = {
        "rows": (len(rows), expected.num_rows),
        "dialogues": (rows["dialogue_id"].nunique(), expected.num_dialogues),
        "speakers": (len(_names(rows["speaker"])), expected.num_speakers),
    }
    if labels := expected.labels.get(label_column):
        counted = rows[label_column].fillna("none").value_counts()
        for label in sorted({*labels, *map(str, counted.index)}):
            pairs[label] = (int(counted.get(label, 0)), labels.get(label, 0))
    return [
        Difference(split, what, counted, official)
        for what, (counted, official) in pairs.items()
        if official is not None and counted != official
    ]


def _names(column: pd.Series[str]) -> set[str]:
    return set(column.dropna()) - {""}


def _runs(names: Sequence[str], chosen: Sequence[bool]) -> list[str]:
    """Chosen names, three or more neighbours as "first to last"."""
    runs: list[list[str]] = [[]]
    for name, is_chosen in zip(names, chosen, strict=True):
        if is_chosen:
            runs[-1].append(name)
        elif runs[-1]:
            runs.append([])
    ranges = []
    for run in filter(None, runs):
        ranges += [f"{run[0]} to {run[-1]}"] if len(run) > 2 else run
    return ranges


def _named(names: Sequence[str]) -> str:
    more = len(names) - MAX_NAMED
    shown = ", ".join(names[:MAX_NAMED])
    return f"{shown} and {more} more" if more > 0 else shown


def _in_words(difference: Difference) -> str:
    place = "" if difference.split == WHOLE else f" in {difference.split}"
    return f"{difference.counted} of {difference.official} {difference.what}{place}"
