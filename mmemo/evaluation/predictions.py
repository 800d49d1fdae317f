"""The prediction table: one row for each utterance, as Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mmemo.errors import InputError
from mmemo.evaluation.units import UNIT
from mmemo.folders import written_whole

if TYPE_CHECKING:
    # Tables are read where nothing else needs torch, which takes seconds to import.
    from torch import Tensor

PROBABILITY_PREFIX = "prob_"
COLUMNS = (
    "key",
    "split",
    "corpus_split",
    "split_protocol",
    "dialogue_id",
    "utterance_id",
    "speaker",
    "transcript",
    "target",
    "pred",
)
CORPUS = "corpus"
"""Which of several corpora a row is of; not in tables of an earlier mmemo."""

TRAIT_PREFIX = "trait_"
"""Begins the name of a column of what is known of an utterance: ``trait_sex``; see ``traits``."""

TEXTS = ("key", "split", "split_protocol", "transcript", "target", "pred")
IDS = ("dialogue_id", "utterance_id")

Outputs: TypeAlias = "list[tuple[Sequence[str], Tensor]]"
"""For each batch its keys and its class probabilities (B, C)."""


def gathered(outputs: Outputs) -> Outputs:
    """The outputs of all processes, in every one of them, on the CPU.

    Args:
        outputs: What this process has predicted.
    """
    from torch import distributed

    mine = [(keys, probabilities.cpu()) for keys, probabilities in outputs]
    if not (distributed.is_available() and distributed.is_initialized()):
        return mine
    parts: list[Outputs] = [[] for _ in range(distributed.get_world_size())]
    distributed.all_gather_object(parts, mine)
    return [output for part in parts for output in part]


def build_table(
    outputs: Outputs,
    rows: pd.DataFrame,
    classes: Sequence[str],
    label_column: str,
    sample_rate: int,
) -> pd.DataFrame:
    """Join predictions with the utterances they are of.

    Args:
        outputs: What the model has predicted.
        rows: The utterances that had to be predicted: key, split, corpus_split (where the corpus
            itself has it: a dialogue is named by that and its id), split_protocol, dialogue_id,
            utterance_id, speaker, transcript, corpus, the label, num_samples, and ``unit``: what
            names the rows that the split keeps together. Columns of traits are kept.
        classes: Names of the C classes, in the order of the probabilities.
        label_column: Column of the label.
        sample_rate: Rate of the samples that ``num_samples`` counts, in Hz.

    Returns:
        Those columns (the label as ``target``), ``duration_s`` of the prepared sound (before a
        model cuts it; NaN where there is none), ``pred``, and one ``prob_`` column for each
        class, in the order of ``rows``. Target and pred are class names.

    Raises:
        RuntimeError: If an utterance was predicted twice or not at all.
    """
    predicted: list[dict[str, object]] = []
    for keys, probabilities in outputs:
        for key, values in zip(keys, probabilities.tolist(), strict=True):
            best = max(range(len(classes)), key=values.__getitem__)
            row = {f"{PROBABILITY_PREFIX}{n}": v for n, v in zip(classes, values, strict=True)}
            predicted.append({"key": key, "pred": classes[best], **row})
    found = [row["key"] for row in predicted]
    if sorted(map(str, found)) != sorted(rows["key"]):
        raise RuntimeError(
            f"expected each of {len(rows)} utterances to be predicted once, got {len(found)} "
            f"predictions of {len(set(found))} utterances"
        )
    columns = [*(c for c in COLUMNS if c != "pred"), CORPUS, UNIT]
    columns += [str(c) for c in rows if str(c).startswith(TRAIT_PREFIX)]
    utterances = rows.rename(columns={label_column: "target"})[columns]
    num_samples = rows["num_samples"].astype("float64")
    utterances["duration_s"] = num_samples.where(num_samples > 0) / sample_rate
    table = utterances.merge(pd.DataFrame(predicted), on="key")
    return table.astype({"dialogue_id": "int64", "utterance_id": "int64"})


def restricted(table: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """A prediction table among some of its classes, as if the others were no answers.

    Args:
        table: Prediction table.
        classes: Those that are left, in the order of the new columns.

    Returns:
        The rows whose target is one of them; their probabilities, divided by their sum (equal
        ones where all are 0), and the most probable of them as ``pred``.
    """
    names = [PROBABILITY_PREFIX + name for name in classes]
    rows = table[table["target"].isin(classes)].reset_index(drop=True)
    values = rows[names].to_numpy(dtype="float64")
    sums = values.sum(axis=1, keepdims=True)
    values = np.where(sums > 0, values, 1.0) / np.where(sums > 0, sums, len(names))
    others = [PROBABILITY_PREFIX + name for name in classes_of(table)]
    pred = [classes[place] for place in values.argmax(axis=1)]
    kept = rows.drop(columns=others).assign(target=rows["target"].astype(str), pred=pred)
    return pd.concat([kept, pd.DataFrame(values, columns=names)], axis=1)


def write_predictions(table: pd.DataFrame, path: Path) -> None:
    """Write a prediction table, with checksums of its pages.

    Raises:
        InputError: If it cannot be written.
    """
    with written_whole(path) as place:
        table.to_parquet(place, index=False, write_page_checksum=True)


def classes_of(table: pd.DataFrame) -> list[str]:
    """Class names in label order, from the probability columns."""
    return class_names(table.columns)


def trait_columns(table: pd.DataFrame) -> dict[str, str]:
    """By trait the column of a prediction table that has it."""
    names = [str(name) for name in table.columns]
    return {n.removeprefix(TRAIT_PREFIX): n for n in names if n.startswith(TRAIT_PREFIX)}


def class_names(columns: Iterable[object]) -> list[str]:
    """Class names in label order, from the names of a table's columns."""
    prefix = PROBABILITY_PREFIX
    return [str(c)[len(prefix) :] for c in columns if str(c).startswith(prefix)]


def read_predictions(path: Path) -> pd.DataFrame:
    """Read a prediction table; one of an earlier mmemo lacks ``duration_s, unit, corpus``.

    Raises:
        InputError: If there is none or it is not one.
    """
    table = open_predictions(path)
    with _readable(path):
        # What the file says of the frame that it was is not needed, and may be damaged too.
        frame: pd.DataFrame = table.to_pandas(ignore_metadata=True)
    return frame


def open_predictions(path: Path, coded: Sequence[str] = ()) -> pa.Table:
    """Read a prediction table as Arrow's, as it lies in the file.

    Args:
        path: File of the table.
        coded: Columns of texts that are handed out as numbers of what they may be.

    Raises:
        InputError: If there is none or it is not one.
    """
    if not path.is_file():
        raise InputError(
            f"{path}: expected a table of predictions, found none; run `mmemo evaluate run=DIR`"
        )
    with _readable(path):
        # A file alone, on one thread: a data set of files takes twice as long to open.
        file = pq.ParquetFile(path, read_dictionary=coded, page_checksum_verification=True)
        with file:
            table = file.read(use_threads=False)
    missing = [column for column in COLUMNS if column not in table.column_names]
    if missing or not class_names(table.column_names):
        raise InputError(
            f"{path}: expected the columns {', '.join(COLUMNS)} and probabilities, missing "
            f"{', '.join(missing) or 'the probabilities'}; run `mmemo evaluate run=DIR` again"
        )
    _check_values(path, table)
    return table


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    # What Arrow raises for a damaged file is not told anywhere.
    except Exception as error:
        raise InputError(
            f"{path}: expected a table of predictions, it cannot be read "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}); run "
            "`mmemo evaluate run=DIR` again"
        ) from error


def _check_values(path: Path, table: pa.Table) -> None:
    probabilities = [PROBABILITY_PREFIX + name for name in class_names(table.column_names)]
    wrong = [name for name in TEXTS if not _is_text(table.schema.field(name).type)]
    wrong += [
        name for name in (*IDS, *probabilities) if not _is_number(table.schema.field(name).type)
    ]
    has_unit = UNIT in table.column_names
    if has_unit and (not _is_text(table.schema.field(UNIT).type) or table[UNIT].null_count):
        wrong.append(UNIT)
    if wrong or table["key"].null_count:
        raise InputError(
            f"{path}: expected texts and numbers as `mmemo evaluate` writes them, got other values "
            f"of {', '.join(wrong) or 'key'}; run `mmemo evaluate run=DIR` again"
        )


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
