"""Curves on Weights & Biases, which never cost a run; online where that can work."""

from __future__ import annotations

import os
import secrets
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers.logger import Logger

if TYPE_CHECKING:
    from wandb import Run

MAX_LABEL_LENGTH = 128
"""Of a name, group or job type; W&B names a project with no more."""


@dataclass(frozen=True)
class WandbIdentity:
    """What makes a run on W&B the same one after an interruption."""

    id: str
    project: str
    entity: str | None


@dataclass(frozen=True)
class WandbLabels:
    """What a run on W&B is found by.

    Args:
        name: Its name in lists.
        group: The sweep; None for a run of its own.
        job_type: What the runs share that differ in the seed alone.
        tags: Words to filter by.
    """

    name: str
    group: str | None
    job_type: str
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Opened:
    """A run on W&B.

    Args:
        run: What to log to; None where W&B is disabled.
        problem: Why it is offline although the user is logged in; None for no such reason.
    """

    run: Run | None
    problem: str | None = None


class TolerantWandbLogger(Logger):
    """Logs to a run on W&B from when it is opened until it is closed.

    Lightning's own opens the run when it is first used, waits for an answer, and lets the
    training fail where W&B does. Here any failure of W&B ends what is logged, with one warning,
    and nothing else. Only the first of several processes opens the run.

    Args:
        save_dir: The run folder, in which W&B gets its folder.
        project: On W&B.
        entity: User or team on W&B; None for the user's default.
        num_examples: Validation utterances in the table of predictions; 0 for no table.
        log_checkpoint: Upload the chosen checkpoint, and what has to be read with it.
        connect_timeout_s: Longest wait for the server to answer, and then to open the run,
            before it is offline.
        finish_timeout_s: Longest wait for the last uploads.
    """

    def __init__(
        self,
        save_dir: str | Path,
        project: str,
        entity: str | None,
        num_examples: int,
        log_checkpoint: bool,
        connect_timeout_s: float,
        finish_timeout_s: float,
    ) -> None:
        super().__init__()
        self.folder = Path(save_dir)
        self.project = project
        self.entity = entity
        self.num_examples = num_examples
        self.log_checkpoint = log_checkpoint
        self.connect_timeout_s = connect_timeout_s
        self.finish_timeout_s = finish_timeout_s
        self.run: Run | None = None
        self._data_dir: str | None = None

    @property
    def name(self) -> str:
        """The project."""
        return self.project

    @property
    def version(self) -> str | None:
        """The run's id while it is open."""
        return self.run.id if self.run else None

    @property
    def save_dir(self) -> str:
        """The run folder."""
        return str(self.folder)

    def new_identity(self) -> WandbIdentity:
        """Identity of a run that begins; an agent of a W&B sweep has chosen the id."""
        is_agents = "WANDB_SWEEP_ID" in os.environ
        chosen = os.environ.get("WANDB_RUN_ID") if is_agents else None
        return WandbIdentity(chosen or secrets.token_hex(4), self.project, self.entity)

    def begin(
        self,
        identity: WandbIdentity,
        labels: WandbLabels,
        config: Mapping[str, Any],
        history: Sequence[Mapping[str, float]],
    ) -> None:
        """Open the run, or continue it.

        Args:
            identity: Of the run.
            labels: Of the run.
            config: Settings of the run.
            history: The epochs before an interruption, each with ``step``, the optimizer's steps
                until its end. Those that W&B lacks are logged: an offline run begins a new file.
        """
        # Tables wait for their upload there, the sound in them too.
        self._data_dir = os.environ.get("WANDB_DATA_DIR")
        os.environ["WANDB_DATA_DIR"] = str(self.folder / "wandb" / "data")
        with self.tolerated():
            opened = open_run(
                self.folder,
                identity,
                labels,
                config,
                self.connect_timeout_s,
                self.finish_timeout_s,
            )
            self.run = opened.run
            if opened.problem:
                print(f"W&B: offline, {opened.problem}", file=sys.stderr)
            if opened.run is None:
                return
            opened.run.define_metric("epoch", hidden=True)
            for split in ("train", "val"):
                opened.run.define_metric(f"{split}/*", step_metric="epoch")
            for row in history:
                # Lightning counts from 0 the steps that it logs.
                step = int(row["step"]) - 1
                if step >= opened.run.starting_step:
                    values = {key: value for key, value in row.items() if key != "step"}
                    opened.run.log(values, step=step)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Nothing: the config is given when the run is opened."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log values at a step; those at a step before the last one are W&B's already."""
        if self.run is not None:
            with self.tolerated():
                self.run.log(dict(metrics), step=step)

    @property
    def url(self) -> str | None:
        """Page of the open run; None where it is offline."""
        return self.run.url if self.run else None

    @property
    def files(self) -> str | None:
        """Folder of the open run in the run folder, which can be uploaded later."""
        if self.run is None:
            return None
        return str(Path(self.run.settings.sync_dir).relative_to(self.folder))

    @contextmanager
    def tolerated(self) -> Iterator[None]:
        """What is done inside may fail: that is printed once, and no more is logged."""
        try:
            yield
        except Exception as error:
            print(
                f"W&B: nothing more is logged ({first_line(error)}); the run goes on",
                file=sys.stderr,
            )
            self._give_up()

    def _give_up(self) -> None:
        self.run = None
        import wandb

        with suppress(Exception):
            wandb.teardown()

    def end(self, exit_code: int) -> bool:
        """Close the run; whether all of it is on the server.

        Args:
            exit_code: 0 where the run is complete.
        """
        run, self.run = self.run, None
        is_uploaded = False
        if run is not None:
            with self.tolerated(), suppress(TimeoutError):
                run.finish(exit_code=exit_code)
                is_uploaded = not run.offline
        os.environ.pop("WANDB_DATA_DIR", None)
        if self._data_dir is not None:
            os.environ["WANDB_DATA_DIR"] = self._data_dir
        return is_uploaded


def open_run(
    folder: Path,
    identity: WandbIdentity,
    labels: WandbLabels,
    config: Mapping[str, Any],
    connect_timeout_s: float,
    finish_timeout_s: float,
) -> Opened:
    """Open a run, or continue it, without a question to the user.

    It is online where the user is logged in (key in the environment or netrc) and the server
    answers in time. ``WANDB_MODE``, and what ``wandb offline`` and ``wandb disabled`` have set, is
    respected.

    Args:
        folder: W&B makes its folder ``wandb`` in it.
        identity: Of the run.
        labels: Of the run.
        config: Settings of the run.
        connect_timeout_s: Longest wait for the server to answer, and then to open the run.
        finish_timeout_s: Longest wait, when the run is closed, for the rest to be uploaded.
    """
    import wandb

    settings = wandb.setup(wandb.Settings(silent=True)).settings
    if settings.mode == "disabled":
        return Opened(None)
    is_online, problem = False, None
    if settings.mode not in ("offline", "dryrun"):
        is_online, problem = _can_be_online(settings.base_url, connect_timeout_s)
    options: dict[str, Any] = {
        "dir": str(folder),
        "id": identity.id,
        "project": identity.project,
        "entity": identity.entity,
        "name": labels.name[-MAX_LABEL_LENGTH:],
        "group": labels.group and labels.group[-MAX_LABEL_LENGTH:],
        "job_type": labels.job_type[:MAX_LABEL_LENGTH],
        "tags": labels.tags,
        "config": dict(config),
        "resume": "allow",
        # A run that could not be closed must not be taken for the next one.
        "reinit": "create_new",
        "settings": wandb.Settings(
            silent=True,
            console="off",
            save_code=False,
            # It would name the repository of the working directory; run.json has the commit.
            disable_git=True,
            init_timeout=connect_timeout_s,
            finish_timeout=finish_timeout_s,
            finish_timeout_raises=True,
        ),
    }
    if is_online:
        try:
            return Opened(wandb.init(mode="online", **options))
        except Exception as error:
            problem = f"{settings.base_url} opened no run ({first_line(error)})"
            # W&B's own process holds the id of the run that was not opened.
            with suppress(Exception):
                wandb.teardown()
            wandb.setup(wandb.Settings(silent=True))
    return Opened(wandb.init(mode="offline", **options), problem)


def _can_be_online(base_url: str, timeout_s: float) -> tuple[bool, str | None]:
    """Whether a run can be online, and why not if the user is logged in."""
    import wandb

    try:
        is_logged_in = wandb.login(prompt=False, verify=False)
    except Exception as error:
        return False, f"the key cannot be used ({first_line(error)})"
    if not is_logged_in:
        return False, None
    if not _answers(base_url, timeout_s):
        return False, f"no answer from {base_url}"
    return True, None


def _answers(url: str, timeout_s: float) -> bool:
    """Whether a server says anything at all.

    Asked in a thread: looking up a name knows no time limit.
    """
    answered = threading.Event()

    def ask() -> None:
        with suppress(OSError, ValueError):
            try:
                urllib.request.urlopen(url, timeout=timeout_s).close()
            except urllib.error.HTTPError as error:
                error.close()
            answered.set()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(timeout_s)
    return answered.is_set()


def first_line(error: Exception) -> str:
    """The first line of what an error says."""
    return (str(error).splitlines() or [type(error).__name__])[0]
