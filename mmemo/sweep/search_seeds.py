"""The sweeper's config: whether it searches, and the seeds that each of its trials has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, flag_override

from mmemo.errors import InputError
from mmemo.runs.overrides import with_nulls


@contextmanager
def changeable(config: DictConfig) -> Iterator[None]:
    """Let Hydra's own part of a config be changed."""
    with flag_override(config.hydra, ["readonly", "struct"], False):
        yield


def is_search(config: DictConfig) -> bool:
    """Whether a sweeper goes where scores are good, and does not run all that there is."""
    return str(config.hydra.sweeper.get("_target_")).rpartition(".")[2] != BasicSweeper.__name__


def read_nulls(config: DictConfig) -> None:
    """Read ``null`` among a search's values as Hydra reads it in a sweep's."""
    params = config.hydra.sweeper.get("params") or {}
    with changeable(config):
        for key, values in params.items():
            if isinstance(values, str):
                params[key] = with_nulls(f"{key}={values}").partition("=")[2]


def taken_seeds(config: DictConfig) -> list[str]:
    """The seeds among a search's axes, which are taken out."""
    params = config.hydra.sweeper.get("params")
    if not params or "seed" not in params:
        return []
    seeds = named_seeds(f"seed={params['seed']}")
    if seeds:
        with changeable(config):
            del params["seed"]
    return seeds


def named_seeds(override: str) -> list[str]:
    """The values of an override that names several seeds.

    Raises:
        InputError: If they are a range that is drawn from.
    """
    if not override.lstrip("+").startswith("seed="):
        return []
    parsed = OverridesParser.create().parse_override(override)
    if not parsed.is_sweep_override():
        return []
    if parsed.is_interval_sweep():
        raise InputError(
            f"{override}: expected the seeds that each trial is trained with, seed=1,2,3, got a "
            "range to search"
        )
    return [str(value) for value in parsed.sweep_iterator()]
