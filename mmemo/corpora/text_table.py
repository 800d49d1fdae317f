"""Reading a CSV of annotations with every cell as text."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import pandas as pd

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


def read_text_table(
    where: str, file: Path | io.BytesIO, required: Sequence[str], remedy: str
) -> pd.DataFrame:
    """Read a CSV, or a TSV by its name, which may be packed (.gz, .bz2, .xz, .zip).

    Empty cells are ''.

    Args:
        where: Its name, for messages.
        file: Its path or content.
        required: Columns that it must have.
        remedy: What to do where one is missing.

    Raises:
        InputError: If it is not UTF-8 CSV, holds a NUL byte, is not packed as its name says, or
            lacks a required column.
    """
    separator = "\t" if ".tsv" in Path(where).suffixes else ","
    unreadable = (ValueError, OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.error)
    wanted = f"{where}: expected a UTF-8 CSV with a header"
    remedied = "get the file again or save it as UTF-8"
    try:
        data = file.getvalue() if isinstance(file, io.BytesIO) else _unpacked(file)
    except unreadable as error:
        raise InputError(f"{wanted}, could not read it ({error}); {remedied}") from error
    # The parser takes a NUL for the end of its cell and drops the rest of it.
    place = data.find(b"\0")
    if place >= 0:
        line = data.count(b"\n", 0, place) + 1
        raise InputError(f"{wanted}, found a NUL byte in line {line}; remove it, or {remedied}")
    try:
        with warnings.catch_warnings():
            # Where the first row has more cells than the header, those of all rows are dropped.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                io.BytesIO(data),
                sep=separator,
                dtype=str,
                keep_default_na=False,
                encoding="utf-8-sig",
                index_col=False,
            )
    except (ValueError, pd.errors.ParserWarning) as error:
        raise InputError(f"{wanted}, could not read it ({error}); {remedied}") from error
    missing = [column for column in required if column not in table.columns]
    if missing:
        raise InputError(
            f"{where}: expected the columns {', '.join(required)}, missing {', '.join(missing)} "
            f"(found {', '.join(map(str, table.columns))[:500]}); {remedy}"
        )
    return table.fillna("")


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
