"""The cells that a sweep's jobs are: their configs, and so their folders."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict

from mmemo.commands.user_paths import make_paths_absolute
from mmemo.evaluation.runs import RunFolder
from mmemo.evaluation.sweep_cells import Cell, cell_name, config_digest, named_folder

OWN_PLACES = {"run_dir": "/", "output_dir": "/", "cache_dir": "/", "logger": None, "resume": None}
"""Set alike before a digest is taken: they are told by Hydra's job alone, or do not count."""


class CellComposer:
    """Composes a job's config as its launcher will.

    Args:
        loader: Hydra's.
        config: The sweep's config.
    """

    def __init__(self, loader: ConfigLoader, config: DictConfig) -> None:
        self.loader = loader
        self.config = config
        self.folder = Path(config.hydra.sweep.dir).absolute()
        self.axes = _axes(config)

    def cell(self, overrides: list[str]) -> Cell:
        """The cell of a job.

        Args:
            overrides: The job's.

        Raises:
            HydraException: If the config does not compose.
            MissingMandatoryValue: If a value is missing that has to be given.
        """
        settings = _settings(self.loader.load_sweep_config(self.config, overrides))
        given = dict(o.lstrip("+").partition("=")[::2] for o in overrides)
        varied = {key: given[key] for key in self.axes if key in given}
        digest = config_digest(settings)
        name = cell_name(varied, settings["seed"], digest, settings.get("run_mark") or "")
        checkpoint = settings["callbacks"].get("checkpoint") or {}
        return Cell(
            folder=RunFolder(named_folder(self.folder, digest, name)),
            max_epochs=settings["trainer"].get("max_epochs"),
            monitor=checkpoint.get("monitor", "val/loss"),
            is_maximised=checkpoint.get("mode") == "max",
        )

    def placed(self, cell: Cell, overrides: Sequence[str]) -> list[str]:
        """The job's overrides with those that put it into the cell's folder."""
        place = {"hydra.sweep.dir": str(self.folder), "hydra.sweep.subdir": cell.name}
        quoted = {key: value.replace("'", "\\'") for key, value in place.items()}
        return [*overrides, *(f"{key}='{value}'" for key, value in quoted.items())]


def _axes(config: DictConfig) -> list[str]:
    """Keys of what the sweep varies: the sweeper's own and those typed with several values."""
    as_typed = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
    typed = OverridesParser.create().parse_overrides(cast(list[str], as_typed))
    keys = [*(OmegaConf.select(config, "hydra.sweeper.params") or {})]
    keys += [o.get_key_element() for o in typed if o.is_sweep_override()]
    return list(dict.fromkeys(key.lstrip("+") for key in keys))


def _settings(config: DictConfig) -> dict[str, Any]:
    """The resolved config of a cell, without what depends on where it runs.

    Raises:
        MissingMandatoryValue: If a value is missing that has to be given.
    """
    cfg = copy.deepcopy(config)
    OmegaConf.set_readonly(cfg, False)
    former = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)
    try:
        with open_dict(cfg):
            cfg.pop("hydra")
        for key, value in OWN_PLACES.items():
            OmegaConf.update(cfg, key, value)
        make_paths_absolute(cfg)
        settings = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    finally:
        HydraConfig.instance().cfg = former
    assert isinstance(settings, dict)
    return {str(key): value for key, value in settings.items()}
