"""The two encoders of a run, from what it has saved; what they give where they are frozen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from mmemo.data.datamodule import EmotionDataModule
from mmemo.models.feature_cache import FeatureCache
from mmemo.models.protocols import AudioEncoder, TextEncoder
from mmemo.runs.run_folder import RunFolder


@dataclass(frozen=True)
class Encoders:
    """The two encoders; one may be left out."""

    audio: AudioEncoder | None
    text: TextEncoder | None

    def named(self) -> dict[str, AudioEncoder | TextEncoder]:
        """Those that are there, by the name of their option."""
        both = {"audio_encoder": self.audio, "text_encoder": self.text}
        return {name: encoder for name, encoder in both.items() if encoder is not None}

    def without(self, missing: str | None) -> Encoders:
        """Those that are left without a modality, "audio" or "text": no batch has it then."""
        return replace(self, **{missing: None}) if missing is not None else self


def saved_part(cfg: DictConfig, name: str, run: RunFolder | None) -> Any:  # noqa: ANN401
    """A part of a config that saves files of its own, from those of a run where there is one."""
    assets: dict[str, Path] = {}
    if run is not None:
        run.check_digest(run.assets(name))
        if run.assets(name).is_dir():
            assets["assets_dir"] = run.assets(name)
    part = cfg[name]
    return instantiate(part, _convert_="all", **assets) if part else None


def use_frozen_features(
    cfg: DictConfig,
    datamodule: EmotionDataModule,
    encoders: Encoders,
    device: torch.device,
    needs_frames: bool,
) -> None:
    """Let loaders hand out a frozen encoder's pooled features in place of what it encodes.

    Args:
        cfg: Of the run.
        datamodule: Its loaders.
        encoders: Its encoders; those that are not frozen are left as they are.
        device: That computes the features.
        needs_frames: Whether the fusion needs frames: features that are pooled do not do then.
    """
    # What takes less time to compute than to read is not kept.
    frozen = [
        name
        for name, encoder in encoders.named().items()
        if encoder.frozen and not getattr(encoder, "is_cheap", False)
    ]
    if needs_frames:
        for name in frozen:
            print(f"the frozen {name} is run at every step: this fusion needs its frames")
        return
    cache: FeatureCache = instantiate(cfg.feature_cache, _convert_="all")
    for name in frozen:
        settings = OmegaConf.to_yaml(cfg[name], resolve=True, sort_keys=True)
        if name == "audio_encoder":
            audio = cast(AudioEncoder, encoders.audio)
            if datamodule.augmentation is not None:
                print(
                    "the frozen audio_encoder is run at every training step: augmentation "
                    "changes what it hears"
                )
            datamodule.use_audio_features(cache.audio_features(audio, settings, datamodule, device))
        else:
            text = cast(TextEncoder, encoders.text)
            datamodule.use_text_features(cache.text_features(text, settings, datamodule, device))
