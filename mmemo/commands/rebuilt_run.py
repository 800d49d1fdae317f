"""A trained run built again: its model at the chosen checkpoint, its data, its device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import lightning
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from mmemo.audio.prepared import PreparedCorpus
from mmemo.commands.build import (
    Encoders,
    build_encoders,
    build_module,
    build_trainer,
    check_run_name,
)
from mmemo.commands.data_card import check_same_data, read_data_card
from mmemo.corpora.utterance import LabelSet
from mmemo.errors import InputError
from mmemo.evaluation.runs import RunFolder
from mmemo.training.module import EmotionModule


@dataclass(frozen=True)
class RebuiltRun:
    """What a run consists of, but for its loaders, which differ with what is wanted of it.

    Args:
        folder: The run's.
        cfg: Its config.
        labels: Its classes.
        encoders: Those of the model.
        module: With the weights of the chosen checkpoint.
        prepared: The corpus that it was trained on.
        trainer: For one process.
    """

    folder: RunFolder
    cfg: DictConfig
    labels: LabelSet
    encoders: Encoders
    module: EmotionModule
    prepared: PreparedCorpus
    trainer: lightning.Trainer

    @property
    def device(self) -> torch.device:
        """That the trainer computes on."""
        return self.trainer.strategy.root_device


def chosen_checkpoint(folder: RunFolder) -> Path:
    """The checkpoint that a run's results are of.

    Raises:
        InputError: If its training has not ended.
    """
    name = folder.read_info().get("checkpoint")
    if name is None:
        raise InputError(
            f"{folder.path}: expected a trained run, its training has not ended; continue it with "
            f"{folder.command('train', 'resume')}"
        )
    return folder.path / str(name)


def rebuild_run(run: str | Path, prepared: str | Path | None) -> RebuiltRun:
    """Build a run's model and find its data again.

    Args:
        run: The run's folder.
        prepared: The prepared corpus' folder, where it was moved since; else None.

    Raises:
        InputError: If the run has not ended, its checkpoint cannot be loaded, or its data has
            changed.
    """
    folder = RunFolder.open(run)
    checkpoint = chosen_checkpoint(folder)
    cfg = cast(DictConfig, OmegaConf.load(folder.composed_config_file))
    cfg.run_dir = str(folder.path)
    check_run_name(cfg, folder.path)
    labels: LabelSet = instantiate(cfg.labels, _convert_="all")
    encoders = build_encoders(cfg, folder)
    module = build_module(cfg, encoders, labels)
    # A frozen encoder's features are made of the weights that the run used.
    load_checkpoint(checkpoint, module)
    corpus = PreparedCorpus(Path(prepared or read_data_card(folder)["prepared"]["folder"]))
    check_same_data(folder, corpus)
    trainer = one_process_trainer(cfg)
    return RebuiltRun(folder, cfg, labels, encoders, module, corpus, trainer)


def one_process_trainer(cfg: DictConfig) -> lightning.Trainer:
    """The run's trainer without its companions, logger and callbacks."""
    alone: dict[str, Any] = {"devices": 1, "num_nodes": 1, "strategy": "auto"}
    return build_trainer(cfg, logger=False, callbacks=None, **alone)


def load_checkpoint(path: Path, module: EmotionModule) -> int:
    """Load weights of a run; returns their epoch, counted from 0.

    Raises:
        InputError: If the file is missing, is not a checkpoint, or is another model's.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        module.load_state_dict(checkpoint["state_dict"])
        return int(checkpoint["epoch"])
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise InputError(
            f"{path}: expected the checkpoint of this run, could not load it "
            f"({type(error).__name__}: {reason}); restore the file or train again"
        ) from error
