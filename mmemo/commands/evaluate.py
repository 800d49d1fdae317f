"""``mmemo evaluate``: predictions, metrics and report at a run's chosen checkpoint."""

from __future__ import annotations

import json
from typing import Any

import lightning
import pandas as pd
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from mmemo.commands.build import build_datamodule, build_encoders, build_module
from mmemo.commands.source import build_source
from mmemo.corpora.utterance import LabelSet
from mmemo.data.datamodule import EmotionDataModule
from mmemo.errors import InputError
from mmemo.evaluation.metrics import compute_metrics, metrics_table
from mmemo.evaluation.predictions import build_table
from mmemo.evaluation.runs import RunFolder
from mmemo.reporting.pages import write_report
from mmemo.training.module import EmotionModule

EVALUATED_SPLITS = ("val", "test")


def run(cfg: DictConfig) -> None:
    """Build the run's model and data again and evaluate it."""
    folder = RunFolder.open(cfg.run)
    if "checkpoint" not in folder.read_info():
        raise InputError(
            f"{folder.path}: expected a trained run, its training has not ended; continue it with "
            f"`mmemo train resume={folder.path}`"
        )
    run_cfg = OmegaConf.load(folder.composed_config_file)
    assert isinstance(run_cfg, DictConfig)
    run_cfg.run_dir = str(folder.path)
    labels: LabelSet = instantiate(run_cfg.labels, _convert_="all")
    source = build_source(run_cfg)
    encoders = build_encoders(run_cfg, folder)
    module = build_module(run_cfg, encoders, labels)
    datamodule = build_datamodule(run_cfg, source, encoders, labels)
    trainer = instantiate(run_cfg.trainer, _convert_="all", logger=False, callbacks=None)
    evaluate(folder, run_cfg, module, datamodule, trainer, labels)
    print_results(folder)


def evaluate(
    folder: RunFolder,
    cfg: DictConfig,
    module: EmotionModule,
    datamodule: EmotionDataModule,
    trainer: lightning.Trainer,
    labels: LabelSet,
) -> None:
    """Predict validation and test at the chosen checkpoint; write tables, metrics and report.

    Raises:
        InputError: If the checkpoint is missing or is not one, or the corpus is not the one that
            the run was trained on.
    """
    trained_on = json.loads(folder.data_file.read_text(encoding="utf-8"))["prepared"]["name"]
    prepared_name = datamodule.prepared.folder.name
    if prepared_name != trained_on:
        raise InputError(
            f"{folder.path}: expected the corpus that the run was trained on ({trained_on}), got "
            f"{prepared_name}; restore its annotations or train again"
        )
    checkpoint = _load_checkpoint(folder)
    module.load_state_dict(checkpoint["state_dict"])
    tables = []
    for split in EVALUATED_SPLITS:
        loader = datamodule.val_dataloader() if split == "val" else datamodule.test_dataloader()
        outputs: Any = trainer.predict(module, dataloaders=loader)
        rows = datamodule.datasets[split].rows
        tables.append(build_table(outputs or [], rows, labels.classes))
    table = pd.concat(tables, ignore_index=True)
    table.to_parquet(folder.predictions_file, index=False)
    majority = str(datamodule.datasets["train"].rows["emotion"].mode()[0])
    metrics = {
        str(split): compute_metrics(rows, majority)
        for split, rows in table.groupby("split", sort=False)
    }
    document = {"protocol": _protocol(cfg, datamodule, labels, checkpoint), "splits": metrics}
    folder.metrics_file.write_text(json.dumps(document, indent=2), encoding="utf-8")
    metrics_table(metrics).to_csv(folder.table_file, index=False)
    write_report(folder)


def _load_checkpoint(folder: RunFolder) -> dict[str, Any]:
    path = folder.path / folder.read_info()["checkpoint"]
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        checkpoint["state_dict"], checkpoint["epoch"]
    except Exception as error:
        raise InputError(
            f"{path}: expected the checkpoint of a run, could not load it "
            f"({type(error).__name__}); train again, or continue the run with "
            f"`mmemo train resume={folder.path}`"
        ) from error
    return checkpoint


def _protocol(
    cfg: DictConfig,
    datamodule: EmotionDataModule,
    labels: LabelSet,
    checkpoint: dict[str, Any],
) -> dict[str, Any]:
    """What has to be known to compare the numbers with others."""
    meta = datamodule.prepared.meta
    monitored = cfg.callbacks.checkpoint
    return {
        "name": cfg.name,
        "seed": cfg.seed,
        "corpus": meta["corpus"],
        "split": "official",
        "classes": list(labels.classes),
        "num_utterances": {split: len(data) for split, data in datamodule.datasets.items()},
        "denoiser": meta["denoiser"] and f"{meta['denoiser']} {meta['denoiser_version']}",
        "audio_encoder": _encoder_name(cfg.audio_encoder),
        "text_encoder": _encoder_name(cfg.text_encoder),
        "selection": f"checkpoint with the {monitored.mode} {monitored.monitor}",
        "checkpoint_epoch": int(checkpoint["epoch"]),
    }


def _encoder_name(cfg: DictConfig | None) -> str:
    if cfg is None:
        return "none"
    return str(cfg.get("checkpoint") or cfg["_target_"].rpartition(".")[2])


def print_results(folder: RunFolder) -> None:
    """Print the test metrics and where everything lies."""
    table = pd.read_csv(folder.table_file)
    test = table[table["split"] == "test"].drop(columns="split")
    text = test.to_string(index=False, float_format=lambda v: f"{v:.3f}", na_rep="")
    print(f"\nTest split, at the checkpoint chosen on validation:\n{text}\n")
    for label, path in (
        ("metrics table", folder.table_file),
        ("metrics", folder.metrics_file),
        ("predictions", folder.predictions_file),
        ("confusion matrix", folder.confusion_file),
        ("curves", folder.curves_file),
        ("report", folder.report_file),
    ):
        print(f"{label:>17}: {path}")
