"""Paths that the user types, made to mean the same everywhere."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

PATH_KEYS = (
    "cache_dir",
    "output_dir",
    "prepared",
    "corpus.root",
    "corpus.annotations",
    "corpus.csv",
    "corpus.folder",
    "denoiser.checkpoint_dir",
    "preparer.folder",
    "feature_cache.folder",
)
CHECKPOINT_KEYS = ("audio_encoder.checkpoint", "text_encoder.checkpoint")


def readable_by_hydra(override: str) -> str:
    """Quote what Hydra's grammar would not read: a run folder, a path in ``~``, a group's name."""
    key, equals, value = override.partition("=")
    if not equals or value[:1] in ("'", '"'):
        return override
    if value.startswith("~"):
        return f"{key}='{Path(value).expanduser()}'"
    is_name = key in ("run", "resume", "prepared", "baseline") and value not in ("", "null")
    is_path = key in PATH_KEYS and Path(value).exists()
    return f"{key}='{value}'" if is_name or is_path else override


def make_paths_absolute(cfg: DictConfig) -> None:
    """A run must mean the same from whatever folder it is evaluated or resumed later."""
    for key in PATH_KEYS:
        value = OmegaConf.select(cfg, key)
        if isinstance(value, str):
            OmegaConf.update(cfg, key, str(Path(value).expanduser().absolute()))
    for key in CHECKPOINT_KEYS:
        value = OmegaConf.select(cfg, key)
        if isinstance(value, str) and Path(value).expanduser().is_dir():
            OmegaConf.update(cfg, key, str(Path(value).expanduser().absolute()))
