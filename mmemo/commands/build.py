"""From a composed config to objects."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from mmemo.commands.source import Source
from mmemo.corpora.utterance import LabelSet
from mmemo.data.datamodule import EmotionDataModule
from mmemo.evaluation.runs import RunFolder
from mmemo.models.protocols import AudioEncoder, TextEncoder
from mmemo.training.module import EmotionModule


@dataclass
class Encoders:
    """The two encoders; one may be left out."""

    audio: AudioEncoder | None
    text: TextEncoder | None

    def named(self) -> dict[str, AudioEncoder | TextEncoder]:
        """Those that are there, by the name of their option."""
        both = {"audio_encoder": self.audio, "text_encoder": self.text}
        return {name: encoder for name, encoder in both.items() if encoder is not None}


def build_encoders(cfg: DictConfig, run: RunFolder | None = None) -> Encoders:
    """Both encoders; with a run, from what it saved beside its weights."""

    def build(name: str) -> Any:  # noqa: ANN401
        assets: dict[str, Path] = {}
        if run is not None and run.assets(name).is_dir():
            assets["assets_dir"] = run.assets(name)
        return instantiate(cfg[name], _convert_="all", **assets) if cfg[name] else None

    return Encoders(build("audio_encoder"), build("text_encoder"))


def build_module(cfg: DictConfig, encoders: Encoders, labels: LabelSet) -> EmotionModule:
    """The classifier over the encoders, in its training module."""
    classifier = instantiate(
        cfg.classifier,
        _convert_="all",
        audio_encoder=encoders.audio,
        text_encoder=encoders.text,
        fusion=instantiate(cfg.fusion, _convert_="all"),
        num_classes=len(labels),
    )
    module: EmotionModule = instantiate(
        cfg.module,
        _convert_="all",
        classifier=classifier,
        num_classes=len(labels),
        optimizer=instantiate(cfg.optimizer, _convert_="all"),
        scheduler=instantiate(cfg.scheduler, _convert_="all"),
    )
    return module


def build_datamodule(
    cfg: DictConfig, source: Source, encoders: Encoders, labels: LabelSet
) -> EmotionDataModule:
    """Loaders over the prepared corpus, which is prepared first where it is missing."""
    prepared = source.prepare()
    datamodule: EmotionDataModule = instantiate(
        cfg.data,
        _convert_="all",
        prepared=prepared,
        labels=labels,
        audio_encoder=encoders.audio,
        text_encoder=encoders.text,
    )
    return datamodule
