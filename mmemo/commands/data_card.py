"""``data.json``: what a run was trained on, and whether it still is."""

from __future__ import annotations

import json
from typing import Any

from mmemo.audio.prepared import PreparedCorpus
from mmemo.corpora.utterance import LabelSet
from mmemo.data.datamodule import EmotionDataModule
from mmemo.errors import InputError
from mmemo.evaluation.runs import RunFolder


def read_data_card(folder: RunFolder) -> dict[str, Any]:
    """Contents of ``data.json``."""
    card: dict[str, Any] = json.loads(folder.data_file.read_text(encoding="utf-8"))
    return card


def check_same_data(folder: RunFolder, prepared: PreparedCorpus) -> None:
    """Compare the prepared corpus with the one that the run began with, if it has begun.

    Raises:
        InputError: If an utterance or its sound has changed since.
    """
    if not folder.data_file.is_file():
        return
    begun_with = read_data_card(folder)["prepared"]
    if prepared.digest() != begun_with["digest"]:
        raise InputError(
            f"{folder.path}: expected the data that the run was trained on "
            f"({begun_with['name']}), {prepared.folder} differs from it; restore the annotations "
            "and clips, or start a new run"
        )


def write_data_card(
    folder: RunFolder, datamodule: EmotionDataModule, labels: LabelSet, max_duration_s: float
) -> None:
    """Write what was read, kept, skipped, left out and cut."""
    prepared = datamodule.prepared
    used = {split: data.rows for split, data in datamodule.datasets.items()}
    sizes = {split: len(rows) for split, rows in used.items()}
    counts = prepared.counts()
    counts["used"] = [sizes.get(str(s), sum(sizes.values())) for s in counts.index]
    counts.insert(len(counts.columns) - 1, "other class", counts["kept"] - counts["used"])
    max_samples = max_duration_s * prepared.sample_rate
    skipped = prepared.manifest[prepared.manifest["status"] == "skipped"]
    card = {
        "prepared": {
            "name": prepared.folder.name,
            "folder": str(prepared.folder),
            "digest": prepared.digest(),
            **prepared.meta,
        },
        "columns": list(counts.columns),
        "counts": counts.to_dict("index"),
        "classes": {
            split: {name: int((rows["emotion"] == name).sum()) for name in labels.classes}
            for split, rows in used.items()
        },
        "colours": labels.colours,
        "max_duration_s": max_duration_s,
        "num_cut": {s: int((rows["num_samples"] > max_samples).sum()) for s, rows in used.items()},
        "skipped": skipped[["key", "reason", "detail"]].to_dict("records"),
    }
    folder.data_file.write_text(json.dumps(card, indent=2), encoding="utf-8")
