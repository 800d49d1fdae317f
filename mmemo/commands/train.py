"""``mmemo train``: the whole path from clips to a report."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import lightning
import torch
from hydra.utils import instantiate
from lightning.pytorch.callbacks import ModelCheckpoint
from omegaconf import DictConfig, OmegaConf

from mmemo.commands.build import (
    build_datamodule,
    build_encoders,
    build_module,
    check_run_name,
    check_settings,
)
from mmemo.commands.data_card import check_same_data, check_same_split, write_data_card
from mmemo.commands.evaluate import evaluate, load_checkpoint, print_results
from mmemo.commands.source import build_source
from mmemo.corpora.leaks import protocol_stamp
from mmemo.corpora.utterance import LabelSet
from mmemo.data.datamodule import EmotionDataModule
from mmemo.errors import InputError
from mmemo.evaluation.runs import RunFolder
from mmemo.training.module import EmotionModule


def run(cfg: DictConfig) -> float:
    """Train, evaluate and report one run; returns the best validation score."""
    folder = _open_folder(cfg)
    print(f"run folder: {folder.path}")
    with folder.working():
        try:
            return _train(folder, cfg)
        except BaseException:
            if folder.last_checkpoint.is_file():
                hint = folder.command("train", "resume")
                print(f"not finished; to continue: {hint}", file=sys.stderr)
            raise


def _open_folder(cfg: DictConfig) -> RunFolder:
    check_run_name(cfg, Path(cfg.resume or cfg.run_dir))
    if not cfg.resume:
        return RunFolder.create(Path(cfg.run_dir))
    folder = RunFolder.open(cfg.resume)
    if folder.read_info().get("status") == "finished":
        raise InputError(
            f"{folder.path}: expected a run that was interrupted, it is finished; evaluate it "
            f"again with {folder.command('evaluate', 'run')}"
        )
    return folder


def _train(folder: RunFolder, cfg: DictConfig) -> float:
    _save_config(folder, cfg)
    lightning.seed_everything(cfg.seed, workers=True, verbose=False)
    labels: LabelSet = instantiate(cfg.labels, _convert_="all")
    resumable = _check_last_checkpoint(folder)
    source = build_source(cfg)
    source.preparer.check(source.denoiser)
    encoders = build_encoders(cfg, folder if resumable else None)
    module = build_module(cfg, encoders, labels)
    if resumable:
        load_checkpoint(folder.last_checkpoint, module)
    trainer: lightning.Trainer = instantiate(cfg.trainer, _convert_="all")
    _check_trainer(trainer)
    annotations = source.corpus.read()
    check_settings(cfg, annotations, labels, encoders, source.preparer)
    start = time.monotonic()
    prepared = source.prepare(annotations)
    folder.write_info(prepare_s=round(time.monotonic() - start, 1))
    check_same_data(folder, prepared)
    device = trainer.strategy.root_device
    datamodule = build_datamodule(cfg, prepared, encoders, labels, device, module)
    check_same_split(folder, datamodule)
    write_data_card(folder, datamodule, cfg.data.max_duration_s)
    split = datamodule.split
    folder.write_info(split_protocol=protocol_stamp(split.name, split.leaky))
    for name, encoder in encoders.named().items():
        encoder.save_assets(folder.assets(name))
    if "checkpoint" not in folder.read_info():
        _fit(folder, module, datamodule, trainer, resumable)
    evaluate(folder, cfg, module, datamodule, trainer)
    print_results(folder)
    return float(folder.read_info()["best_score"])


def _save_config(folder: RunFolder, cfg: DictConfig) -> None:
    composed = OmegaConf.create(OmegaConf.to_container(cfg, resolve=False))
    composed.resume = None
    composed.run_dir = "${hydra:runtime.output_dir}"
    OmegaConf.save(composed, folder.composed_config_file)
    folder.config_file.write_text(OmegaConf.to_yaml(cfg, resolve=True), encoding="utf-8")


def _check_last_checkpoint(folder: RunFolder) -> bool:
    """Whether there is a state to continue from.

    Raises:
        InputError: If it cannot be read, or the folder was moved since it was written.
    """
    path = folder.last_checkpoint
    if not path.is_file():
        return False
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        states: dict[str, dict[str, Any]] = checkpoint["callbacks"]
    except Exception as error:
        raise InputError(
            f"{path}: expected the state of an interrupted run, could not load it "
            f"({type(error).__name__}); start a new run"
        ) from error
    for state in states.values():
        written_in = state.get("dirpath", str(path.parent))
        if Path(written_in) != path.parent:
            raise InputError(
                f"{folder.path}: expected an interrupted run where it was begun, its checkpoints "
                f"were written in {written_in}; move it back there"
            )
    return True


def _check_trainer(trainer: lightning.Trainer) -> None:
    if trainer.world_size > 1:
        raise InputError(
            f"trainer: expected one device, got {trainer.world_size} processes; training on "
            "several is not built yet: trainer.devices=1 trainer.num_nodes=1"
        )
    if not isinstance(trainer.checkpoint_callback, ModelCheckpoint):
        raise InputError(
            "callbacks: expected a ModelCheckpoint, which chooses the evaluated weights, got none"
        )


def _fit(
    folder: RunFolder,
    module: EmotionModule,
    datamodule: EmotionDataModule,
    trainer: lightning.Trainer,
    resumable: bool,
) -> None:
    start = time.monotonic()
    trainer.fit(
        module,
        datamodule,
        ckpt_path=folder.last_checkpoint if resumable else None,
        weights_only=True,
    )
    best = trainer.checkpoint_callback
    if not isinstance(best, ModelCheckpoint) or best.best_model_score is None:
        raise InputError(
            "trainer: expected a checkpoint to be chosen on validation, none was saved; train "
            "for at least one epoch (trainer.max_epochs) and name callbacks.checkpoint.monitor"
        )
    folder.write_info(
        checkpoint=str(Path(best.best_model_path).relative_to(folder.path)),
        best_score=float(best.best_model_score),
        num_parameters=sum(p.numel() for p in module.classifier.parameters()),
        fit_s=round(time.monotonic() - start, 1),
    )
