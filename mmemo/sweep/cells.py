"""The cells of a sweep: their folders' names, and what their folders tell of them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from mmemo.documents import OtherVersionError
from mmemo.errors import InputError
from mmemo.runs.run_folder import RunFolder

NOT_IN_DIGEST = (
    # What the run is called and where things are kept.
    "name",
    "label",
    "run_mark",
    "output_dir",
    "cache_dir",
    "run_dir",
    "resume",
    "trust",
    "corpus.folder",
    "preparer.folder",
    "feature_cache",
    "trainer.default_root_dir",
    # How it is watched.
    "logger",
    "trainer.logger",
    "trainer.log_every_n_steps",
    "trainer.enable_progress_bar",
    "trainer.enable_model_summary",
    "callbacks.interruption",
    "callbacks.epoch_lines",
    "callbacks.step_curves",
    # How fast data arrives.
    "preparer.num_workers",
    "corpus.num_workers",
    "data.num_workers",
    "data.pin_memory",
    # The callbacks once more, as a list.
    "trainer.callbacks",
)
"""Settings that do not change a run's result: two cells that differ in them alone are one."""

MAX_NAME_LENGTH = 150
MAX_LABEL_LENGTH = 40
DIGEST_LENGTH = 8

LOG_FILE = "train.log"
"""What a cell printed."""


class CellState(Enum):
    """What has become of a cell."""

    WAITING = "waiting"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    PRUNED = "pruned"
    DAMAGED = "damaged"
    FINISHED = "finished"


DONE = (CellState.FINISHED, CellState.PRUNED)


@dataclass(frozen=True)
class Cell:
    """One run of a sweep.

    Args:
        folder: Its run folder.
        max_epochs: Epochs of its training at most; None where the config has no such number.
        monitor: The validation score that chooses its checkpoint.
        is_maximised: Whether a higher score is better.
    """

    folder: RunFolder
    max_epochs: int | None
    monitor: str
    is_maximised: bool

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.path.name

    @property
    def log_file(self) -> Path:
        """What the cell printed."""
        return self.folder.path / LOG_FILE


def config_digest(settings: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits of a resolved config, without what does not change the result.

    Args:
        settings: The config as plain dicts, lists and values; the order of keys does not count.
    """
    kept = json.loads(json.dumps(settings, default=str))
    for key in NOT_IN_DIGEST:
        *parents, last = key.split(".")
        node = kept
        for parent in parents:
            node = node.get(parent) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node.pop(last, None)
    text = json.dumps(kept, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]


def cell_name(varied: Mapping[str, str], seed: int, digest: str, mark: str = "") -> str:
    """A folder's name: what varies, the seed, the digest, and the mark of a leaky split.

    It has letters, digits, ``.``, ``_`` and ``-`` alone, at most 150 characters, and differs from
    that of every other config by the digest, on file systems that ignore case too.

    Args:
        varied: Value by key of what the sweep varies, as given to Hydra.
        seed: The run's seed.
        digest: Of its config.
        mark: What the name has to end with.
    """
    keys = [key for key in varied if key != "seed"]
    lasts = [key.rpartition(".")[2] for key in keys]
    labels = [
        _safe(f"{last if lasts.count(last) == 1 else key}_{varied[key]}")[:MAX_LABEL_LENGTH]
        for key, last in zip(keys, lasts, strict=True)
    ]
    end = f"seed{seed}-{digest}{mark}"
    start = "-".join(labels)[: MAX_NAME_LENGTH - len(end) - 1]
    return f"{start}-{end}" if start else end


def _safe(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "_", label).strip("_.")


def sweep_name(overrides: Iterable[str]) -> str:
    """A sweep's name: that of the chosen ``+sweep=…``, or ``sweep`` for one made by hand.

    Args:
        overrides: What was typed after the command: ``+sweep=[bottleneck,seeds]`` makes
            ``sweep-bottleneck-seeds``.
    """
    chosen = [o.partition("=")[2] for o in overrides if o.lstrip("+").startswith("sweep=")]
    return "-".join(["sweep", *(n for o in chosen for n in re.findall(r"[\w.]+", o))])


def named_folder(sweep: Path, digest: str, name: str) -> Path:
    """The folder in a sweep's that has the digest, whatever it says of what varies.

    A cell is recognised where the axes of the sweep have changed since it was run.

    Args:
        sweep: The sweep's folder.
        digest: Of the cell's config.
        name: The name of a new one.
    """
    held = sorted(path.parent for path in sweep.glob(f"*{digest}*/{RunFolder.INFO_NAME}"))
    same = [path for path in held if re.search(rf"(^|-){digest}(-[A-Z]+)?$", path.name)]
    return sweep / name if not same or sweep / name in same else same[0]


def cell_state(run: RunFolder) -> CellState:
    """What the folder tells: a run whose process was killed counts as interrupted.

    One whose ``run.json`` cannot be read is damaged, and is to be begun anew.

    Raises:
        OtherVersionError: If another mmemo has written it.
    """
    if not run.info_file.exists():
        return CellState.WAITING
    try:
        state = CellState(run.read_info().status)
    except OtherVersionError:
        # Whole, and perhaps finished: nothing that may be begun anew.
        raise
    except InputError:
        return CellState.RUNNING if run.is_held() else CellState.DAMAGED
    if state is CellState.RUNNING and not run.is_held():
        return CellState.INTERRUPTED
    return state
