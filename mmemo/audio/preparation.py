"""Turn annotated clips into a prepared corpus: once, in parallel, and again after a kill."""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import os
import threading
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
import pandas as pd
import torch
from filelock import FileLock, Timeout
from tqdm import tqdm

from mmemo.audio import prepared
from mmemo.audio.denoisers import Denoiser
from mmemo.audio.media import MediaError, decode, resample
from mmemo.audio.prepared import PreparedCorpus
from mmemo.corpora.utterance import Annotations, Utterance
from mmemo.errors import InputError
from mmemo.folders import writable_folder

log = logging.getLogger(__name__)

MISSING_SIZE = -1
CLIPS_IN_FLIGHT_PER_WORKER = 8


@dataclass(frozen=True)
class Record:
    """What became of one utterance; a line of the journal.

    ``source_bytes`` is the clip's size when it was read (-1 where it was missing): a clip whose
    size has changed since is prepared again.
    """

    key: str
    status: str
    reason: str
    detail: str
    offset: int
    num_samples: int
    crc32: int
    source_bytes: int
    source_rate: int
    channel_layout: str


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
            records = _read_journal(target)
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
        end = _truncate_to_records(target, records)
        with (
            (target / prepared.AUDIO_FILE).open("ab") as audio,
            (target / prepared.JOURNAL_FILE).open("a", encoding="utf-8") as journal,
            self._pool(denoiser) as pool,
            tqdm(
                total=len(annotations.utterances),
                initial=len(annotations.utterances) - len(outstanding),
                desc="preparing",
                unit="clip",
                smoothing=0.05,
            ) as bar,
        ):
            for record, samples in pool.run(outstanding):
                placed = _append(record, samples, end, audio, journal)
                end += placed.num_samples
                records[placed.key] = placed
                bar.update()
        _write_manifest(target, annotations, records)

    @contextmanager
    def _pool(self, denoiser: Denoiser | None) -> Iterator[_ClipPool]:
        if self.num_workers == 0:
            _set_up_worker(denoiser, self.sample_rate, watch_parent=False)
            yield _ClipPool(None, 1)
            return
        executor = ProcessPoolExecutor(
            self.num_workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_set_up_worker,
            initargs=(denoiser, self.sample_rate, True),
        )
        try:
            yield _ClipPool(executor, self.num_workers * CLIPS_IN_FLIGHT_PER_WORKER)
        finally:
            executor.shutdown(cancel_futures=True)


class _ClipPool:
    """Runs clips through the workers and hands the results back in the clips' own order."""

    def __init__(self, executor: ProcessPoolExecutor | None, window: int) -> None:
        self.executor = executor
        self.window = window

    def run(self, utterances: list[Utterance]) -> Iterator[tuple[Record, bytes]]:
        if self.executor is None:
            for utterance in utterances:
                yield _prepare_clip(utterance.key, utterance.media_path)
            return
        pending: deque[tuple[Utterance, Future[tuple[Record, bytes]]]] = deque()
        for utterance in utterances:
            job = self.executor.submit(_prepare_clip, utterance.key, utterance.media_path)
            pending.append((utterance, job))
            if len(pending) >= self.window:
                yield self._result(*pending.popleft())
        while pending:
            yield self._result(*pending.popleft())

    @staticmethod
    def _result(utterance: Utterance, job: Future[tuple[Record, bytes]]) -> tuple[Record, bytes]:
        try:
            return job.result()
        except BrokenProcessPool as error:
            raise InputError(
                f"{utterance.media_path}: a worker process was ended from outside at or after "
                "this clip (often for lack of memory); run the command again to continue, with "
                "fewer workers if memory is short: preparer.num_workers=1"
            ) from error


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
    size = _source_bytes(utterance.media_path)
    # Raw clips may be removed once they are prepared.
    return size != record.source_bytes and size != MISSING_SIZE


def _source_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return MISSING_SIZE


def _read_journal(target: Path) -> dict[str, Record]:
    """Finished utterances by key; a torn last line and what its samples lack are left out."""
    path = target / prepared.JOURNAL_FILE
    if not path.is_file():
        return {}
    audio = target / prepared.AUDIO_FILE
    written = audio.stat().st_size // 2 if audio.is_file() else 0
    records = {}
    for line in path.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        record = Record(**json.loads(line))
        if record.offset + record.num_samples > written:
            break
        records[record.key] = record
    return records


def _truncate_to_records(target: Path, records: dict[str, Record]) -> int:
    """Cut off what no record owns; returns the number of samples that stay."""
    end = max((record.offset + record.num_samples for record in records.values()), default=0)
    with (target / prepared.AUDIO_FILE).open("ab") as audio:
        audio.truncate(end * 2)
    temporary = target / f"{prepared.JOURNAL_FILE}.tmp"
    temporary.write_text("".join(_journal_line(r) for r in records.values()), encoding="utf-8")
    temporary.replace(target / prepared.JOURNAL_FILE)
    return end


def _journal_line(record: Record) -> str:
    return json.dumps(asdict(record)) + "\n"


def _append(record: Record, samples: bytes, end: int, audio: BinaryIO, journal: TextIO) -> Record:
    placed = Record(**{**asdict(record), "offset": end})
    audio.write(samples)
    audio.flush()
    journal.write(_journal_line(placed))
    journal.flush()
    return placed


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
    manifest = pd.DataFrame(rows)
    whole = ["dialogue_id", "utterance_id", "season", "episode", "offset", "num_samples"]
    whole += ["crc32", "source_bytes", "source_rate"]
    manifest = manifest.astype(dict.fromkeys(whole, "Int64"))
    skipped = manifest.loc[
        manifest["status"] == "skipped", ["key", "split", "reason", "detail", "media_path"]
    ]
    skipped.to_csv(target / prepared.SKIPPED_FILE, index=False)
    temporary = target / f"{prepared.MANIFEST_FILE}.tmp"
    manifest.to_parquet(temporary, index=False)
    temporary.replace(target / prepared.MANIFEST_FILE)


_worker: dict[str, Any] = {}


def _set_up_worker(denoiser: Denoiser | None, sample_rate: int, watch_parent: bool) -> None:
    _worker.update(denoiser=denoiser, sample_rate=sample_rate)
    if watch_parent:
        torch.set_num_threads(1)
        threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    """End this worker when its parent was killed; it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _prepare_clip(key: str, path: Path) -> tuple[Record, bytes]:
    """Decode, denoise, resample and quantise one clip; samples and their record."""
    denoiser: Denoiser | None = _worker["denoiser"]
    size = _source_bytes(path)
    try:
        sound = decode(path)
    except MediaError as error:
        record = Record(key, "skipped", error.reason, error.message, 0, 0, 0, size, 0, "")
        return record, b""
    waveform, rate = sound.waveform, sound.sample_rate
    if denoiser is not None:
        waveform = denoiser(resample(waveform, rate, denoiser.sample_rate))
        rate = denoiser.sample_rate
    samples = prepared.to_int16(resample(waveform, rate, _worker["sample_rate"]))
    data = np.ascontiguousarray(samples, dtype="<i2").tobytes()
    record = Record(
        key,
        "kept",
        "",
        "",
        0,
        len(samples),
        zlib.crc32(data),
        size,
        sound.sample_rate,
        sound.channel_layout,
    )
    return record, data
