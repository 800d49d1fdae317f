"""Turn annotated clips into a prepared corpus: once, in parallel, and again after a kill."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout
from tqdm import tqdm

from mmemo.audio import prepared
from mmemo.audio.clip_pool import MISSING_SIZE, open_pool, source_bytes
from mmemo.audio.denoisers import Denoiser
from mmemo.audio.journal import JournalWriter, Record, read_records
from mmemo.audio.prepared import PreparedCorpus
from mmemo.corpora.annotations import Annotations
from mmemo.corpora.utterance import Utterance
from mmemo.errors import InputError
from mmemo.folders import writable_folder

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
    "source_rate",
)


class Preparer:
    """Prepares corpora and keeps them side by side in one folder.

    Args:
        folder: Where prepared corpora are kept.
        sample_rate: Rate of the prepared sound, in Hz.
        num_workers: Processes that decode and denoise, one thread each; None for one for each
            core, 0 to work in this process.
    """

    def __init__(
        self, folder: str | Path, sample_rate: int = 16_000, num_workers: int | None = None
    ) -> None:
        self.folder = Path(folder)
        self.sample_rate = sample_rate
        self.num_workers = len(os.sched_getaffinity(0)) if num_workers is None else num_workers

    def check(self, denoiser: Denoiser | None) -> None:
        """Find what would fail later: an unwritable folder, a denoiser that does not load.

        Raises:
            InputError: For either.
        """
        self.folder = writable_folder(self.folder, "preparer.folder")
        if denoiser is not None:
            denoiser.check()

    def prepare(self, annotations: Annotations, denoiser: Denoiser | None) -> PreparedCorpus:
        """Prepare what is not prepared yet and open the corpus.

        One process works at a time; another that wants the same corpus waits for it.

        Raises:
            InputError: If the folder cannot be written to (a full disk included), a worker
                process was ended from outside, or no utterance yields sound. What is done by
                then is kept.
        """
        self.check(denoiser)
        target = self.folder / corpus_id(annotations, denoiser, self.sample_rate)
        with _exclusive(target):
            records = read_records(target)
            outstanding = [u for u in annotations.utterances if _is_outstanding(u, records)]
            if outstanding or not (target / prepared.MANIFEST_FILE).is_file():
                try:
                    self._work(target, annotations, denoiser, records, outstanding)
                except OSError as error:
                    raise InputError(
                        f"{target}: could not write the prepared corpus ({error}); make room or "
                        "name another folder with preparer.folder=DIR. Finished clips are kept"
                    ) from error
        corpus = PreparedCorpus(target)
        if corpus.kept.empty:
            raise InputError(
                f"{target / prepared.SKIPPED_FILE}: expected at least one clip with sound, all "
                f"{annotations.num_rows} rows were skipped; the file tells why"
            )
        return corpus

    def _work(
        self,
        target: Path,
        annotations: Annotations,
        denoiser: Denoiser | None,
        records: dict[str, Record],
        outstanding: list[Utterance],
    ) -> None:
        target.mkdir(parents=True, exist_ok=True)
        (target / prepared.MANIFEST_FILE).unlink(missing_ok=True)
        meta = {
            "corpus": annotations.corpus,
            "annotations_digest": annotations_digest(annotations),
            "denoiser": denoiser.name if denoiser else None,
            "denoiser_version": denoiser.version if denoiser else None,
            "sample_rate": self.sample_rate,
        }
        (target / prepared.META_FILE).write_text(json.dumps(meta, indent=2), encoding="utf-8")
        total = len(annotations.utterances)
        with (
            JournalWriter(target, records) as journal,
            open_pool(denoiser, self.sample_rate, self.num_workers) as pool,
            tqdm(
                total=total, initial=total - len(outstanding), desc="preparing", unit="clip"
            ) as bar,
        ):
            for record, samples in pool.run(outstanding):
                journal.append(record, samples)
                bar.update()
        _write_manifest(target, annotations, records)


def annotations_digest(annotations: Annotations) -> str:
    """Sixteen hexadecimal digits that change with any annotated row."""
    rows = [asdict(u) | {"media_path": u.media_path.name} for u in annotations.utterances]
    text = json.dumps([rows, [asdict(skip) | {"path": ""} for skip in annotations.skips]])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def corpus_id(annotations: Annotations, denoiser: Denoiser | None, sample_rate: int) -> str:
    """Folder name of a prepared corpus: corpus, content, denoiser with version, rate."""
    sound = f"{denoiser.name}-{denoiser.version}" if denoiser else "undenoised"
    digest = annotations_digest(annotations)[:8]
    return f"{annotations.corpus}-{digest}-{sound}-{sample_rate}"


@contextmanager
def _exclusive(target: Path) -> Iterator[None]:
    lock = FileLock(f"{target}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.warning("another process prepares %s; waiting for it", target.name)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _is_outstanding(utterance: Utterance, records: dict[str, Record]) -> bool:
    record = records.get(utterance.key)
    if record is None:
        return True
    size = source_bytes(utterance.media_path)
    # Raw clips may be removed once they are prepared.
    return size not in (record.source_bytes, MISSING_SIZE)


def _write_manifest(target: Path, annotations: Annotations, records: dict[str, Record]) -> None:
    rows: list[dict[str, Any]] = []
    for utterance in annotations.utterances:
        record = asdict(records[utterance.key])
        row = {"key": utterance.key, **asdict(utterance), **record}
        rows.append(row | {"media_path": str(utterance.media_path)})
    for skip in annotations.skips:
        row = {"key": skip.key, "corpus": annotations.corpus, "split": skip.split}
        row |= {"media_path": skip.path, "status": "skipped"}
        rows.append(row | {"reason": skip.reason, "detail": skip.detail})
    manifest = pd.DataFrame(rows).astype(dict.fromkeys(WHOLE_NUMBERS, "Int64"))
    columns = ["key", "split", "reason", "detail", "media_path"]
    skipped = manifest.loc[manifest["status"] == "skipped", columns]
    skipped.to_csv(target / prepared.SKIPPED_FILE, index=False)
    temporary = target / f"{prepared.MANIFEST_FILE}.tmp"
    manifest.to_parquet(temporary, index=False)
    temporary.replace(target / prepared.MANIFEST_FILE)
