"""How a run on Weights & Biases is opened: online where that can work, offline otherwise."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
