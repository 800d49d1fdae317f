"""The run folder: the unit of results."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import socket
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from mmemo.documents import damaged, read_document, read_text, write_document
from mmemo.errors import InputError
from mmemo.evaluation.run_metrics import RunMetrics
from mmemo.runs.run_files import DataCard, ProcessInfo, RunInfo
from mmemo.runs.run_paths import RunPaths
from mmemo.version import __version__, source_state

if TYPE_CHECKING:
    from mmemo.evaluation.shift import TrainingEmbeddings

ENDED = ("finished", "pruned")
RESTORE = "restore it from a copy, or train again"

FIRST_VERSION = 1
"""Of run.json, data.json and metrics.json that hold no version."""

LOCK_PATIENCE_S = 1.0
"""Longer than another process needs to look whether the folder is held."""


class RunTakenError(InputError):
    """The folder is that of another run, or another process works in it."""


class RunFolder(RunPaths):
    """One run folder: what happened in it is noted, and files are checked where they are read.

    Its arguments are those of ``RunPaths``.
    """

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """A new run in a folder that Hydra has made; of two processes, one gets it.

        Raises:
            RunTakenError: If another run is in it, or another process holds it.
        """
        run = cls(path.absolute())
        with run._held():
            run._begin()
        return run

    @classmethod
    @contextmanager
    def begin(cls, path: Path) -> Iterator[RunFolder]:
        """A new run that is held from the moment when it is there; see ``working``.

        Raises:
            RunTakenError: As ``create`` does.
        """
        run = cls(path.absolute())
        with run._held():
            run._begin()
            with run._noting_the_end():
                yield run

    def _begin(self) -> None:
        if self.info_file.exists():
            raise RunTakenError(
                f"{self.path}: expected a folder without a run, it already holds one; continue "
                f"that one with {self.command('train', 'resume')} or name another folder with "
                "hydra.run.dir=DIR"
            )
        commit, is_dirty = source_state()
        state = RunInfo(
            "running",
            started=_now(),
            mmemo_version=__version__,
            git_commit=commit,
            git_dirty=is_dirty,
        )
        write_document(self.info_file, state)

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """An existing run.

        Raises:
            InputError: If the folder holds none.
        """
        run = cls(Path(path).expanduser().absolute())
        for needed in (run.info_file, run.composed_config_file):
            if not needed.is_file():
                found = "that file is missing" if run.path.is_dir() else "there is no such folder"
                raise InputError(
                    f"{run.path}: expected a run folder with {needed.relative_to(run.path)}, "
                    f"{found}; name a folder that `mmemo train` printed"
                )
        return run

    def command(self, name: str, option: str) -> str:
        """A command on this run, ready for a shell: ``mmemo train resume=…``."""
        return f"mmemo {name} {shlex.quote(f'{option}={self.path}')}"

    def read_info(self) -> RunInfo:
        """Contents of ``run.json``.

        Raises:
            OtherVersionError: If it is of another mmemo.
            InputError: If it is missing or damaged.
        """
        remedy = f"restore it from a copy, or remove {self.path} and train again"
        return read_document(
            self.info_file, RunInfo, "what happened to the run", remedy, FIRST_VERSION
        )

    def read_data_card(self) -> DataCard:
        """Contents of ``data.json``.

        Raises:
            InputError: If it is missing or damaged.
        """
        return self._read_data_card(self.data_file, "what the run was trained on", RESTORE)

    def read_evaluated_data_card(self) -> DataCard:
        """The same of the corpus that the results are of.

        Raises:
            InputError: If it is missing or damaged.
        """
        if self.other is None:
            return self.read_data_card()
        remedy = f"write it again with {self.command('evaluate', 'run')} and that corpus"
        return self._read_data_card(
            self.evaluated_data_file, "what the run was evaluated on", remedy
        )

    def _read_data_card(self, path: Path, what: str, remedy: str) -> DataCard:
        self.check_digest(path)
        return read_document(path, DataCard, what, remedy, FIRST_VERSION)

    def read_metrics(self) -> RunMetrics:
        """Contents of ``metrics.json``.

        Raises:
            InputError: If it is missing or damaged.
        """
        remedy = f"write it again with {self.command('evaluate', 'run')}"
        what = "metrics and their protocol"
        return read_document(self.metrics_file, RunMetrics, what, remedy, FIRST_VERSION)

    def read_training_embeddings(self) -> TrainingEmbeddings | None:
        """What tells how far an input lies from training; None where the run has not kept it.

        Raises:
            InputError: If it is damaged.
        """
        if not self.embeddings_file.is_file():
            return None
        self.check_digest(self.embeddings_file)
        # Who reads a run's documents alone needs no statistics.
        from mmemo.evaluation.shift import TrainingEmbeddings

        return TrainingEmbeddings.read(self.embeddings_file)

    def read_config_text(self) -> str:
        """Contents of ``config.yaml``, to be shown.

        Raises:
            InputError: If it is missing or is no text.
        """
        return read_text(self.config_file, "the resolved config of the run", RESTORE)

    def state_ns(self) -> int | None:
        """When the state that the run can be continued from was written; None without one.

        That is the last checkpoint, or the chosen one of a run that is still to be evaluated.
        """
        with suppress(OSError, ValueError):
            return self.last_checkpoint.stat().st_mtime_ns
        with suppress(OSError, ValueError):
            checkpoint = self.read_info().checkpoint
            return (self.path / checkpoint).stat().st_mtime_ns if checkpoint else None
        return None

    def write_info(self, **changes: Any) -> None:  # noqa: ANN401
        """Add to ``run.json`` or replace what it says.

        Args:
            changes: Fields of ``RunInfo``.
        """
        write_document(self.info_file, replace(self.read_info(), **changes))

    @contextmanager
    def sealed(self, *paths: Path) -> Iterator[None]:
        """Write files that are read again later, and note their digests in ``run.json``.

        Meanwhile there is none: a kill leaves files that cannot be checked, but none that seem
        damaged. A folder stands for the files in it, and may not be there: not every encoder saves
        something.
        """
        names = [self._name(path) for path in paths]
        kept = {
            name: digest
            for name, digest in self.read_info().digests.items()
            if not any(name == other or name.startswith(f"{other}/") for other in names)
        }
        self.write_info(digests=kept)
        yield
        digests = {self._name(file): file_digest(file) for file in _files(paths)}
        self.write_info(digests={**kept, **digests})

    def check_digest(self, path: Path, what: str = "what the run has written") -> None:
        """Check a file, or all of a folder, against the digest that was noted when it was written.

        Args:
            path: The file or folder.
            what: What it is, for the message.

        Raises:
            InputError: If it is another file by now, or is not there.
        """
        name = self._name(path)
        for other, digest in self.read_info().digests.items():
            if other != name and not other.startswith(f"{name}/"):
                continue
            file = self.path / other
            try:
                found = file_digest(file)
            except OSError as error:
                problem = f"it cannot be read ({error.strerror or error})"
                raise damaged(file, what, problem, RESTORE) from error
            if found != digest:
                problem = "it was changed or damaged since (its SHA-256 is another)"
                raise damaged(file, what, problem, RESTORE)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Hold the folder while a process trains in it; note how that ended.

        Raises:
            RunTakenError: If another process holds it.
        """
        with self._held(), self._noting_the_end():
            yield

    @contextmanager
    def _noting_the_end(self) -> Iterator[None]:
        self.write_info(
            status="running", error=None, process=ProcessInfo(socket.gethostname(), os.getpid())
        )
        try:
            yield
        except BaseException as error:
            is_interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
            status = "interrupted" if is_interrupted else "failed"
            # A full disk, or a damaged file, is told about by the error itself.
            with suppress(OSError, InputError):
                self._end(status, f"{type(error).__name__}: {error}")
            raise
        else:
            if self.read_info().status == "running":
                self._end("finished", None)

    @contextmanager
    def _held(self) -> Iterator[None]:
        lock = FileLock(self.lock_file)
        try:
            lock.acquire(timeout=LOCK_PATIENCE_S)
        except Timeout as error:
            raise RunTakenError(
                f"{self.path}: expected a run that nothing works on, another process trains in "
                "it; wait for that one to end"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def is_held(self) -> bool:
        """Whether a process works in the folder at the moment."""
        try:
            with FileLock(self.lock_file, timeout=0):
                return False
        except Timeout:
            return True

    def clear(self, keep: Collection[str], unless: Collection[str] = ()) -> None:
        """Remove what a run has written, so that it can be begun anew.

        Args:
            keep: Names of files and folders that stay.
            unless: With such a status all of it stays: another process may have ended it meanwhile.

        Raises:
            RunTakenError: If another process holds the folder, or the run has such a status.
        """
        with self._held():
            if self._status() in unless:
                raise RunTakenError(
                    f"{self.path}: expected a run that has not ended, another process has ended "
                    "it meanwhile; nothing was removed"
                )
            for path in self.path.iterdir():
                if path.name in keep or path == self.lock_file:
                    continue
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()

    def _status(self) -> str | None:
        with suppress(InputError):
            return self.read_info().status
        return None

    def fail(self, problem: str) -> None:
        """Note that the run has failed."""
        self._end("failed", problem)

    def prune(self, reason: str) -> None:
        """Note that the run was given up on purpose."""
        self._end("pruned", reason)

    def _end(self, status: str, problem: str | None) -> None:
        self.write_info(status=status, ended=_now(), error=problem)


def chosen_checkpoint(folder: RunFolder) -> Path:
    """The checkpoint that a run's results are of.

    Raises:
        InputError: If its training has not ended.
    """
    name = folder.read_info().checkpoint
    if name is not None and not (folder.path / name).resolve().is_relative_to(
        folder.path.resolve()
    ):
        raise damaged(
            folder.info_file, "the checkpoint of this run", f"{name} is outside of it", RESTORE
        )
    if name is None:
        raise InputError(
            f"{folder.path}: expected a trained run, its training has not ended; continue it with "
            f"{folder.command('train', 'resume')}"
        )
    return folder.path / name


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    state = path.stat()
    return _digest_of(path, state.st_size, state.st_mtime_ns)


@cache
def _digest_of(path: Path, size: int, modified_ns: int) -> str:
    """Once for each state of a file: a checkpoint of several GB is asked for more than once."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*") if file.is_file())
        elif path.exists():
            yield path
