"""What can be known of a run's settings before anything is prepared for it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, cast

import lightning
from hydra.utils import get_object
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import ModelCheckpoint, StochasticWeightAveraging
from omegaconf import DictConfig, OmegaConf
from torch.optim.lr_scheduler import ReduceLROnPlateau

from mmemo.commands.early_checks import check_values
from mmemo.errors import InputError
from mmemo.models.classical import ClassicalClassifier
from mmemo.runs.input_errors import settings_of
from mmemo.runs.loss import is_own_loss
from mmemo.runs.own_metrics import DIRECTION, GROUP
from mmemo.training.epoch_metrics import named_metric
from mmemo.training.module import EmotionModule
from mmemo.training.schedules import build_schedule

NUM_TRIAL_STEPS = 100

TRIAL_RUN = (
    "for a trial of every part: trainer.max_epochs=1 trainer.limit_train_batches=2 "
    "trainer.limit_val_batches=2"
)


def check_composed(cfg: DictConfig) -> None:
    """Check a config before anything of it is built.

    Raises:
        InputError: If a target is not there or does not take a setting, a callback watches what
            is no score, a rate is out of range, or an option was given another option's name.
    """
    check_values(cfg)
    if "tuning" in cfg.classifier:
        _check_fitted_alone(cfg)
    settings = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
    for path, node in _targets({k: v for k, v in settings.items() if k != "hydra"}):
        _check_signature(path, node)


def _check_fitted_alone(cfg: DictConfig) -> None:
    """Refuse what is learnt by steps alone, before it is built around a classical classifier."""
    chosen = {
        "context": cfg.get("context"),
        "data.dialogue_batches": cfg.data.get("dialogue_batches"),
        "distillation": cfg.get("distillation"),
        "initial": cfg.get("initial"),
    }
    for option, value in chosen.items():
        if value:
            raise InputError(
                f"{option}: expected none for a classical classifier, which is fitted at once on "
                f"vectors of single utterances; leave {option} out"
            )


def check_model(module: EmotionModule, trainer: lightning.Trainer) -> None:
    """Check what trains, once it is built.

    Raises:
        InputError: If optimizer or schedule cannot be built, or the trainer would choose no
            checkpoint, or one that nobody asked for.
    """
    with settings_of("optimizer"):
        optimizer = module.build_optimizer()
    with settings_of("scheduler"):
        if module.build_scheduler is not None:
            schedule: object = build_schedule(module.build_scheduler, optimizer, NUM_TRIAL_STEPS)
            if isinstance(schedule, ReduceLROnPlateau):
                raise InputError(
                    "scheduler: expected one that steps by itself, got ReduceLROnPlateau, which "
                    "waits for a score; choose another, and early stopping for the score"
                )
    _check_trainer(trainer)


def check_classical(
    classifier: ClassicalClassifier, trainer: lightning.Trainer, classes: Sequence[str]
) -> None:
    """Check what is fitted at once, once it is built.

    Args:
        classifier: The model.
        trainer: The run's.
        classes: Names of the classes.

    Raises:
        InputError: If there is no such metric to choose settings by, or there are several
            processes.
    """
    with settings_of("classifier.tuning"):
        named_metric(classifier.tuning.metric, classes)
    if trainer.world_size > 1:
        raise InputError(
            f"trainer: expected one process for a classical classifier, got {trainer.world_size}; "
            "it is fitted at once, leave trainer=ddp out"
        )


def _targets(node: object, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Everything in a config that is built, with where it stands."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield path, node
        for key, value in node.items():
            yield from _targets(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _targets(value, f"{path}[{index}]")


def _check_signature(path: str, node: dict[str, Any]) -> None:
    try:
        target: Callable[..., Any] = get_object(node["_target_"])
        parameters = inspect.signature(target).parameters
    except Exception as error:
        raise InputError(
            f"{path}._target_: expected the name of a class or function that can be imported, got "
            f"{node['_target_']} ({type(error.__cause__ or error).__name__}: "
            f"{error.__cause__ or error})"
        ) from error
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    if takes_any or (path == "loss" and not is_own_loss(target)):
        return
    others = {DIRECTION} if path.startswith(f"{GROUP}.") else set()
    for name in node:
        if not name.startswith("_") and name not in parameters and name not in others:
            close = get_close_matches(name, list(parameters), 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise InputError(
                f"{path}.{name}: expected a setting of {node['_target_']}, one of "
                f"{', '.join(parameters)}, got {name}{hint}"
            )


def _check_trainer(trainer: lightning.Trainer) -> None:
    given = cast(Any, trainer)
    if given.fast_dev_run:
        raise InputError(
            "trainer.fast_dev_run: expected false, as it saves no checkpoint, without which "
            f"nothing is evaluated; {TRIAL_RUN}"
        )
    if given.overfit_batches:
        raise InputError(
            "trainer.overfit_batches: expected 0, as validation would be of training utterances "
            "and choose by them; to see a model learn a few by heart: "
            "trainer.limit_train_batches=1 data.bucket_batches=0 and the training loss"
        )
    if given.limit_val_batches == 0:
        raise InputError(
            "trainer.limit_val_batches: expected more than 0, as the checkpoint is chosen on "
            f"validation; {TRIAL_RUN}"
        )
    # As a whole number it counts batches, as a share it is of all.
    if given.limit_predict_batches != 1.0 or isinstance(given.limit_predict_batches, int):
        raise InputError(
            "trainer.limit_predict_batches: expected 1.0, as every utterance of validation and "
            f"test is evaluated, got {given.limit_predict_batches}"
        )
    if given.check_val_every_n_epoch != 1 or given.val_check_interval not in (None, 1.0):
        raise InputError(
            "trainer: expected a validation after each epoch, which checkpoint, early stopping "
            f"and curves are of, got check_val_every_n_epoch={given.check_val_every_n_epoch} and "
            f"val_check_interval={given.val_check_interval}; leave both out"
        )
    if not isinstance(trainer.checkpoint_callback, ModelCheckpoint):
        raise InputError(
            "callbacks: expected a ModelCheckpoint, which chooses the evaluated weights, got none"
        )
    if any(isinstance(callback, StochasticWeightAveraging) for callback in given.callbacks):
        raise InputError(
            "callbacks: expected weights that validation chooses, got StochasticWeightAveraging, "
            "which averages after the last validation; lightning.pytorch.callbacks."
            "EMAWeightAveraging averages along the way, and is validated and saved"
        )


def check_devices(trainer: lightning.Trainer, has_strategy: bool) -> None:
    """Check that several processes on a CPU were asked for as such.

    Args:
        trainer: The run's.
        has_strategy: Whether a way for them to train together was chosen.

    Raises:
        InputError: If GPUs were counted, and there are none.
    """
    is_cpu = isinstance(trainer.accelerator, CPUAccelerator)
    if is_cpu and trainer.num_devices > 1 and not has_strategy:
        raise InputError(
            f"trainer.devices: expected 1 where there is no GPU, got {trainer.num_devices}; two "
            "processes on the CPU are trainer=ddp_cpu"
        )
