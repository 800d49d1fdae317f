"""``data.json``: what a run was trained on, and whether it still is."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pandas as pd

from mmemo.audio.levels import denoising_faults
from mmemo.audio.prepared import PreparedCorpus
from mmemo.corpora.corpus_overlaps import corpus_overlaps
from mmemo.data.selection import CLASS_EXCLUDED, state_counts
from mmemo.documents import write_document
from mmemo.errors import InputError
from mmemo.runs.run_files import (
    DataCard,
    DenoisingInfo,
    PreparedInfo,
    SkippedRow,
    SplitInfo,
)
from mmemo.runs.run_folder import RunFolder

if TYPE_CHECKING:
    # A run's data is checked where nothing else needs torch.
    from mmemo.data.datamodule import EmotionDataModule


def check_same_data(folder: RunFolder, prepared: PreparedCorpus) -> None:
    """Compare the prepared corpus with the one that the run began with, if it has begun.

    Raises:
        InputError: If an utterance or its sound has changed since.
    """
    if not folder.data_file.is_file():
        return
    begun_with = folder.read_data_card().prepared
    if prepared.digest() != begun_with.digest:
        raise InputError(
            f"{folder.path}: expected the data that the run was trained on "
            f"({begun_with.name}), {prepared.folder} differs from it; restore the annotations "
            "and clips, or start a new run"
        )


def check_same_split(folder: RunFolder, datamodule: EmotionDataModule) -> None:
    """Compare the rows of each split with those that the run began with, if it has begun.

    Raises:
        InputError: If a row or its label is another, or in another split: a label or group of the
            annotations was changed, or another scikit-learn deals other folds.
    """
    if not folder.data_file.is_file():
        return
    if _split_digest(datamodule) != folder.read_data_card().split.digest:
        raise InputError(
            f"{folder.path}: expected the split that the run was trained on "
            f"(split={datamodule.split.name}), {datamodule.prepared.folder} gives another; restore "
            "the annotations and the version of scikit-learn, or start a new run"
        )


def write_data_card(
    folder: RunFolder, datamodule: EmotionDataModule, max_duration_s: float
) -> None:
    """Write what was read, kept, skipped and cut, and how it was split."""
    prepared = datamodule.prepared
    counts = state_counts(datamodule.states)
    skipped = datamodule.states[datamodule.states["status"] == "skipped"]
    listed = skipped[skipped["reason"] != CLASS_EXCLUDED]
    rows = {split: data.rows for split, data in datamodule.datasets.items()}
    num_kept = int((datamodule.states["status"] == "kept").sum())
    faults = denoising_faults(prepared.kept)
    card = DataCard(
        prepared=_prepared_info(prepared),
        columns=tuple(map(str, counts.columns)),
        counts={
            str(split): {str(state): int(number) for state, number in row.items()}
            for split, row in counts.to_dict("index").items()
        },
        split=SplitInfo(
            name=datamodule.split.name,
            leaky=datamodule.split.leaky,
            leak_shares=datamodule.leak_shares,
            num_kept_unused=num_kept - int(datamodule.rows["source_key"].nunique()),
            digest=_split_digest(datamodule),
        ),
        classes={split: _class_counts(datamodule, split) for split in datamodule.datasets},
        colours=datamodule.labels.colours,
        max_duration_s=max_duration_s,
        num_cut={s: int((r["source_duration_s"] > max_duration_s).sum()) for s, r in rows.items()},
        denoising=DenoisingInfo(
            faults.num_clips, faults.num_lost, faults.num_louder, tuple(faults.sentences())
        ),
        skipped=tuple(
            SkippedRow(*row)
            for row in listed[["key", "reason", "detail"]].itertuples(index=False, name=None)
        ),
        overlaps=corpus_overlaps(datamodule.rows),
    )
    file = folder.evaluated_data_file
    with folder.sealed(file):
        write_document(file, card)


def _prepared_info(prepared: PreparedCorpus) -> PreparedInfo:
    meta = prepared.meta
    return PreparedInfo(
        name=prepared.folder.name,
        folder=str(prepared.folder),
        digest=prepared.digest(),
        has_sound=prepared.has_sound,
        corpus=meta.corpus,
        annotations_digest=meta.annotations_digest,
        split_origin=meta.split_origin,
        num_repaired=meta.num_repaired,
        denoiser=meta.denoiser,
        denoiser_version=meta.denoiser_version,
        sample_rate=meta.sample_rate,
        max_duration_s=meta.max_duration_s,
        licence=meta.facts.licence if meta.facts else None,
        homepage=meta.facts.homepage if meta.facts else None,
        agreement=meta.agreement,
    )


def _split_digest(datamodule: EmotionDataModule) -> str:
    """Sixteen hexadecimal digits that change with any row's split or label."""
    rows: pd.DataFrame = datamodule.rows[["key", "split", datamodule.labels.column]]
    return hashlib.sha256(rows.to_json(orient="values").encode()).hexdigest()[:16]


def _class_counts(datamodule: EmotionDataModule, split: str) -> dict[str, int]:
    found = datamodule.datasets[split].rows[datamodule.labels.column].value_counts()
    return {name: int(found.get(name, 0)) for name in datamodule.labels.classes}
