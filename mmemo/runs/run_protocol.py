"""The protocol of a run: what its numbers are of, read off its config and its data."""

from __future__ import annotations

from typing import Any, cast

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from mmemo.corpora.splits import FoldedSplit, SplitProtocol
from mmemo.data.datamodule import EmotionDataModule
from mmemo.evaluation.protocol import Protocol
from mmemo.models.tuning import Tuning


def run_protocol(
    cfg: DictConfig,
    datamodule: EmotionDataModule,
    epoch: int,
    loss: str,
    unit: str,
    missing: str | None,
) -> Protocol:
    """What has to be known to compare the run's numbers with others.

    Args:
        cfg: The run's config.
        datamodule: What the numbers are of.
        epoch: Of the evaluated checkpoint, from 0.
        loss: Name of the training loss.
        unit: What the split keeps together.
        missing: The modality that is left out, if any.
    """
    prepared = datamodule.prepared
    meta = prepared.meta
    tuning = cfg.classifier.get("tuning")
    return Protocol(
        name=str(cfg.name),
        seed=cfg.seed,
        corpus=meta.corpus,
        corpus_split=meta.split_origin,
        split=datamodule.split.name,
        leaky=datamodule.split.leaky,
        leak_shares=datamodule.leak_shares,
        split_settings=_settings(cfg.split) | _number_of_folds(datamodule.split),
        labels=datamodule.labels.name,
        classes=tuple(datamodule.labels.classes),
        num_utterances={split: len(data.rows) for split, data in datamodule.datasets.items()},
        has_sound=prepared.has_sound,
        denoiser=meta.denoiser and f"{meta.denoiser} {meta.denoiser_version}",
        audio_encoder=_part_name(cfg.audio_encoder),
        text_encoder=_part_name(cfg.text_encoder),
        context_utterances=datamodule.context_utterances,
        future_utterances=datamodule.future_utterances,
        speaker_names=datamodule.speaker_names,
        context=_part_name(cfg.get("context")),
        sampling=_part_name(cfg.sampling),
        # An estimator is not trained by the loss that its config has all the same.
        loss=None if tuning else loss,
        loss_settings=None if tuning else _settings(cfg.loss),
        selection=_selection(cfg),
        checkpoint_epoch=epoch,
        unit=unit,
        missing=missing,
    )


def _selection(cfg: DictConfig) -> str:
    """How what is evaluated was chosen."""
    if tuning := cfg.classifier.get("tuning"):
        chosen: Tuning = instantiate(tuning, _convert_="all")
        return f"settings with the max {chosen.metric} {chosen.words}"
    monitored = cfg.callbacks.checkpoint
    return f"checkpoint with the {monitored.mode} {monitored.monitor}"


def _settings(part: DictConfig) -> dict[str, Any]:
    settings = cast(dict[str, Any], OmegaConf.to_container(part, resolve=True))
    return {key: value for key, value in settings.items() if key not in ("_target_", "name")}


def _number_of_folds(split: SplitProtocol) -> dict[str, Any]:
    """As the split has found it: of groups that are left out one by one no setting tells it."""
    return {"num_test_folds": split.num_test_folds} if isinstance(split, FoldedSplit) else {}


def _part_name(part: DictConfig | None) -> str:
    if part is None:
        return "none"
    return str(part.get("checkpoint") or part["_target_"].rpartition(".")[2])
