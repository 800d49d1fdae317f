"""Several prepared corpora as one: a manifest over their sound, which stays where it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from mmemo.audio import prepared
from mmemo.audio.denoisers import Denoiser
from mmemo.audio.journal import Record, Shard
from mmemo.audio.manifest import write_manifest
from mmemo.audio.preparation import WHOLE, Preparer, Progress, open_prepared
from mmemo.audio.prepared import PreparedCorpus, PreparedMeta
from mmemo.corpora.joint import JointAnnotations, of_part
from mmemo.corpora.utterance import joint_name
from mmemo.documents import write_document
from mmemo.errors import InputError
from mmemo.folders import writable_folder
from mmemo.locks import exclusive


def prepare_joint(
    preparer: Preparer,
    annotations: JointAnnotations,
    denoiser: Denoiser | None,
    shard: Shard = WHOLE,
) -> Progress:
    """Prepare each corpus as if it were alone, and join what is complete.

    Nothing is decoded again that was prepared with the same settings, by itself or beside other
    corpora.

    Args:
        preparer: Keeps them side by side.
        annotations: Of all corpora.
        denoiser: Applied to all of their sound; None for none.
        shard: Which part of each corpus' clips is prepared.

    Raises:
        InputError: As ``Preparer.prepare_shard`` for any of them.
    """
    progress = {
        name: of_part(name, lambda part=part: preparer.prepare_shard(part, denoiser, shard))  # type: ignore[misc]
        for name, part in annotations.parts.items()
    }
    target = writable_folder(preparer.folder, "preparer.folder") / preparer.corpus_id(
        annotations, denoiser
    )
    complete = all(part.complete for part in progress.values())
    if complete:
        parts = {name: open_prepared(part.folder) for name, part in progress.items()}
        meta = PreparedMeta.of(annotations, preparer.sample_rate, preparer.max_duration_s, denoiser)
        _join(target, annotations, parts, meta)
    return Progress(
        target,
        sum(part.num_finished for part in progress.values()),
        sum(part.num_utterances for part in progress.values()),
        complete,
    )


def _join(
    target: Path,
    annotations: JointAnnotations,
    parts: Mapping[str, PreparedCorpus],
    meta: PreparedMeta,
) -> None:
    """Write the manifest anew: a clip of a corpus may have changed since."""
    records: dict[str, Record] = {}
    for name, part in parts.items():
        records |= _records(name, part)
    try:
        with exclusive(target, f"joining {target.name}"):
            target.mkdir(exist_ok=True)
            write_document(target / prepared.META_FILE, meta)
            write_manifest(target, annotations, records, meta.max_duration_s)
    except OSError as error:
        raise InputError(
            f"{target}: could not write the prepared corpus ({error}); make room or name another "
            "folder with preparer.folder=DIR"
        ) from error


def _records(name: str, part: PreparedCorpus) -> dict[str, Record]:
    """What became of a corpus' utterances, by the keys that they have among the others'."""
    manifest = part.manifest[part.manifest["audio_file"].notna()]
    names = [field.name for field in fields(Record) if field.name in manifest]
    columns: dict[str, list[Any]] = {
        column: manifest[column].astype(object).where(manifest[column].notna(), None).tolist()
        for column in names
    }
    columns["key"] = [joint_name(name, key) for key in columns["key"]]
    folder = f"../{part.folder.name}"
    columns["audio_file"] = [f"{folder}/{file}" if file else "" for file in columns["audio_file"]]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return {row["key"]: Record(**row) for row in rows}
