"""Readers of the files in a run folder: each tells what is wrong with its file, and what to do."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NotRequired

from pydantic import ConfigDict, TypeAdapter, with_config
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from mmemo.documents import damaged, reason

if TYPE_CHECKING:
    # Imported by the one reader that needs it: the others are called where a second counts.
    import pandas as pd

_OPEN = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


@with_config(_OPEN)
class ProcessInfo(TypedDict):
    """The process that works on a run, or did so last."""

    host: str
    pid: int


@with_config(_OPEN)
class WandbInfo(TypedDict):
    """A run on Weights & Biases."""

    name: NotRequired[str]
    id: str
    project: str
    entity: str | None
    group: str | None
    url: NotRequired[str | None]
    files: NotRequired[str | None]
    uploaded: NotRequired[bool]


@with_config(_OPEN)
class RunInfo(TypedDict):
    """Contents of ``run.json``; what is not there yet has not happened yet.

    ``digests`` holds, by path in the folder, the SHA-256 of what the run has written and is read
    again: see ``RunFolder.seal``. ``choices`` holds the option of each group of conf/.
    """

    status: Literal["running", "interrupted", "failed", "pruned", "finished"]
    started: NotRequired[str]
    ended: NotRequired[str]
    error: NotRequired[str | None]
    mmemo_version: NotRequired[str]
    git_commit: NotRequired[str | None]
    git_dirty: NotRequired[bool | None]
    process: NotRequired[ProcessInfo]
    split_protocol: NotRequired[str]
    prepare_s: NotRequired[float]
    fit_s: NotRequired[float]
    best_score: NotRequired[float]
    checkpoint: NotRequired[str]
    num_processes: NotRequired[int]
    num_parameters: NotRequired[int]
    wandb: NotRequired[WandbInfo]
    digests: NotRequired[dict[str, str]]
    choices: NotRequired[dict[str, str | None]]


@with_config(_OPEN)
class SoundInfo(TypedDict):
    """What a comparison has to know of the prepared corpus that a run was trained on."""

    digest: str


@with_config(_OPEN)
class PreparedInfo(SoundInfo):
    """The prepared corpus that a run was trained on."""

    name: str
    folder: str
    corpus: NotRequired[str]
    split_origin: NotRequired[str]
    has_sound: NotRequired[bool]


@with_config(_OPEN)
class SplitInfo(TypedDict):
    """How a run's rows were split."""

    name: str
    leaky: bool
    leak_shares: dict[str, float]
    num_kept_unused: int
    digest: str


@with_config(_OPEN)
class TrainedOn(TypedDict):
    """What a comparison reads of ``data.json``."""

    prepared: SoundInfo


@with_config(_OPEN)
class DataCard(TypedDict):
    """Contents of ``data.json``: what a run read, kept, skipped and left out."""

    prepared: PreparedInfo
    columns: list[str]
    counts: dict[str, dict[str, int]]
    split: SplitInfo
    classes: dict[str, dict[str, int]]
    colours: dict[str, str]
    max_duration_s: float
    num_cut: dict[str, int]
    skipped: list[dict[str, Any]]


@with_config(_OPEN)
class Protocol(TypedDict, total=False):
    """What has to be known to compare a run's numbers with others."""

    name: str
    seed: int
    corpus: str
    corpus_split: str
    split: str
    split_settings: dict[str, Any]
    leaky: bool
    leak_shares: dict[str, float]
    labels: str
    classes: list[str]
    num_utterances: dict[str, int]
    audio_encoder: str
    text_encoder: str
    checkpoint_epoch: int
    unit: str
    missing: str | None


@with_config(_OPEN)
class MetricsDocument(TypedDict):
    """Contents of ``metrics.json``."""

    protocol: Protocol
    splits: dict[str, dict[str, Any]]
    intervals: NotRequired[dict[str, Any]]
    calibration: NotRequired[dict[str, Any]]


INFO = TypeAdapter(RunInfo)
DATA_CARD = TypeAdapter(DataCard)
TRAINED_ON = TypeAdapter(TrainedOn)
METRICS = TypeAdapter(MetricsDocument)


def read_history(path: Path) -> pd.DataFrame:
    """Read ``history.csv``: a row for each epoch, all but ``split_protocol`` numbers.

    Raises:
        InputError: If it is missing, or another table.
    """
    import pandas as pd

    what, remedy = "the metrics of each epoch", "restore it from a copy, or train again"
    try:
        table = pd.read_csv(path)
    except FileNotFoundError as error:
        raise damaged(path, what, "there is no such file", remedy) from error
    # What a parser of its own may raise is not told anywhere.
    except Exception as error:
        raise damaged(path, what, f"it cannot be read: {reason(error)}", remedy) from error
    if "epoch" not in table:
        raise damaged(path, "the column epoch", "it is missing", remedy)
    if table.empty or not pd.api.types.is_integer_dtype(table["epoch"]):
        raise damaged(path, what, "the column epoch does not hold whole numbers", remedy)
    is_number = pd.api.types.is_any_real_numeric_dtype
    kinds = {str(name): kind for name, kind in table.dtypes.items() if name != "split_protocol"}
    others = [name for name, kind in kinds.items() if not is_number(kind)]
    if others:
        raise damaged(path, what, f"{', '.join(others)}: not numbers", remedy)
    return table


def check_checksums(path: Path) -> None:
    """Check a checkpoint against the CRC-32 of each of its parts, which torch itself ignores.

    Raises:
        ValueError: If a part is not what was written.
        OSError: If it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"no whole archive: {error}") from error
    if broken is not None:
        raise ValueError(f"{broken} was damaged")
