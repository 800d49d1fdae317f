"""Lightning's trainer of a run, in a precision that it can train in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning
import torch
from hydra.utils import instantiate
from lightning.fabric.plugins import ClusterEnvironment
from omegaconf import DictConfig

from mmemo.errors import InputError
from mmemo.runs.input_errors import settings_of
from mmemo.training.slurm_processes import slurm_environment

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "bf16-true", "64-true")
SHORT_PRECISIONS = {"32": "32-true", "64": "64-true", "16": "16-mixed", "bf16": "bf16-mixed"}


ONE_PROCESS: Mapping[str, Any] = dict(logger=False, devices=1, num_nodes=1, strategy="auto")
"""Of a trainer that evaluates or answers."""


def build_trainer(
    part: DictConfig,
    callbacks: list[lightning.Callback] | None,
    **changes: Any,  # noqa: ANN401
) -> lightning.Trainer:
    """Build the trainer of a run's config.

    Args:
        part: The config's.
        callbacks: All of them; None for none.
        changes: Settings in place of the config's.

    Raises:
        InputError: If it cannot be built, or its precision is unknown, cannot be trained in, or is
            not that device's.
    """
    requested = str(changes.get("precision", part.precision) or "32-true")
    precision = SHORT_PRECISIONS.get(requested, requested)
    if precision == "16-true":
        raise InputError(
            "precision: expected one in which AdamW can train, got 16-true: what it divides "
            "by, the squared gradients, is rounded to 0 in float16; set precision=bf16-true, "
            "which is as small, or bf16-mixed"
        )
    if precision not in PRECISIONS:
        raise InputError(f"precision: expected one of {', '.join(PRECISIONS)}, got '{requested}'")
    build = instantiate(part, _convert_="all", _partial_=True, callbacks=None, **changes)
    plugins = [*(build.keywords.get("plugins") or ())]
    if not any(isinstance(plugin, ClusterEnvironment) for plugin in plugins):
        plugins += slurm_environment()
    with settings_of("trainer"):
        # Objects are given to the trainer itself: a config cannot hold them.
        trainer: lightning.Trainer = build(callbacks=callbacks, plugins=plugins)
    if trainer.precision != precision:
        raise InputError(
            f"precision={requested}: expected a GPU, got a CPU, on which Lightning trains in "
            f"{trainer.precision} instead; set precision={trainer.precision}"
        )
    return trainer


def build_one_process_trainer(part: DictConfig) -> lightning.Trainer:
    """Build it for one process, without logger and callbacks; errors as of ``build_trainer``."""
    return build_trainer(part, None, **ONE_PROCESS)


def build_answering_trainer(part: DictConfig, accelerator: str) -> lightning.Trainer:
    """Build it for one process on a device that may be another than in training.

    A run of float16, in which CPUs do not compute, answers there in float32.

    Args:
        part: The config's.
        accelerator: As Lightning names it: "auto", "cpu", "gpu".

    Raises:
        InputError: As ``build_trainer`` does.
    """
    precision = str(part.precision or "32-true")
    on_cpu = accelerator == "cpu" or not torch.cuda.is_available()
    if on_cpu and precision.startswith("16"):
        precision = "32-true"
    changes = {"accelerator": accelerator, "precision": precision}
    return build_trainer(part, None, **ONE_PROCESS, **changes)
