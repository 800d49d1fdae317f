"""A prepared corpus of transcripts alone, for models that hear nothing."""

from __future__ import annotations

from pathlib import Path

from mmemo.audio import prepared
from mmemo.audio.journal import Record
from mmemo.audio.manifest import is_whole, write_manifest
from mmemo.audio.preparation import content_digest, open_prepared
from mmemo.audio.prepared import PreparedCorpus, PreparedMeta
from mmemo.corpora.annotations import Annotations
from mmemo.corpora.clips import MISSING
from mmemo.documents import write_document
from mmemo.errors import InputError
from mmemo.locks import exclusive


def prepare_transcripts(
    folder: Path, annotations: Annotations, sample_rate: int, max_duration_s: float
) -> PreparedCorpus:
    """Keep every usable row with no sample of sound; its meta says that it has no sound.

    Args:
        folder: Where prepared corpora are kept.
        annotations: The rows; their clips are not looked for.
        sample_rate: What the rows' zero samples would be at, in Hz.
        max_duration_s: Where sound would have been cut.

    Raises:
        InputError: If the folder cannot be written to.
    """
    target = folder / f"{annotations.corpus}-{content_digest(annotations)}-transcripts"
    meta = PreparedMeta.of(annotations, sample_rate, max_duration_s, has_sound=False)
    try:
        with exclusive(target, f"writing {target.name}"):
            if not is_whole(target):
                target.mkdir(exist_ok=True)
                write_document(target / prepared.META_FILE, meta)
                records = {u.key: _silent_record(u.key) for u in annotations.utterances}
                write_manifest(target, annotations, records, max_duration_s)
    except OSError as error:
        raise InputError(
            f"{target}: could not write the prepared corpus ({error}); make room or name another "
            "folder with preparer.folder=DIR"
        ) from error
    return open_prepared(target)


def _silent_record(key: str) -> Record:
    return Record(
        key=key,
        status="kept",
        reason="",
        detail="",
        audio_file="",
        offset=0,
        num_samples=0,
        crc32=0,
        source="",
        source_bytes=MISSING,
        source_modified_s=0,
        source_rate=0,
        source_duration_s=0.0,
        channel_layout="",
    )
