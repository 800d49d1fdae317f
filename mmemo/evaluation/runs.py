"""The run folder: the unit of results, and the names of what lies in it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from filelock import FileLock, Timeout

from mmemo import __version__
from mmemo.errors import InputError
from mmemo.evaluation.source_state import source_state

LOCK_PATIENCE_S = 1.0
"""Longer than another process needs to look whether the folder is held."""


class RunTakenError(InputError):
    """The folder is that of another run, or another process works in it."""


@dataclass(frozen=True)
class RunFolder:
    """Paths inside one run folder.

    ``config.yaml`` is the resolved config, to be read; ``composed.yaml`` the same with its
    interpolations, which a run is built again from. ``run.json`` tells what happened,
    ``data.json`` what it was trained on.

    Args:
        path: The folder.
        missing: "audio" or "text" for the results, in a folder inside, of the run's model with
            that modality withheld; None for the run's own.
    """

    INFO_NAME: ClassVar[str] = "run.json"

    path: Path
    missing: str | None = None

    @property
    def results(self) -> Path:
        """Folder of predictions, metrics, figures and report."""
        return self.path / f"missing_{self.missing}" if self.missing else self.path

    @property
    def info_file(self) -> Path:
        """What happened: status, times, versions, the chosen checkpoint."""
        return self.path / self.INFO_NAME

    @property
    def config_file(self) -> Path:
        """The resolved config."""
        return self.path / "config.yaml"

    @property
    def lock_file(self) -> Path:
        """Locked while a process works in the folder."""
        return self.path / ".lock"

    @property
    def composed_config_file(self) -> Path:
        """The config as it was composed, interpolations included."""
        return self.path / "composed.yaml"

    @property
    def data_file(self) -> Path:
        """Counts of what was read, kept, skipped and left out."""
        return self.path / "data.json"

    @property
    def history_file(self) -> Path:
        """Metrics of each epoch."""
        return self.path / "history.csv"

    @property
    def last_checkpoint(self) -> Path:
        """State that training can be continued from."""
        return self.path / "checkpoints" / "last.ckpt"

    @property
    def predictions_file(self) -> Path:
        """The prediction table."""
        return self.results / "predictions.parquet"

    @property
    def metrics_file(self) -> Path:
        """Metrics and their protocol."""
        return self.results / "metrics.json"

    @property
    def table_file(self) -> Path:
        """The same metrics as a table."""
        return self.results / "metrics_table.csv"

    @property
    def confusion_file(self) -> Path:
        """Confusion matrix of the test split."""
        return self.results / "confusion_matrix.png"

    @property
    def curves_file(self) -> Path:
        """Loss and accuracy by epoch."""
        return self.results / "curves.png"

    @property
    def reliability_file(self) -> Path:
        """Accuracy by confidence of the test split."""
        return self.results / "reliability.png"

    @property
    def report_file(self) -> Path:
        """The page for people."""
        return self.results / "report.html"

    def assets(self, encoder: str) -> Path:
        """Folder with what an encoder needs beside its weights."""
        return self.path / encoder

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """A new run in a folder that Hydra has made; of two processes, one gets it.

        Raises:
            RunTakenError: If another run is in it.
        """
        run = cls(path.absolute())
        try:
            with run.info_file.open("x", encoding="utf-8") as file:
                file.write("{}")
        except FileExistsError as error:
            raise RunTakenError(
                f"{run.path}: expected a folder without a run, it already holds one; continue "
                f"that one with {run.command('train', 'resume')} or name another folder with "
                "hydra.run.dir=DIR"
            ) from error
        run.write_info(
            status="running",
            started=_now(),
            mmemo_version=__version__,
            **source_state(),
        )
        return run

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

    def read_info(self) -> dict[str, Any]:
        """Contents of ``run.json``."""
        info: dict[str, Any] = json.loads(self.info_file.read_text(encoding="utf-8"))
        return info

    def write_info(self, **changes: Any) -> None:  # noqa: ANN401
        """Add to ``run.json`` or replace what it says."""
        info = self.read_info() if self.info_file.exists() else {}
        temporary = self.info_file.with_suffix(".tmp")
        temporary.write_text(json.dumps(info | changes, indent=2), encoding="utf-8")
        temporary.replace(self.info_file)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Hold the folder while a process trains in it; note how that ended.

        Raises:
            RunTakenError: If another process holds it.
        """
        lock = self._locked()
        self.write_info(
            status="running", error=None, process={"host": socket.gethostname(), "pid": os.getpid()}
        )
        try:
            yield
        except BaseException as error:
            is_interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
            status = "interrupted" if is_interrupted else "failed"
            # A full disk is told about by the error itself.
            with suppress(OSError):
                self._end(status, f"{type(error).__name__}: {error}")
            raise
        else:
            if self.read_info()["status"] == "running":
                self._end("finished", None)
        finally:
            lock.release()

    def _locked(self) -> FileLock:
        lock = FileLock(self.lock_file)
        try:
            lock.acquire(timeout=LOCK_PATIENCE_S)
        except Timeout as error:
            raise RunTakenError(
                f"{self.path}: expected a run that nothing works on, another process trains in "
                "it; wait for that one to end"
            ) from error
        return lock

    def is_held(self) -> bool:
        """Whether a process works in the folder at the moment."""
        try:
            with FileLock(self.lock_file, timeout=0):
                return False
        except Timeout:
            return True

    def clear(self, keep: Collection[str]) -> None:
        """Remove what a run has written, so that it can be begun anew.

        Args:
            keep: Names of files and folders that stay.

        Raises:
            RunTakenError: If another process holds the folder.
        """
        with self._locked():
            for path in self.path.iterdir():
                if path.name in keep or path == self.lock_file:
                    continue
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()

    def fail(self, problem: str) -> None:
        """Note that the run has failed."""
        self._end("failed", problem)

    def prune(self, reason: str) -> None:
        """Note that the run was given up on purpose."""
        self._end("pruned", reason)

    def _end(self, status: str, problem: str | None) -> None:
        self.write_info(status=status, ended=_now(), error=problem)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
