"""From the config group ``metrics`` to metrics of the user's own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from mmemo.errors import InputError
from mmemo.metric_table import DIRECTIONS, find_metric
from mmemo.training.monitored_scores import MonitoredScores

if TYPE_CHECKING:
    # Every command's config may ask for a direction, and few have such metrics.
    from mmemo.evaluation.own_metrics import OwnMetric

GROUP = "metrics"
TARGET = "_target_"
DIRECTION = "direction"


def monitored_direction(monitor: str | None, *, _root_: DictConfig) -> str:
    """Hydra's resolver ``direction``: ``min`` or ``max``, as follows from what is monitored.

    Args:
        monitor: ``val/uar`` and the like.
        _root_: The config that it stands in, which may have metrics of the user's own.
    """
    return MonitoredScores(None, own_directions(_root_)).direction(monitor)


def own_directions(cfg: DictConfig) -> dict[str, str]:
    """By name which way each of the user's metrics is better; "none" where nothing tells."""
    entries = _entries(cfg)
    return {name: str(_direction_of(entry) or "none") for name, entry in entries.items()}


def build_own_metrics(cfg: DictConfig, classes: Sequence[str]) -> tuple[OwnMetric, ...]:
    """The user's metrics.

    A class that takes ``num_classes`` or ``classes`` is given them.

    Args:
        cfg: A command's config.
        classes: Names of the classes, in label order.

    Raises:
        InputError: If one has the name of mmemo's, cannot be found or built, is of another kind,
            or nothing tells which way it is better.
    """
    return tuple(_built(name, entry, classes) for name, entry in _entries(cfg).items())


def _entries(cfg: DictConfig) -> dict[str, Mapping[str, Any]]:
    group = OmegaConf.select(cfg, GROUP)
    if not group:
        return {}
    plain = cast(dict[str, Any], OmegaConf.to_container(group, resolve=True))
    for name, entry in plain.items():
        if not isinstance(entry, Mapping) or not isinstance(entry.get(TARGET), str):
            raise InputError(
                f"{GROUP}.{name}: expected a metric with its _target_, got {entry}; write "
                f"+{GROUP}.{name}._target_=my_package.my_function"
            )
        if find_metric(name) is not None:
            raise InputError(
                f"{GROUP}.{name}: expected a name that no metric of mmemo has, got '{name}'; "
                "choose another"
            )
    return {name: entry for name, entry in plain.items()}


def _found(name: str, target: str) -> Any:  # noqa: ANN401
    try:
        return get_object(target)
    except Exception as error:
        raise InputError(
            f"{GROUP}.{name}.{TARGET}: expected the name of a class or function that can be "
            f"imported, got {target} ({error})"
        ) from error


def _direction_of(entry: Mapping[str, Any]) -> str | None:
    stated = entry.get(DIRECTION)
    if stated is not None:
        return str(stated)
    try:
        higher = getattr(get_object(entry[TARGET]), "higher_is_better", None)
    except Exception:
        # What cannot be imported is told where it is built.
        return None
    return None if higher is None else ("max" if higher else "min")


def _built(name: str, entry: Mapping[str, Any], classes: Sequence[str]) -> OwnMetric:
    from mmemo.evaluation.own_metrics import ARGUMENTS, OwnMetric

    target = _found(name, entry[TARGET])
    direction = _direction_of(entry)
    if direction not in DIRECTIONS:
        raise InputError(
            f"{GROUP}.{name}.{DIRECTION}: expected min or max, which is better, got "
            f"{direction or 'none'}; {entry[TARGET]} does not tell it"
        )
    settings = {k: v for k, v in entry.items() if k not in (TARGET, DIRECTION)}
    is_class = inspect.isclass(target)
    parameters = inspect.signature(target).parameters
    class_settings = {"num_classes": len(classes), "classes": list(classes)}
    settings |= {k: v for k, v in class_settings.items() if k in parameters and k not in settings}
    build = partial(target, **settings)
    made = OwnMetric(name, direction, build, is_torchmetrics=is_class)
    if is_class:
        _check_class(name, entry[TARGET], build)
    elif not made.taken():
        raise InputError(
            f"{GROUP}.{name}: expected a class of torchmetrics, or a function of any of "
            f"{', '.join(ARGUMENTS)}, got {entry[TARGET]}({', '.join(parameters)})"
        )
    _try_out(made, len(classes))
    return made


def _try_out(metric: OwnMetric, num_classes: int) -> None:
    """Before hours are spent on what it is to be of.

    Raises:
        InputError: If it fails, or gives something else than a number.
    """
    import numpy as np

    from mmemo.evaluation.own_metrics import Answers

    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(num_classes), size=4 * num_classes)
    target = np.tile(np.arange(num_classes), 4)
    metric.score(Answers(probabilities.argmax(axis=1), target, probabilities))


def _check_class(name: str, target: str, build: partial[Any]) -> None:
    try:
        metric = build()
    except Exception as error:
        raise InputError(
            f"{GROUP}.{name}: expected settings that {target} can be built with, got "
            f"{type(error).__name__}: {error}"
        ) from error
    if not all(callable(getattr(metric, part, None)) for part in ("update", "compute", "reset")):
        raise InputError(
            f"{GROUP}.{name}: expected a class of torchmetrics or a function, got {target}"
        )
