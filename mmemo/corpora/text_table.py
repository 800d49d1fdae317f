"""Reading a CSV of annotations with every cell as text."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mmemo.errors import InputError


def read_text_table(
    where: str, file: Path | io.BytesIO, required: Sequence[str], remedy: str
) -> pd.DataFrame:
    """Read a CSV, or a TSV by its name; empty cells are ''.

    Args:
        where: Its name, for messages.
        file: Its path or content.
        required: Columns that it must have.
        remedy: What to do where one is missing.

    Raises:
        InputError: If it is not UTF-8 CSV or lacks a required column.
    """
    separator = "\t" if where.endswith(".tsv") else ","
    try:
        table = pd.read_csv(
            file,
            sep=separator,
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
            index_col=False,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(
            f"{where}: expected a UTF-8 CSV with a header, could not read it ({error}); "
            "get the file again or save it as UTF-8"
        ) from error
    missing = [column for column in required if column not in table.columns]
    if missing:
        raise InputError(
            f"{where}: expected the columns {', '.join(required)}, missing {', '.join(missing)} "
            f"(found {', '.join(map(str, table.columns))}); {remedy}"
        )
    return table.fillna("")
