"""The manifest of a prepared corpus: every annotated row, its state, and where its samples are."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any

import pandas as pd

from mmemo.audio import prepared
from mmemo.audio.journal import Record
from mmemo.corpora.annotations import Annotations, utterance_columns
from mmemo.corpora.clips import Done, Prepared, file_name
from mmemo.errors import InputError
from mmemo.folders import written_whole

log = logging.getLogger(__name__)

WHOLE_NUMBERS = (
    "dialogue_id",
    "utterance_id",
    "season",
    "episode",
    "offset",
    "num_samples",
    "crc32",
    "source_bytes",
    "source_modified_s",
    "source_crc32",
    "source_rate",
    "num_packets",
    "num_bad_packets",
)
REAL_NUMBERS = ("level_before_db", "level_after_db", "clip_start_s", "clip_end_s")


def write_manifest(
    target: Path, annotations: Annotations, records: dict[str, Record], max_duration_s: float
) -> None:
    """Write ``manifest.parquet`` and ``skipped.csv``; the manifest appears when it is complete.

    Args:
        target: The prepared corpus' folder.
        annotations: The rows, in their order.
        records: What became of each utterance.
        max_duration_s: Where longer sound was cut; the column ``cut`` tells of which.
    """
    # By columns: a mapping for each of hundreds of thousands of rows takes a gigabyte.
    finished = [records[utterance.key] for utterance in annotations.utterances]
    columns = utterance_columns(annotations.utterances) | _columns(finished, Record)
    del columns["revision"]
    columns["cut"] = [duration_s > max_duration_s for duration_s in columns["source_duration_s"]]
    skips = [
        {
            **{"key": skip.key, "corpus": annotations.corpus, "split": skip.split},
            **{"media_path": skip.path, "status": "skipped", "cut": False},
            **{"reason": skip.reason, "detail": skip.detail},
        }
        for skip in annotations.skips
    ]
    kinds = dict.fromkeys(WHOLE_NUMBERS, "Int64") | dict.fromkeys(REAL_NUMBERS, "float64")
    manifest = pd.DataFrame(columns).astype(kinds)
    if skips:
        manifest = pd.concat([manifest, pd.DataFrame(skips)], ignore_index=True)
    shown = ["key", "split", "reason", "detail", "media_path"]
    skipped = manifest.loc[manifest["status"] == "skipped", shown]
    with written_whole(target / prepared.SKIPPED_FILE) as place:
        skipped.to_csv(place, index=False)
    with written_whole(target / prepared.MANIFEST_FILE) as place:
        manifest.to_parquet(place, index=False, write_page_checksum=True)


def _columns(rows: Sequence[Any], kind: type[Any]) -> dict[str, list[Any]]:
    """The fields of dataclasses of one kind, each as a column."""
    return {f.name: list(map(attrgetter(f.name), rows)) for f in fields(kind)}


def is_whole(target: Path) -> bool:
    """Whether a corpus is complete, and its table and its meta can be read."""
    return _whole_table(target) is not None


def read_done(target: Path) -> Done:
    """Which clips a complete corpus was prepared from; none where it is not whole."""
    table = _whole_table(target)
    if table is None:
        return {}
    columns = ["key", "source", "source_bytes", "source_modified_s", "source_crc32"]
    rows = table[columns].dropna()
    keys, sources, *rest = (rows[column].to_numpy(dtype=object) for column in columns)
    clips = map(Prepared, map(file_name, sources), *rest)
    return dict(zip(keys, clips, strict=True))


def _whole_table(target: Path) -> pd.DataFrame | None:
    """The table of a complete corpus.

    None where it or the meta is missing or damaged: then they are named and made again, of what
    the journals tell.
    """
    if not (target / prepared.MANIFEST_FILE).is_file():
        return None
    try:
        prepared.read_meta(target)
        return prepared.read_manifest(target)
    except InputError as error:
        log.warning("%s", error)
        return None
