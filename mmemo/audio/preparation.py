"""Turn annotated clips into a prepared corpus: once, in parallel, and again after a kill."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from mmemo.audio import prepared
from mmemo.audio.denoisers import Denoiser
from mmemo.audio.journal import JournalWriter, Shard, done_of, read_records
from mmemo.audio.manifest import read_done, write_manifest
from mmemo.audio.prepared import PreparedCorpus, PreparedMeta
from mmemo.audio.reading import MAX_BAD_SHARE, Reading
from mmemo.cores import num_cores
from mmemo.corpora.annotations import Annotations
from mmemo.corpora.clips import Done, is_done
from mmemo.corpora.utterance import Utterance
from mmemo.documents import write_document
from mmemo.errors import InputError
from mmemo.folders import writable_folder, write_whole
from mmemo.locks import exclusive
from mmemo.progress import progress_bar
from mmemo.values import check_real, check_whole

WHOLE = Shard()
ARCHIVES_SUFFIX = ".archives.json"
BEING_READ = "{}"
"""State of the archives until they were read to their ends."""
MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 1_000, 768_000
FORMAT = 4
"""Raised when what the files hold changes: a corpus of another format is prepared anew."""


@dataclass(frozen=True)
class Progress:
    """How far a prepared corpus is; complete once every utterance and archive was read."""

    folder: Path
    num_finished: int
    num_utterances: int
    complete: bool


class Preparer:
    """Prepares corpora and keeps them side by side in one folder.

    Args:
        folder: Where prepared corpora are kept.
        sample_rate: Rate of the prepared sound, in Hz.
        max_duration_s: Longer sound is cut there; how long it was is recorded.
        num_workers: Processes that decode and denoise, one thread each; None for one for each
            core, 0 to work in this process.
        audio_track: Of several sound tracks the one that is heard: its number from 0, or its
            language as the clip has it ("eng"); None for the one that the clip marks as default.
        max_bad_share: Share of a clip's packets of sound that may be undecodable: they are
            counted and left out. A clip with more of them is skipped.

    Raises:
        InputError: If a number is out of its range.
    """

    def __init__(
        self,
        folder: str | Path,
        sample_rate: int = 16_000,
        max_duration_s: float = 30.0,
        num_workers: int | None = None,
        audio_track: int | str | None = None,
        max_bad_share: float = MAX_BAD_SHARE,
    ) -> None:
        check_real("preparer.max_duration_s", max_duration_s, 0, above=True)
        check_whole("preparer.sample_rate", sample_rate, MIN_SAMPLE_RATE, MAX_SAMPLE_RATE)
        if num_workers is not None:
            check_whole("preparer.num_workers", num_workers, 0)
        self.folder = Path(folder)
        self.sample_rate = sample_rate
        self.max_duration_s = max_duration_s
        self.num_workers = num_cores() if num_workers is None else num_workers
        self.reading = Reading(audio_track, max_bad_share)
        self.reading.check("preparer.")

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

        Raises:
            InputError: As ``prepare_shard``, or if no utterance yields sound.
        """
        return open_prepared(self.prepare_shard(annotations, denoiser, WHOLE).folder)

    def prepare_shard(
        self, annotations: Annotations, denoiser: Denoiser | None, shard: Shard
    ) -> Progress:
        """Prepare a shard's part; whichever shard finds all parts done writes the manifest.

        Shards write files of their own in one folder and are never copied together. One process
        works on a shard at a time; another that wants the same waits for it.

        Raises:
            InputError: If the denoiser does not load, the clips are not where they should be, the
                folder cannot be written to (a full disk included) or a worker process was ended
                from outside. What is done by then is kept.
        """
        self.folder = writable_folder(self.folder, "preparer.folder")
        target = self.folder / self.corpus_id(annotations, denoiser)
        own = [u for i, u in enumerate(annotations.utterances) if shard.takes(i)]
        try:
            with exclusive(f"{target}.{shard.name}", f"preparing {target.name}"):
                has_worked = not _is_current(target, annotations, shard, own, read_done(target))
                if has_worked:
                    self._work(target, annotations, denoiser, shard, own)
                elif not self._has_meta(target, annotations, denoiser):
                    self._write_meta(target, annotations, denoiser)
            return self._finish(target, annotations, has_worked)
        except OSError as error:
            raise InputError(
                f"{target}: could not write the prepared corpus ({error}); make room or name "
                "another folder with preparer.folder=DIR. Finished clips are kept"
            ) from error

    def corpus_id(self, annotations: Annotations, denoiser: Denoiser | None) -> str:
        """Folder name of a prepared corpus: corpus, content, denoiser with version, rate, cut.

        And how clips are read, where that is not the usual way.
        """
        sound = f"{denoiser.name}-{denoiser.version}" if denoiser else "undenoised"
        kind = f"{self.sample_rate}-{self.max_duration_s:g}s{self.reading.mark()}"
        return f"{annotations.corpus}-{content_digest(annotations)}-{sound}-{kind}"

    def _work(
        self,
        target: Path,
        annotations: Annotations,
        denoiser: Denoiser | None,
        shard: Shard,
        own: list[Utterance],
    ) -> None:
        records = read_records(target)
        done = done_of(records.values(), not _is_being_read(target))
        if _is_current(target, annotations, shard, own, done):
            # Only what is made of the journal is missing, or damaged.
            self._write_meta(target, annotations, denoiser)
            return
        self.check(denoiser)
        annotations.clips.check()
        # Imported here: where nothing is to be done, FFmpeg is not needed.
        from mmemo.audio.clip_worker import ClipWorker, open_pool

        target.mkdir(parents=True, exist_ok=True)
        (target / prepared.MANIFEST_FILE).unlink(missing_ok=True)
        self._write_meta(target, annotations, denoiser)
        archives = annotations.clips.state()
        state = target / f"{shard.name}{ARCHIVES_SUFFIX}"
        if archives:
            state.write_text(BEING_READ, encoding="utf-8")
        worker = ClipWorker(denoiser, self.sample_rate, self.max_duration_s, self.reading)
        num_done = sum(u.key in records for u in own)
        with (
            JournalWriter(target, shard, records) as journal,
            open_pool(worker, self.num_workers) as pool,
            progress_bar(len(own), "preparing", num_done) as bar,
        ):
            clips = annotations.clips.clips(own, done)
            for record, samples in pool.run(clips):
                bar.update(record.key not in records)
                journal.append(record, samples)
        if shard == WHOLE:
            for other in target.glob(f"*{ARCHIVES_SUFFIX}"):
                other.unlink()
        if archives:
            write_whole(state, json.dumps(archives))
        else:
            state.unlink(missing_ok=True)

    def _meta(self, annotations: Annotations, denoiser: Denoiser | None) -> PreparedMeta:
        return PreparedMeta.of(annotations, self.sample_rate, self.max_duration_s, denoiser)

    def _write_meta(
        self, target: Path, annotations: Annotations, denoiser: Denoiser | None
    ) -> None:
        write_document(target / prepared.META_FILE, self._meta(annotations, denoiser))

    def _has_meta(self, target: Path, annotations: Annotations, denoiser: Denoiser | None) -> bool:
        """Whether it is there; the corpus' facts may have been corrected since."""
        try:
            return prepared.read_meta(target) == self._meta(annotations, denoiser)
        except InputError:
            return False

    def _finish(self, target: Path, annotations: Annotations, has_worked: bool) -> Progress:
        num_utterances = len(annotations.utterances)
        with exclusive(f"{target}.manifest", f"writing the manifest of {target.name}"):
            # A manifest that another shard wrote meanwhile lacks what this one has done.
            if (target / prepared.MANIFEST_FILE).is_file() and not has_worked:
                return Progress(target, num_utterances, num_utterances, True)
            records = read_records(target)
            num_finished = sum(u.key in records for u in annotations.utterances)
            complete = num_finished == num_utterances and _archives_are_read(
                target, annotations.clips.state()
            )
            if complete:
                write_manifest(target, annotations, records, self.max_duration_s)
        return Progress(target, num_finished, num_utterances, complete)


def content_digest(annotations: Annotations) -> str:
    """Eight hexadecimal digits that change with any annotated row or the files' format."""
    return hashlib.sha256(f"{FORMAT} {annotations.digest()}".encode()).hexdigest()[:8]


def open_prepared(folder: Path) -> PreparedCorpus:
    """Open a complete prepared corpus that has sound.

    Raises:
        InputError: If it is not complete, or no utterance was kept.
    """
    corpus = PreparedCorpus(folder)
    if not (corpus.manifest["status"] == "kept").any():
        raise InputError(
            f"{folder / prepared.SKIPPED_FILE}: expected at least one clip with sound, all "
            f"{len(corpus.manifest)} rows were skipped; the file tells why"
        )
    return corpus


def _is_current(
    target: Path, annotations: Annotations, shard: Shard, own: list[Utterance], done: Done
) -> bool:
    """Whether all utterances are finished and no clip or archive has changed since."""
    if any(u.key not in done for u in own):
        return False
    if not all(is_done(clip, done) for clip in annotations.clips.loose(own)):
        return False
    now = annotations.clips.state()
    return _has_read(target, shard, now) or _archives_are_read(target, now)


def _archives_are_read(target: Path, now: dict[str, list[int]]) -> bool:
    """Whether the whole, or each of a set of shards, has read the archives as they are now.

    An utterance may have two clips in an archive, so that a record alone does not say so.
    """
    # Raw archives may be removed once they are prepared.
    if not now or _has_read(target, WHOLE, now):
        return not _is_being_read(target)
    names = [path.name.removesuffix(ARCHIVES_SUFFIX) for path in target.glob(f"*{ARCHIVES_SUFFIX}")]
    counts = {int(name.rpartition("-")[2]) for name in names if name != WHOLE.name}
    return any(all(_has_read(target, Shard(i, n), now) for i in range(n)) for n in counts)


def _is_being_read(target: Path) -> bool:
    """Whether archives were begun and not read to their ends: they may be damaged."""
    states = target.glob(f"*{ARCHIVES_SUFFIX}")
    return any(path.read_text("utf-8") == BEING_READ for path in states)


def _has_read(target: Path, shard: Shard, now: dict[str, list[int]]) -> bool:
    path = target / f"{shard.name}{ARCHIVES_SUFFIX}"
    try:
        read = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(read, dict) and now.items() <= read.items()
