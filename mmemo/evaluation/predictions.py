"""The prediction table: one row for each utterance, as Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
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


TEXTS = ("key", "split", "split_protocol", "transcript", "target", "pred")
IDS = ("dialogue_id", "utterance_id")


def build_table(
    outputs: Iterable[tuple[Sequence[str], Tensor]],
    rows: pd.DataFrame,
    classes: Sequence[str],
    label_column: str,
    sample_rate: int,
) -> pd.DataFrame:
    """Join predictions with the utterances they are of.

    Args:
        outputs: For each batch its keys and its class probabilities (B, C).
        rows: The utterances that had to be predicted: key, split, corpus_split (where the corpus
            itself has it: a dialogue is named by that and its id), split_protocol, dialogue_id,
            utterance_id, speaker, transcript, the label, num_samples, and ``unit``: what names
            the rows that the split keeps together.
        classes: Names of the C classes, in the order of the probabilities.
        label_column: Column of the label.
        sample_rate: Of ``num_samples``, in Hz.

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
    columns = [*(c for c in COLUMNS if c != "pred"), UNIT]
    utterances = rows.rename(columns={label_column: "target"})[columns]
    num_samples = rows["num_samples"].astype("float64")
    utterances["duration_s"] = num_samples.where(num_samples > 0) / sample_rate
    table = utterances.merge(pd.DataFrame(predicted), on="key")
    return table.astype({"dialogue_id": "int64", "utterance_id": "int64"})


def write_predictions(table: pd.DataFrame, path: Path) -> None:
    """Write a prediction table, with checksums of its pages.

    Raises:
        InputError: If it cannot be written.
    """
    with written_whole(path) as place:
        table.to_parquet(place, index=False, write_page_checksum=True)


def classes_of(table: pd.DataFrame) -> list[str]:
    """Class names in label order, from the probability columns."""
    prefix = PROBABILITY_PREFIX
    return [str(c)[len(prefix) :] for c in table.columns if str(c).startswith(prefix)]


def read_predictions(path: Path) -> pd.DataFrame:
    """Read a prediction table; one of an earlier mmemo has no ``duration_s`` or ``unit``.

    Raises:
        InputError: If there is none or it is not one.
    """
    if not path.is_file():
        raise InputError(
            f"{path}: expected a table of predictions, found none; run `mmemo evaluate run=DIR`"
        )
    try:
        found = pq.read_table(path, page_checksum_verification=True)
        # What the file says of the frame that it was is not needed, and may be damaged too.
        table: pd.DataFrame = found.to_pandas(ignore_metadata=True)
    # What Arrow raises for a damaged file is not told anywhere.
    except Exception as error:
        raise InputError(
            f"{path}: expected a table of predictions, it cannot be read "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}); run "
            "`mmemo evaluate run=DIR` again"
        ) from error
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing or not classes_of(table):
        raise InputError(
            f"{path}: expected the columns {', '.join(COLUMNS)} and probabilities, missing "
            f"{', '.join(missing) or 'the probabilities'}; run `mmemo evaluate run=DIR` again"
        )
    _check_values(path, table)
    return table


def _check_values(path: Path, table: pd.DataFrame) -> None:
    probabilities = [PROBABILITY_PREFIX + name for name in classes_of(table)]
    is_text, is_number = pd.api.types.is_string_dtype, pd.api.types.is_any_real_numeric_dtype
    wrong = [name for name in TEXTS if not is_text(table[name].dropna())]
    wrong += [name for name in (*IDS, *probabilities) if not is_number(table[name])]
    if UNIT in table and not (is_text(table[UNIT]) and table[UNIT].notna().all()):
        wrong.append(UNIT)
    if wrong or table["key"].isna().any():
        raise InputError(
            f"{path}: expected texts and numbers as `mmemo evaluate` writes them, got other values "
            f"of {', '.join(wrong) or 'key'}; run `mmemo evaluate run=DIR` again"
        )
