"""The files of a run folder: what is in those of JSON, and readers of the others."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import FiniteFloat

from mmemo.corpora.agreement import Agreement
from mmemo.corpora.corpus_overlaps import CorpusOverlap
from mmemo.documents import damaged, reason
from mmemo.evaluation.protocol import SourceRun

if TYPE_CHECKING:
    # Imported by the one reader that needs it: the others are called where a second counts.
    import pandas as pd


@dataclass(frozen=True)
class ProcessInfo:
    """The process that works on a run, or did so last."""

    host: str
    pid: int


@dataclass(frozen=True)
class WandbInfo:
    """A run on Weights & Biases.

    Args:
        name: Its name in lists.
        id: What makes it the same one after an interruption.
        project: Where it is.
        entity: User or team; None for the user's default.
        group: The sweep that it is of; None for none.
        url: Its page; None where it is offline.
        files: Folder, inside the run's, that can be uploaded; None before there is one.
        uploaded: Whether all of it is on the server.
    """

    id: str
    project: str
    entity: str | None
    group: str | None
    name: str | None = None
    url: str | None = None
    files: str | None = None
    uploaded: bool = False


@dataclass(frozen=True)
class RunInfo:
    """Contents of ``run.json``: what happened to the run; None is what has not happened yet.

    Args:
        status: What has become of it.
        started: Date and time.
        ended: Date and time.
        error: What failed or interrupted it.
        mmemo_version: That it began with.
        git_commit: Of the source, where it is a git checkout.
        git_dirty: Whether the source was changed since that commit.
        process: That works on it, or did so last.
        split_protocol: Stamp of the split protocol.
        prepare_s: Time that preparation has taken.
        fit_s: Time that training has taken, of all stretches.
        best_score: The best validation score, which chose the checkpoint; of a classical
            classifier, the same score of what was fitted.
        checkpoint: The chosen checkpoint, inside the folder.
        num_processes: That trained it.
        num_parameters: Of the model, with frozen encoders; of a classical classifier, of what it
            stands on alone.
        num_trainable: Those that training has changed; None of a classical classifier.
        wandb: Where it is on Weights & Biases.
        digests: By path in the folder the SHA-256 of what the run has written and is read again:
            see ``RunFolder.sealed``.
        choices: By group of conf/ the option as the user called it.
        sources: The runs that it was made of, by what each was: "teacher", "text", "audio".
    """

    VERSION: ClassVar[int] = 1

    status: Literal["running", "interrupted", "failed", "pruned", "finished"]
    started: str | None = None
    ended: str | None = None
    error: str | None = None
    mmemo_version: str | None = None
    git_commit: str | None = None
    git_dirty: bool | None = None
    process: ProcessInfo | None = None
    split_protocol: str | None = None
    prepare_s: FiniteFloat | None = None
    fit_s: FiniteFloat | None = None
    best_score: FiniteFloat | None = None
    checkpoint: str | None = None
    num_processes: int | None = None
    num_parameters: int | None = None
    num_trainable: int | None = None
    wandb: WandbInfo | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, str | None] = field(default_factory=dict)
    sources: Mapping[str, SourceRun] = field(default_factory=dict)


@dataclass(frozen=True)
class SoundInfo:
    """What a comparison has to know of the prepared corpus that a run was trained on.

    Args:
        digest: Of its rows and their sound.
        name: Of its folder, which begins with corpus and digest of the rows.
        corpus: Its name; None in the first runs' files.
    """

    digest: str
    name: str = ""
    corpus: str | None = None

    @property
    def corpus_and_digest(self) -> str:
        """``meld-1a2b3c4d``: the same as of a corpus that a run was evaluated on."""
        if self.corpus is None:
            return self.name or self.digest
        rows = self.name.removeprefix(f"{self.corpus}-").partition("-")[0]
        return f"{self.corpus}-{rows}" if rows else self.corpus


@dataclass(frozen=True)
class TrainedOn:
    """What a comparison reads of ``data.json``."""

    VERSION: ClassVar[int] = 1

    prepared: SoundInfo


@dataclass(frozen=True)
class PreparedInfo:
    """The prepared corpus that a run was trained on.

    Args:
        name: Of its folder.
        folder: Where it was.
        digest: Of its rows and their sound.
        has_sound: Whether it was prepared with sound.
        corpus: Its name.
        annotations_digest: Of the annotations that it was prepared from.
        split_origin: Who has split the corpus.
        num_repaired: By split the rows whose text was of a wrong encoding.
        denoiser: Its name; None for none.
        denoiser_version: Its version; None for none.
        sample_rate: In Hz.
        max_duration_s: Where sound was cut.
        licence: The corpus' terms; None where they are not said.
        homepage: Where to get it; None where that is not said.
        agreement: Of raters, where several labelled a clip.
    """

    name: str
    folder: str
    digest: str
    has_sound: bool = True
    corpus: str | None = None
    annotations_digest: str | None = None
    split_origin: str | None = None
    num_repaired: Mapping[str, int] = field(default_factory=dict)
    denoiser: str | None = None
    denoiser_version: str | None = None
    sample_rate: int | None = None
    max_duration_s: FiniteFloat | None = None
    licence: str | None = None
    homepage: str | None = None
    agreement: Agreement | None = None


@dataclass(frozen=True)
class SplitInfo:
    """How a run's rows were split.

    Args:
        name: Of the split protocol.
        leaky: Whether utterances of validation and test have copies in training.
        leak_shares: For each evaluated split the share of its rows that have one.
        num_kept_unused: Rows that are in no split.
        digest: Of all rows with their split and label.
    """

    name: str
    leaky: bool
    leak_shares: Mapping[str, FiniteFloat]
    num_kept_unused: int
    digest: str


@dataclass(frozen=True)
class DenoisingInfo:
    """How many kept clips the denoiser has all but silenced or made louder, and so in words."""

    num_clips: int
    num_lost: int
    num_louder: int
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class SkippedRow:
    """A row that was left out other than by its class, and why."""

    key: str
    reason: str
    detail: str | None


@dataclass(frozen=True, kw_only=True)
class DataCard:
    """Contents of ``data.json``: what a run read, kept, skipped and left out.

    Args:
        prepared: The corpus.
        columns: Names of the counts.
        counts: By the corpus' own split, how many rows are in which state.
        split: How the kept ones were split.
        classes: By split the rows of each class.
        colours: By class its colour in figures.
        max_duration_s: Where sound is cut in training.
        num_cut: By split the rows that are longer.
        denoising: What the denoiser has done; None in the first runs' files.
        skipped: The rows that were left out.
        overlaps: What several corpora have in common; empty for one.
    """

    VERSION: ClassVar[int] = 1

    prepared: PreparedInfo
    columns: tuple[str, ...]
    counts: Mapping[str, Mapping[str, int]]
    split: SplitInfo
    classes: Mapping[str, Mapping[str, int]]
    colours: Mapping[str, str]
    max_duration_s: FiniteFloat
    num_cut: Mapping[str, int]
    denoising: DenoisingInfo | None = None
    skipped: tuple[SkippedRow, ...]
    overlaps: tuple[CorpusOverlap, ...] = ()


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
