"""What a file's name tells of an utterance, read by a regular expression and tables of codes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from mmemo.corpora.utterance import EMOTIONS, Utterance
from mmemo.errors import InputError

OWN_FIELDS = ("speaker", "transcript", "emotion", "sentiment", "session", "style")
"""Fields of an utterance that a group may give as text."""

NUMBERS = ("season", "episode")
"""Fields of an utterance that a group may give as a whole number."""

PLACES = ("split", "dialogue", "order")
"""Further groups with a meaning: the split, and the utterance's place in a dialogue."""

TAKEN = frozenset(
    (
        *(f.name for f in fields(Utterance) if f.name not in (*OWN_FIELDS, *NUMBERS, *PLACES)),
        *("status", "reason", "detail", "audio_file", "offset", "num_samples", "crc32", "cut"),
        *("source", "source_bytes", "source_modified_s", "source_rate", "source_duration_s"),
        *("source_crc32", "source_key", "corpus_split", "channel_layout", "level_before_db"),
        *("level_after_db", "duration_s", "label", "text", "target", "pred", "unit", "revision"),
        *("num_packets", "num_bad_packets", "note"),
    )
)
"""Columns of other meaning in the tables of a prepared corpus: no group may be called so."""


_BRACES = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class NameParts:
    """What one name tells.

    Args:
        key: The part of the path that the pattern matches: the utterance's name in its corpus.
        codes: By group what stands in the name; groups that took no part are left out.
        values: By column what that means.
        unknown: Groups whose code is in no table of theirs.
        dropped: The group whose code is none of those to keep; empty for a file to keep.
    """

    key: str
    codes: Mapping[str, str]
    values: Mapping[str, str]
    unknown: tuple[str, ...] = ()
    dropped: str = ""


class FileNames:
    """Reads names.

    Args:
        pattern: Regular expression with named groups. It has to match from the beginning of a
            folder's or the file's name to the end of the path without its suffix; folders are
            divided by "/".
        codes: By group a table of its codes and what they mean; a group without one means what
            it says.
        keep: By group the codes to keep; files of others are left out.
        derived: By column what follows from groups: a text with groups in braces, or for one
            group a table by its code.

    Raises:
        InputError: If the pattern is no regular expression or lacks the group emotion, a table is
            of a group that it lacks, or a column has a name of another meaning.
    """

    def __init__(
        self,
        pattern: str,
        codes: Mapping[str, Mapping[str, str]] | None = None,
        keep: Mapping[str, str | Sequence[str]] | None = None,
        derived: Mapping[str, str | Mapping[str, Mapping[str, str]]] | None = None,
    ) -> None:
        try:
            self.pattern = re.compile(pattern)
        except re.error as error:
            raise InputError(
                f"corpus.pattern: expected a regular expression, got '{pattern}' ({error}); "
                "correct it"
            ) from error
        self.groups = tuple(self.pattern.groupindex)
        given = {name: table for name, table in (codes or {}).items() if table is not None}
        self.codes = {name: _Codes(f"codes.{name}", table) for name, table in given.items()}
        self.keep = {name: _listed(kept) for name, kept in (keep or {}).items() if kept is not None}
        self.derived = {
            column: how if isinstance(how, str) else self._tables(column, how)
            for column, how in (derived or {}).items()
            if how is not None
        }
        self._check()

    @property
    def columns(self) -> tuple[str, ...]:
        """Everything that a name can tell."""
        return tuple(dict.fromkeys([*self.groups, *self.derived]))

    def parse(self, path: str) -> NameParts | None:
        """What a path tells; None where the pattern does not match.

        Args:
            path: From the corpus' root on, without its suffix, divided by "/".
        """
        match = self._match(path)
        if match is None:
            return None
        codes = {name: text for name, text in match.groupdict().items() if text is not None}
        dropped = next((g for g, kept in self.keep.items() if codes.get(g) not in kept), "")
        meanings = {name: self._meaning(name, code) for name, code in codes.items()}
        values = {name: text for name, text in meanings.items() if text is not None}
        unknown = tuple(name for name, text in meanings.items() if text is None)
        for column, how in self.derived.items():
            text = _filled(how, values) if isinstance(how, str) else _looked_up(how, codes)
            if text is not None:
                values[column] = text
        return NameParts(match[0], codes, values, unknown, dropped)

    def _match(self, path: str) -> re.Match[str] | None:
        start = 0
        while True:
            match = self.pattern.fullmatch(path, start)
            start = path.find("/", start) + 1
            if match is not None or not start:
                return match

    def _meaning(self, group: str, code: str) -> str | None:
        name = code.strip().lower() if group in ("emotion", "sentiment") else code.strip()
        if group not in self.codes:
            return name
        found = self.codes[group].find(code)
        return name if found is None and group == "emotion" and name in EMOTIONS else found

    def _tables(self, column: str, how: Mapping[str, Mapping[str, str]]) -> dict[str, _Codes]:
        where = f"derived.{column}"
        if len(how) != 1:
            raise InputError(
                f"corpus.{where}: expected the table of one group, got {len(how)}; write "
                f"{where}: {{GROUP: {{CODE: VALUE}}}}"
            )
        return {group: _Codes(f"{where}.{group}", table) for group, table in how.items()}

    def _check(self) -> None:
        if "emotion" not in (*self.groups, *self.derived):
            raise InputError(
                f"corpus.pattern: expected the group emotion, (?P<emotion>…), in "
                f"'{self.pattern.pattern}', found {', '.join(self.groups) or 'none'}; name it"
            )
        of_groups = {f"codes.{name}": name for name in self.codes}
        of_groups |= {f"keep.{name}": name for name in self.keep}
        for column, how in self.derived.items():
            names = _BRACES.findall(how) if isinstance(how, str) else list(how)
            of_groups |= {f"derived.{column} ({name})": name for name in names}
        for where, group in of_groups.items():
            if group not in self.groups:
                raise InputError(
                    f"corpus.{where}: expected a group of the pattern ({', '.join(self.groups)}), "
                    f"got '{group}'; correct the name or add (?P<{group}>…)"
                )
        taken = [name for name in self.columns if name in TAKEN]
        if taken:
            raise InputError(
                f"corpus.pattern: expected groups of other names than {', '.join(taken)}, which "
                "have another meaning in mmemo's tables; rename them"
            )


class _Codes:
    """A table of codes; where none is written just so, upper and lower case are one."""

    def __init__(self, where: str, table: Mapping[str, str]) -> None:
        unquoted = [key for key in table if not isinstance(key, str)]
        if unquoted:
            raise InputError(
                f"corpus.{where}: expected codes as text, got {unquoted[0]!r}, which YAML reads as "
                f"{type(unquoted[0]).__name__}; put it in quotation marks"
            )
        self.table = {key: str(value) for key, value in table.items()}
        folded: dict[str, set[str]] = {}
        for key, value in self.table.items():
            folded.setdefault(key.casefold(), set()).add(value)
        self._folded = {key: values.pop() for key, values in folded.items() if len(values) == 1}

    def find(self, code: str) -> str | None:
        return self.table.get(code, self._folded.get(code.casefold()))


def _filled(template: str, values: Mapping[str, str]) -> str | None:
    if any(name not in values for name in _BRACES.findall(template)):
        return None
    return _BRACES.sub(lambda found: values[found[1]], template)


def _looked_up(tables: Mapping[str, _Codes], codes: Mapping[str, str]) -> str | None:
    (group, table), *_ = tables.items()
    return table.find(codes[group]) if group in codes else None


def _listed(kept: str | Sequence[str]) -> tuple[str, ...]:
    return (kept,) if isinstance(kept, str) else tuple(map(str, kept))
