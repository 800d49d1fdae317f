"""The config of a run as its folder keeps it: read as data, and built from only as far as trusted.

A run folder may come from somebody else. Hydra builds whatever a ``_target_`` names, and OmegaConf
resolves whatever a ``${...}`` asks for; so what is read here has targets of ``conf/`` alone, each
where ``conf/`` has it, or of packages that the user names, and looks at nothing but itself.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from omegaconf.grammar.gen.OmegaConfGrammarParser import OmegaConfGrammarParser
from omegaconf.grammar_parser import parse

from mmemo.documents import damaged, read_text, reason
from mmemo.errors import InputError
from mmemo.runs.listed_targets import ITEM, Place, listed_targets
from mmemo.runs.run_folder import RESTORE, RunFolder

MAX_BYTES = 1 << 20

INNER_RESOLVERS = ("oc.select", "oc.dict.values", "oc.dict.keys")
"""Those that look at the config itself and nothing else. ``oc.decode`` and ``oc.create`` are not
among them: what they read in a text is resolved in turn."""

WHAT = "the config of a run"

BUILT_PARTS = (
    *("labels", "split", "data", "fusion", "classifier", "module", "optimizer", "loss"),
    *("trainer", "feature_cache", "preparer", "corpus"),
)
"""Parts that every run has and that are built."""

LATER_PARTS = ("subgroups", "abstention", "context", "initial", "distillation")
"""Parts that runs of an earlier mmemo lack, and that are built where they are there."""

OPTIONAL_PARTS = ("audio_encoder", "text_encoder", "scheduler", "denoiser", "logger")

_RESERVED = re.compile(r"_\w+_")

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class SavedConfig:
    """A config that was read and checked.

    Args:
        composed: As it was composed, with references inside itself alone; ``run_dir`` is the
            folder as it is called now.
        resolved: The config with a value in place of each reference.
    """

    composed: dict[str, Any]
    resolved: DictConfig


def trusted_names(given: object) -> tuple[str, ...]:
    """What the option ``trust`` names: packages, modules or classes.

    Args:
        given: A name, a list of them, or None.

    Raises:
        InputError: If it is none of these.
    """
    names = [given] if isinstance(given, str) else given
    if names is None:
        return ()
    if not isinstance(names, Sequence) or not all(isinstance(n, str) and n for n in names):
        raise InputError(
            f"trust: expected names of packages or classes, got {given}; write "
            "trust=[my_package,other.module.MyClass]"
        )
    return tuple(names)


def save_composed(path: Path, cfg: DictConfig) -> None:
    """Write a run's config with its references inside itself; all others are resolved.

    What looks outside, at the environment, the time or Hydra's job, would say something else
    where the run is built again.
    """
    composed = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=False))
    composed |= {"run_dir": None, "resume": None}
    composed.pop("trust", None)
    closed = OmegaConf.create(_closed(composed, cfg, ""))
    path.write_text(OmegaConf.to_yaml(closed), encoding="utf-8")


def _closed(node: Any, cfg: DictConfig, place: str) -> Any:  # noqa: ANN401
    if isinstance(node, dict):
        return {
            key: _closed(value, cfg, f"{place}.{key}" if place else str(key))
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_closed(value, cfg, f"{place}[{index}]") for index, value in enumerate(node)]
    if not isinstance(node, str) or not _outside(node):
        return node
    value = OmegaConf.select(cfg, place)
    if OmegaConf.is_config(value):
        return OmegaConf.to_container(value, resolve=True)
    return value.replace("${", r"\${") if isinstance(value, str) else value


def _outside(text: str) -> list[str]:
    """Resolvers in a text that look at more than the config."""
    if "${" not in text:
        return []
    found = []
    waiting: list[Any] = [parse(text)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, OmegaConfGrammarParser.InterpolationResolverContext):
            # The first child but one: what stands between "${" and ":".
            found.append(str(node.getChild(1).getText()))
        waiting += getattr(node, "children", None) or []
    return [name for name in found if name not in INNER_RESOLVERS]


def read_saved_config(folder: RunFolder, trusted: Sequence[str] = ()) -> SavedConfig:
    """Read the config of a run.

    Args:
        folder: The run's.
        trusted: Packages, modules or classes that the user lets it build, beside mmemo's own.

    Raises:
        InputError: If it is missing or damaged, would build what is neither listed nor trusted,
            or looks outside itself.
    """
    path = folder.composed_config_file
    composed, plain = _resolved(folder)
    _check_built(path, plain, tuple(trusted))
    _check_package(path, plain, tuple(trusted))
    _check_own_paths(path, plain, folder)
    _check_shape(path, plain)
    folder.check_digest(path)
    return SavedConfig(composed, OmegaConf.create(plain))


def names_to_trust(folder: RunFolder) -> list[str] | None:
    """What a run builds beside what mmemo itself does: its own classes, by name.

    Returns:
        Names for ``trusted``; None where the run is not built again whatever is trusted.

    Raises:
        InputError: If its config is missing, damaged, or looks outside itself.
    """
    _, plain = _resolved(folder)
    names = [name for _, _, name in _refused(plain, (), ())]
    known = [name for name in names if name is not None]
    return list(dict.fromkeys(known)) if len(known) == len(names) else None


def _resolved(folder: RunFolder) -> tuple[dict[str, Any], dict[str, Any]]:
    """The config as it was composed, for where the folder lies now, and with its values alone."""
    path = folder.composed_config_file
    composed = _parsed(path)
    _check_references(path, composed)
    composed |= {"run_dir": str(folder.path).replace("${", r"\${"), "resume": None}
    try:
        resolved = OmegaConf.to_container(OmegaConf.create(composed), resolve=True)
    except (OmegaConfBaseException, ValueError, RecursionError) as error:
        raise damaged(path, WHAT, f"it does not resolve: {reason(error)}", RESTORE) from error
    return composed, cast(dict[str, Any], resolved)


def _parsed(path: Path) -> dict[str, Any]:
    """Plain keys and values, with references as they stand.

    Raises:
        InputError: If it is not YAML of a mapping, or gives orders to Hydra.
    """
    text = read_text(path, WHAT, RESTORE)
    if len(text) > MAX_BYTES:
        raise damaged(path, WHAT, f"it is larger than {MAX_BYTES} bytes", RESTORE)
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader)):
            raise damaged(path, WHAT, "it has YAML aliases, which mmemo never writes", RESTORE)
        plain = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    except (yaml.YAMLError, OmegaConfBaseException, RecursionError, ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise damaged(path, WHAT, f"it is not YAML: {reason(error)}", RESTORE) from error
    if not isinstance(plain, dict):
        raise damaged(path, WHAT, "it is not a mapping", RESTORE)
    for place, value in _values(plain):
        if not isinstance(value, str | int | float | bool | None):
            kind = type(value).__name__
            raise damaged(path, WHAT, f"{_dotted(place)}: a value of type {kind}", RESTORE)
    orders = [str(k) for k in plain if k == "defaults" or re.split(r"[/@.]", str(k))[0] == "hydra"]
    if orders or not all(isinstance(key, str) for key in plain):
        problem = f"{', '.join(orders) or 'a key that is no text'}: mmemo never writes it"
        raise damaged(path, WHAT, problem, RESTORE)
    return cast(dict[str, Any], plain)


def _values(node: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:  # noqa: ANN401
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _values(value, (*place, str(key)))
    elif isinstance(node, list):
        for value in node:
            yield from _values(value, (*place, ITEM))
    else:
        yield place, node


def _dotted(place: Place) -> str:
    return ".".join(place).replace(f".{ITEM}", ITEM)


def _check_references(path: Path, composed: dict[str, Any]) -> None:
    """No reference to the environment, a file or a resolver of anybody's.

    Those of mmemo's own configs may stand where they do there: it has once written them.
    """
    listed = listed_targets().expressions
    for place, value in _values(composed):
        if not isinstance(value, str) or "${" not in value or place == ("run_dir",):
            continue
        try:
            outside = _outside(value)
        except OmegaConfBaseException as error:
            raise damaged(path, WHAT, f"{_dotted(place)}: {reason(error)}", RESTORE) from error
        if outside and value not in listed.get(_plain_place(place), ()):
            raise InputError(
                f"{path}: expected references inside itself alone, got "
                f"{_dotted(place)}: {value}, which looks outside ({', '.join(outside)}); write "
                "the value there, if the run is yours"
            )


def _check_built(path: Path, resolved: dict[str, Any], trusted: tuple[str, ...]) -> None:
    refused = list(_refused(resolved, (), trusted))
    for place, value in _values(resolved):
        if isinstance(value, str) and "${" in value:
            raise InputError(
                f"{path}: expected values without further references, got {_dotted(place)}: "
                f"{value}; {RESTORE}"
            )
    if not refused:
        return
    places = "; ".join(
        f"{_dotted(place) or 'the root'}: {problem}" for place, problem, _ in refused
    )
    names = list(dict.fromkeys(name for _, _, name in refused if name))
    remedy = (
        f"a run folder from somebody else can run any code in this way. If you know that code, "
        f"add 'trust=[{','.join(names)}]' to the command"
        if names and all(name for _, _, name in refused)
        else "do not use this folder"
    )
    raise InputError(f"{path}: expected what mmemo's own configs build, got {places}; {remedy}")


def _refused(
    node: Any,  # noqa: ANN401
    place: Place,
    trusted: tuple[str, ...],
) -> Iterator[tuple[Place, str, str | None]]:
    """What is not built: where, why, and the name that could be trusted."""
    if isinstance(node, list):
        for value in node:
            yield from _refused(value, (*place, ITEM), trusted)
        return
    if not isinstance(node, dict):
        return
    if not is_trusted(node.get("_target_"), trusted):
        yield from _problems(node, place)
    for key, value in node.items():
        if key != "_target_":
            yield from _refused(value, (*place, str(key)), trusted)


def _problems(node: Mapping[str, Any], place: Place) -> Iterator[tuple[Place, str, str | None]]:
    listed = listed_targets().targets.get(_plain_place(place), {})
    target = node.get("_target_")
    is_listed = isinstance(target, str) and target in listed
    if "_target_" in node and not is_listed:
        yield place, f"_target_: {target}", _name_to_trust(target)
    elif is_listed and node.get("_partial_", False) is not listed[str(target)]:
        yield place, f"_partial_: {node.get('_partial_')} of {target}", None
    for key in node:
        if _RESERVED.fullmatch(str(key)) and key not in ("_target_", "_partial_"):
            yield place, f"{key}", None


def _plain_place(place: Place) -> Place:
    """One of several corpora is built as one alone."""
    is_part = place[:2] == ("corpus", "parts") and len(place) > 2
    return ("corpus", *place[3:]) if is_part else place


def _name_to_trust(target: object) -> str | None:
    """A target as the option takes it; None where no model has any use for it."""
    if not isinstance(target, str) or not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", target):
        return None
    return None if target.partition(".")[0] in sys.stdlib_module_names else target


def _check_package(path: Path, resolved: Mapping[str, Any], trusted: tuple[str, ...]) -> None:
    """The package that a denoiser's file is looked for in is imported, which runs its code."""
    part = resolved.get("denoiser")
    package = part.get("package") if isinstance(part, dict) else None
    if package is None or package in listed_targets().packages or is_trusted(package, trusted):
        return
    raise InputError(
        f"{path}: expected a denoiser out of {', '.join(sorted(listed_targets().packages))}, got "
        f"denoiser.package: {package}, which would be imported; if you know that code, add "
        f"'trust=[{package}]' to the command"
    )


def _check_own_paths(path: Path, resolved: dict[str, Any], folder: RunFolder) -> None:
    """What a run writes in its own folder stays there."""
    own = set(listed_targets().own_paths())
    for place, value in _values(resolved):
        if place not in own or value is None:
            continue
        inside = Path(os.path.normpath(str(value)))
        if not isinstance(value, str) or (
            inside != folder.path and folder.path not in inside.parents
        ):
            raise damaged(
                path, WHAT, f"{_dotted(place)}: {value} is not in the run's folder", RESTORE
            )


def _check_shape(path: Path, resolved: Mapping[str, Any]) -> None:
    """The parts that every run has, and of which kind they are."""
    for name in BUILT_PARTS:
        part = resolved.get(name)
        if not isinstance(part, dict) or "_target_" not in part:
            raise damaged(path, WHAT, f"{name}: it has nothing to build", RESTORE)
    for name in (*OPTIONAL_PARTS, *LATER_PARTS):
        if name not in resolved and name in OPTIONAL_PARTS:
            raise damaged(path, WHAT, f"{name}: it is missing", RESTORE)
        part = resolved.get(name)
        if part and (not isinstance(part, dict) or "_target_" not in part):
            raise damaged(path, WHAT, f"{name}: it is neither null nor something to build", RESTORE)
    callbacks = resolved.get("callbacks")
    checkpoint = callbacks.get("checkpoint") if isinstance(callbacks, dict) else None
    kinds: tuple[tuple[Any, str, type | tuple[type, ...]], ...] = (
        (resolved, "name", str),
        (resolved, "seed", int),
        (resolved, "compile", bool),
        (resolved, "min_duration_s", (int, float)),
        (resolved["data"], "max_duration_s", (int, float)),
        (checkpoint, "monitor", str),
        (checkpoint, "mode", str),
    )
    for part, key, kind in kinds:
        value = part.get(key) if isinstance(part, dict) else None
        if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
            raise damaged(path, WHAT, f"{key}: {value!r} cannot be", RESTORE)


def is_trusted(target: Any, trusted: tuple[str, ...]) -> bool:  # noqa: ANN401
    """Whether a target is one that the user has named, or is in a package of theirs."""
    return isinstance(target, str) and any(
        target == name or target.startswith(f"{name}.") for name in trusted
    )
