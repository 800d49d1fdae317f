"""In which way a table is written: CSV and its dialects, JSON lines, Parquet, Excel."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import sys
import warnings
import zipfile
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import pandas as pd

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8 with BOM"),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
"""UTF-32's begins as UTF-16's does, and stands before it."""

NUM_LOOKED_AT = 4096
"""Bytes of the beginning, of which two in five are zeros in UTF-16 of nearly any language."""

OLD_EXCEL = b"\xd0\xcf\x11\xe0"
NO_TEXT = re.compile(r"[^\x00-\x7f\ufffd]")


@dataclass(frozen=True)
class TextTable:
    """A table with every cell as text, '' where it is empty.

    Args:
        cells: The rows.
        dialect: How they were written: "semicolon, UTF-16".
        first_row: What the first of them is called in messages: its line in a file with a header.
    """

    cells: pd.DataFrame
    dialect: str
    first_row: int = 2


def parse_table(
    data: bytes, is_tsv: bool = False, encoding: str | None = None, separator: str | None = None
) -> TextTable:
    """Read a table, whatever way it is written; its content says which.

    Text is, in this order, what its byte order mark says; UTF-16 where zeros stand in every second
    byte; UTF-8; cp1252, Excel's on Windows in Western Europe. A file that is mostly UTF-8 is
    damaged, and not cp1252.

    Args:
        data: The file's content.
        is_tsv: Whether its name says that tabs separate its cells, where the header does not tell.
        encoding: Of the text, as Python calls it; None to find out.
        separator: Of the cells; None for the one that the header has most cells by.

    Raises:
        ValueError: If it cannot be read; says why.
    """
    if data.startswith(b"PAR1"):
        frame = pd.read_parquet(io.BytesIO(data))
        if any(name is not None for name in frame.index.names):
            frame = frame.reset_index()
        return TextTable(_as_text(frame), "Parquet", 1)
    if data.startswith(OLD_EXCEL):
        raise ValueError("it is Excel's old format; save it as .xlsx")
    if _is_excel(data):
        return _excel(data)
    text, encoded = _decoded(data, encoding)
    place = text.find("\0")
    if place >= 0:
        # The parser takes a NUL for the end of its cell and drops the rest of it.
        line = text.count("\n", 0, place) + 1
        raise ValueError(f"found a NUL byte in line {line}; remove it")
    if text.lstrip()[:1] in ("{", "["):
        return _json(text, encoded)
    return _csv(text, encoded, is_tsv, separator)


def _decoded(data: bytes, encoding: str | None) -> tuple[str, str]:
    """The text, and what its encoding is called."""
    if encoding is not None:
        try:
            return data.decode(encoding).removeprefix("\ufeff"), encoding
        except LookupError:
            raise ValueError(f"there is no encoding '{encoding}'") from None
    for mark, codec, name in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return data.decode(codec).removeprefix("\ufeff"), name
    start = data[:NUM_LOOKED_AT]
    for first, codec in ((1, "utf-16-le"), (0, "utf-16-be")):
        if start[first::2].count(0) > 0.4 * len(start) / 2 > 0:
            return data.decode(codec), "UTF-16"
    try:
        return data.decode("utf-8"), "UTF-8"
    except UnicodeDecodeError as error:
        text = data.decode("utf-8", "replace")
        if len(NO_TEXT.findall(text)) > text.count("\ufffd"):
            line = data.count(b"\n", 0, error.start) + 1
            raise ValueError(f"line {line} is no UTF-8, of which the rest is: {error}") from None
    try:
        return data.decode("cp1252"), "cp1252"
    except UnicodeDecodeError as error:
        raise ValueError(f"neither UTF-8 nor cp1252: {error}; save it as UTF-8") from None


def _csv(text: str, encoded: str, is_tsv: bool, separator: str | None) -> TextTable:
    first_row = 2
    said = re.match(r"sep=(.)\r?\n", text)
    if said:
        # Excel's own way to tell.
        text, separator, first_row = text[said.end() :], separator or said[1], 3
    separator = separator or _separator(text, is_tsv)
    dialect = f"{SEPARATORS.get(separator, repr(separator))}, {encoded}"
    try:
        cells = _parsed(text, separator, csv.QUOTE_MINIMAL)
        if _has_lines(cells):
            _check_quotes(text, separator)
    except ValueError:
        # Where tabs separate cells, quotation marks are mostly just that.
        if separator != "\t":
            _check_quotes(text, separator)
            raise
        cells, dialect = _parsed(text, separator, csv.QUOTE_NONE), f"{dialect}, without quoting"
    return TextTable(cells, dialect, first_row)


def _separator(text: str, is_tsv: bool) -> str:
    header = next((line for line in text.splitlines() if line.strip()), "")
    order = sorted(SEPARATORS, key=lambda mark: is_tsv and mark != "\t")
    try:
        return max(order, key=lambda mark: len(next(csv.reader([header], delimiter=mark), [])))
    except csv.Error:
        return order[0]


def _parsed(text: str, separator: str, quoting: int) -> pd.DataFrame:
    with warnings.catch_warnings():
        # Where the first row has more cells than the header, those of all rows are dropped.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            cells = pd.read_csv(
                io.StringIO(text),
                sep=separator,
                dtype=str,
                keep_default_na=False,
                index_col=False,
                quoting=quoting,  # type: ignore[call-overload]
            )
        except pd.errors.ParserWarning as error:
            raise ValueError(str(error)) from error
    filled: pd.DataFrame = cells.fillna("")
    return _with_plain_names(filled)


def _has_lines(cells: pd.DataFrame) -> bool:
    return any(cells[name].str.contains("[\r\n]").any() for name in cells)


def _check_quotes(text: str, separator: str) -> None:
    """A cell of several lines is one only where quotation marks stand around cells alone.

    One that is not closed makes a row of several, up to the next mark, which then has something
    else than a separator behind it.
    """
    limit = csv.field_size_limit(sys.maxsize)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for _ in reader:
            pass
    except csv.Error as error:
        raise ValueError(
            f"the row that ends in line {reader.line_num} has a quotation mark too few ({error}); "
            "close or double the quotation marks of that row"
        ) from None
    finally:
        csv.field_size_limit(limit)


def _json(text: str, encoded: str) -> TextTable:
    if text.lstrip()[0] == "[":
        rows, kind = json.loads(text), "JSON"
    else:
        rows, kind = [], "JSON lines"
        for number, line in enumerate(text.split("\n"), 1):
            try:
                rows += [json.loads(line)] if line.strip() else []
            except ValueError as error:
                raise ValueError(f"line {number} is no JSON: {error}") from None
    wrong = [number for number, row in enumerate(rows, 1) if not isinstance(row, dict)]
    if wrong:
        raise ValueError(f"row {wrong[0]} is no object with a value for each column")
    return TextTable(_as_text(pd.DataFrame(rows, dtype=object)), f"{kind}, {encoded}", 1)


def _is_excel(data: bytes) -> bool:
    if not data.startswith(b"PK\x03\x04"):
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return "xl/workbook.xml" in archive.namelist()
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from error


def _excel(data: bytes) -> TextTable:
    try:
        with pd.ExcelFile(io.BytesIO(data), engine="openpyxl") as book:
            names = book.sheet_names
            cells = pd.read_excel(book, names[0], dtype=str, keep_default_na=False)
    except ImportError as error:
        raise ValueError('Excel needs openpyxl; install it with pip install "mmemo[excel]"') from (
            error
        )
    except (KeyError, zipfile.BadZipFile) as error:
        raise ValueError(str(error)) from error
    dialect = f"Excel, the sheet {names[0]}" + (f" of {len(names)}" if len(names) > 1 else "")
    return TextTable(_with_plain_names(cells.fillna("")), dialect)


def _as_text(frame: pd.DataFrame) -> pd.DataFrame:
    columns: dict[Hashable, list[str]] = {
        name: [_cell(value) for value in frame[name].astype(object)] for name in frame
    }
    return _with_plain_names(pd.DataFrame(columns))


def _cell(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, np.ndarray):
        # A list in a cell of Parquet.
        value = value.tolist()
    if isinstance(value, list | dict):
        return json.dumps(value)
    if value is None or value != value or value is pd.NaT or value is pd.NA:
        return ""
    is_whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if is_whole else str(value)  # type: ignore[call-overload]


def _with_plain_names(cells: pd.DataFrame) -> pd.DataFrame:
    return cells.set_axis([str(name).strip() for name in cells.columns], axis="columns")
