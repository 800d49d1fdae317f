"""Reading a table of annotations with every cell as text."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import pandas as pd

from mmemo.corpora.table_dialects import TextTable, parse_table
from mmemo.errors import InputError

MAX_TABLE_BYTES = 2**30
"""Millions of rows; a packed file may unfold to any size."""

MAX_TRANSCRIPT_CHARS = 10_000
"""Minutes of speech; a tokenizer takes minutes for a single word of millions."""

TOO_LONG = "transcript too long"
"""Reason to leave out a row whose transcript is longer: it is damage, or no utterance."""

MAX_ID_DIGITS = 18
"""Ids are stored in 64 bits."""


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def read_table(
    where: str,
    file: Path | io.BytesIO,
    encoding: str | None = None,
    separator: str | None = None,
) -> TextTable:
    """Read a CSV of any dialect, JSON lines, Parquet or Excel.

    It may be packed: .gz, .bz2, .xz, .zip.

    Args:
        where: Its name, for messages.
        file: Its path or content.
        encoding: Of its text; None to find out, as ``parse_table`` does.
        separator: Of its cells; None to find out.

    Raises:
        InputError: If it is no table, holds a NUL byte, or is not packed as its name says.
    """
    unreadable = (ValueError, OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.error)
    is_tsv = ".tsv" in Path(where).suffixes
    try:
        data = file.getvalue() if isinstance(file, io.BytesIO) else _unpacked(file)
        return parse_table(data, is_tsv, encoding, separator)
    except unreadable as error:
        raise InputError(
            f"{where}: expected a CSV with a header, JSON lines, Parquet or Excel, could not read "
            f"it ({str(error)[:500]}); correct it, or get the file again"
        ) from error


def read_text_table(
    where: str, file: Path | io.BytesIO, required: Sequence[str], remedy: str
) -> pd.DataFrame:
    """Read a table whose columns have fixed names; empty cells are ''.

    Args:
        where: Its name, for messages.
        file: Its path or content.
        required: Columns that it must have.
        remedy: What to do where one is missing.

    Raises:
        InputError: If it cannot be read, as ``read_table`` says, or lacks a required column.
    """
    table = read_table(where, file).cells
    missing = [column for column in required if column not in table.columns]
    if missing:
        raise InputError(
            f"{where}: expected the columns {', '.join(required)}, missing {', '.join(missing)} "
            f"(found {', '.join(table.columns)[:500]}); {remedy}"
        )
    return table


def whole_number(text: str) -> int | None:
    """A number such as an id, from 0 on; None where the text is none, or of too many digits."""
    digits = text.strip()
    return int(digits) if digits.isdecimal() and len(digits) <= MAX_ID_DIGITS else None


def _unpacked(path: Path) -> bytes:
    with path.open("rb") as file:
        match path.suffix.lower():
            case ".gz":
                return _bounded(gzip.GzipFile(fileobj=file))
            case ".bz2":
                return _bounded(bz2.BZ2File(file))
            case ".xz":
                return _bounded(lzma.LZMAFile(file))
            case ".zip":
                with zipfile.ZipFile(file) as archive:
                    (name,) = archive.namelist()
                    return _bounded(archive.open(name))
        return _bounded(file)


def _bounded(file: _Readable) -> bytes:
    data = file.read(MAX_TABLE_BYTES + 1)
    if len(data) > MAX_TABLE_BYTES:
        raise ValueError(f"more than {MAX_TABLE_BYTES} bytes")
    return data
