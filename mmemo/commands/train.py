"""``mmemo train``: the whole path from clips to a report."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import lightning
from hydra.utils import instantiate
from lightning.pytorch.callbacks import ModelCheckpoint
from omegaconf import DictConfig, OmegaConf

from mmemo.commands.build import build_datamodule, build_encoders, build_module
from mmemo.commands.evaluate import evaluate, print_results
from mmemo.commands.source import build_source
from mmemo.corpora.utterance import LabelSet
from mmemo.data.datamodule import EmotionDataModule
from mmemo.errors import InputError
from mmemo.evaluation.runs import RunFolder
from mmemo.training.module import EmotionModule


def run(cfg: DictConfig) -> float:
    """Train, evaluate and report one run; returns the best validation score."""
    folder = _open_folder(cfg)
    print(f"run folder: {folder.path}")
    try:
        with folder.working():
            config = OmegaConf.to_yaml(cfg, resolve=True)
            folder.config_file.write_text(config, encoding="utf-8")
            return _train(folder, cfg)
    finally:
        if folder.read_info()["status"] != "finished" and folder.last_checkpoint.is_file():
            print(f"not finished; to continue: mmemo train resume={folder.path}", file=sys.stderr)


def _open_folder(cfg: DictConfig) -> RunFolder:
    if not cfg.resume:
        return RunFolder.create(Path(cfg.run_dir))
    folder = RunFolder.open(cfg.resume)
    if folder.read_info()["status"] == "finished":
        raise InputError(
            f"{folder.path}: expected a run that was interrupted, it is finished; evaluate it "
            f"again with `mmemo evaluate run={folder.path}`"
        )
    return folder


def _train(folder: RunFolder, cfg: DictConfig) -> float:
    lightning.seed_everything(cfg.seed, workers=True, verbose=False)
    labels: LabelSet = instantiate(cfg.labels, _convert_="all")
    source = build_source(cfg)
    encoders = build_encoders(cfg)
    module = build_module(cfg, encoders, labels)
    trainer: lightning.Trainer = instantiate(cfg.trainer, _convert_="all")
    start = time.monotonic()
    datamodule = build_datamodule(cfg, source, encoders, labels)
    folder.write_info(prepare_s=round(time.monotonic() - start, 1))
    _describe_data(folder, datamodule, labels, cfg.data.max_duration_s)
    if encoders.text is not None:
        encoders.text.fit(datamodule.datasets["train"].transcripts)
    for name, encoder in encoders.named().items():
        encoder.save_assets(folder.assets(name))
    if "checkpoint" not in folder.read_info():
        _fit(folder, module, datamodule, trainer)
    evaluate(folder, cfg, module, datamodule, trainer, labels)
    print_results(folder)
    return float(folder.read_info()["best_score"])


def _fit(
    folder: RunFolder,
    module: EmotionModule,
    datamodule: EmotionDataModule,
    trainer: lightning.Trainer,
) -> None:
    start = time.monotonic()
    last = folder.last_checkpoint
    trainer.fit(
        module,
        datamodule,
        ckpt_path=last if last.is_file() else None,
        weights_only=True,
    )
    best = trainer.checkpoint_callback
    if not isinstance(best, ModelCheckpoint) or not best.best_model_path:
        raise InputError(
            "callbacks.checkpoint: expected a checkpoint to be chosen on validation, none was "
            "saved; train for at least one epoch (trainer.max_epochs) with validation"
        )
    folder.write_info(
        checkpoint=str(Path(best.best_model_path).relative_to(folder.path)),
        best_score=None if best.best_model_score is None else float(best.best_model_score),
        num_parameters=sum(p.numel() for p in module.classifier.parameters()),
        fit_s=round(time.monotonic() - start, 1),
    )


def _describe_data(
    folder: RunFolder, datamodule: EmotionDataModule, labels: LabelSet, max_duration_s: float
) -> None:
    """Write what was read, kept, skipped, left out and cut."""
    prepared = datamodule.prepared
    used = {split: data.rows for split, data in datamodule.datasets.items()}
    counts = prepared.counts()
    counts["used"] = [
        sum(map(len, used.values())) if s == "all" else len(used[s]) for s in counts.index
    ]
    counts.insert(len(counts.columns) - 1, "other class", counts["kept"] - counts["used"])
    max_samples = max_duration_s * prepared.sample_rate
    skipped = prepared.manifest[prepared.manifest["status"] == "skipped"]
    document = {
        "prepared": {"name": prepared.folder.name, "folder": str(prepared.folder), **prepared.meta},
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
    folder.data_file.write_text(json.dumps(document, indent=2), encoding="utf-8")
