"""Compose a command's config with Hydra, run it, and show its errors."""

from __future__ import annotations

import gc
import hashlib
import importlib
import os
import re
import shlex
import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from mmemo.commands.quiet_warnings import quiet_warnings
from mmemo.errors import InputError
from mmemo.folders import config_dir, writable_folder
from mmemo.runs.input_errors import fail, input_error
from mmemo.runs.joint_option import of_swept_corpora, with_joint_corpora
from mmemo.runs.label_overrides import with_own_labels
from mmemo.runs.overrides import make_paths_absolute, quoted, readable_by_hydra, typed_text
from mmemo.runs.own_metrics import monitored_direction
from mmemo.sweep.listing import DRY_RUN, check_listable, is_sweep_of_cells

RESUMABLE = re.compile(r"\+{0,2}(trainer\.|hydra\.|callbacks\.early_stopping[.=])")
FLAGS_WITH_VALUE = (
    *("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn"),
    *("--config-dir", "-cd", "--experimental-rerun"),
)
INFO = ("--info", "-i")
INFO_CHOICES = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
CACHE_VARIABLES = ("MMEMO_CACHE", "XDG_CACHE_HOME")
SPLIT_OPTIONS = {"explain": "explained_split", "evaluate": "evaluated_split"}
"""By command what its setting split=… stands for."""

NEED_TORCH = ("train", "evaluate", "explain", "predict", "serve", "stress", "export")
"""Commands that import torch; preparing needs none."""


def _sweep_name(typed: ListConfig) -> str:
    from mmemo.sweep.cells import sweep_name

    # As typed: what an override refers to is not there yet.
    return sweep_name(cast(list[str], OmegaConf.to_container(typed, resolve=False)))


OmegaConf.register_new_resolver("sweep_name", _sweep_name, replace=True)


def run_folder() -> str:
    """The folder of Hydra's job; where none runs, the one that it would have."""
    cfg = HydraConfig.get()
    is_running = not OmegaConf.is_missing(cfg.runtime, "output_dir")
    return str(cfg.runtime.output_dir if is_running else cfg.run.dir)


OmegaConf.register_new_resolver("run_folder", run_folder, replace=True)
OmegaConf.register_new_resolver("direction", monitored_direction, replace=True)


def launch(command: str, overrides: list[str]) -> None:
    """Run ``mmemo.commands.<command>.run(cfg)`` on the composed config.

    An error of the user's is printed as one message, with exit status 1; in a sweep the other
    jobs run first.
    """
    forget_empty_variables()
    try:
        step = _slurms_step(command, overrides)
    except InputError as error:
        fail(error)
    with step:
        _launch(command, overrides)


def _launch(command: str, overrides: list[str]) -> None:
    typed = overrides
    is_sweep = any(argument in ("-m", "--multirun") for argument in overrides)
    try:
        flags, overrides = _flags_and_overrides([o for o in typed if o != DRY_RUN])
    except InputError as error:
        fail(error)
    folder, name = config_dir(), command
    try:
        overrides = _meant(command, overrides, is_sweep)
        check_listable(command, typed)
        if command == "train":
            folder, name, overrides = _resumed(folder, name, overrides, is_sweep_of_cells(typed))
            overrides = [_any_of_lightnings(override) for override in overrides]
            if is_sweep_of_cells(typed):
                overrides += _sweep_settings(typed)
    except InputError as error:
        fail(error)
    sys.argv = [sys.argv[0], *flags, *overrides]

    composed: list[DictConfig] = []

    def work(cfg: DictConfig) -> Any:  # noqa: ANN401
        quiet_warnings(is_training=command == "train")
        make_paths_absolute(cfg)
        if command in NEED_TORCH:
            from mmemo.commands.early_checks import check_early

            check_early(command, cfg)
            from mmemo.audio.torchaudio_check import check_torchaudio

            check_torchaudio()
        module = importlib.import_module(f"mmemo.commands.{command}")
        _collect_from_now_on()
        return module.run(cfg)

    @hydra.main(version_base="1.3", config_path=str(folder), config_name=name)
    def run(cfg: DictConfig) -> Any:  # noqa: ANN401
        composed.append(cfg)
        is_sweep = HydraConfig.get().mode == RunMode.MULTIRUN
        if is_sweep and command == "train":
            from mmemo.sweep.cell import run_cell

            return run_cell(cfg, work)
        try:
            return work(cfg)
        except Exception as error:
            problem = input_error(error)
            if problem is None or is_sweep:
                raise
            fail(problem)

    try:
        run()
    except SystemExit as end:
        if end.code == 1 and not composed:
            _suggest_command(command, typed)
        raise


def _meant(command: str, overrides: list[str], is_sweep: bool) -> list[str]:
    """Overrides as Hydra reads them, from overrides as users type them."""
    overrides = with_joint_corpora(overrides)
    overrides = [readable_by_hydra(override, is_sweep) for override in overrides]
    overrides = with_own_labels(overrides)
    overrides = of_swept_corpora(overrides) if is_sweep else overrides
    if command == "compare":
        overrides = _named_folders(overrides)
    if command in SPLIT_OPTIONS:
        # Hydra looks for split among the ways to split a corpus, which are training's.
        meant = f"{SPLIT_OPTIONS[command]}="
        overrides = [re.sub("^split=", meant, o) for o in overrides]
    return overrides


def _suggest_command(command: str, typed: list[str]) -> None:
    """Behind Hydra's word on a config that does not compose."""
    from mmemo.commands.command_help import did_you_mean

    for hint in did_you_mean(command, typed, config_dir()):
        print(f"mmemo: {hint}", file=sys.stderr)


def forget_empty_variables() -> None:
    """An empty variable is as one that is not set; W&B would refuse it, and paths begin at /."""
    for name, value in list(os.environ.items()):
        if not value and (name.startswith("WANDB_") or name in CACHE_VARIABLES):
            del os.environ[name]


def _collect_from_now_on() -> None:
    """Begin to look for garbage, which a command starts without, in what is new alone."""
    if not gc.get_freeze_count():
        gc.freeze()
    gc.enable()


def _flags_and_overrides(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Flags with their values, and all else: Hydra reads flags in front of overrides alone.

    Raises:
        InputError: If flags exclude each other.
    """
    flags: list[str] = []
    overrides: list[str] = []
    for place, argument in enumerate(arguments):
        before = arguments[place - 1] if place else ""
        is_value = before in FLAGS_WITH_VALUE or (before in INFO and argument in INFO_CHOICES)
        (flags if argument.startswith("-") or is_value else overrides).append(argument)
        if argument in INFO and not set(arguments[place + 1 : place + 2]) & set(INFO_CHOICES):
            flags.append("all")
    if {"-m", "--multirun"} & set(flags) and {"--cfg", "-c", *INFO} & set(flags):
        raise InputError(
            "--cfg, --info: expected one run to show, got -m; leave -m out and give each setting "
            "one value"
        )
    return flags, overrides


def _sweep_settings(typed: list[str]) -> list[str]:
    """What a sweep has to know beside its config: the command, and whether its cells are run."""
    # Without '${', which would be resolved once more each time that Hydra builds something of it.
    command = quote(shlex.join(["mmemo", "train", *typed]), safe=" /=,:+[]@'")
    settings = {"command": quoted(command)}
    settings["is_dry"] = str(DRY_RUN in typed).lower()
    return [f"hydra.callbacks.cells.{key}={value}" for key, value in settings.items()]


def _any_of_lightnings(override: str) -> str:
    """Let ``trainer.*`` name what conf/trainer does not: all that Lightning's trainer takes.

    What it does not take is refused before the trainer is built.
    """
    return f"++{override}" if override.startswith("trainer.") else override


def _named_folders(arguments: list[str]) -> list[str]:
    """Folders that were given without a name, as one setting; patterns are expanded."""
    is_folder = [not a.startswith("-") and ("=" not in a or Path(a).is_dir()) for a in arguments]
    named = [a for a, found in zip(arguments, is_folder, strict=True) if found]
    others = [a for a, found in zip(arguments, is_folder, strict=True) if not found]
    folders = [str(Path(name).expanduser().absolute()) for name in named]
    found_folders = [match for folder in folders for match in _matches(folder)]
    named = [quoted(folder) for folder in found_folders]
    return [*others, f"folders=[{','.join(named)}]"] if folders else others


def _matches(folder: str) -> list[str]:
    """A folder that is there, or those that a pattern finds where the shell has not looked."""
    path = Path(folder)
    pattern = str(path.relative_to(path.anchor))
    found = [] if path.exists() else sorted(Path(path.anchor).glob(pattern))
    return [str(match) for match in found if match.is_dir()] or [folder]


def _slurms_step(command: str, overrides: list[str]) -> AbstractContextManager[object]:
    """In the first process of a Slurm step of several: what the others wait for.

    The others train along here, and end.

    Raises:
        InputError: If a sweep is asked for.
    """
    if command != "train" or int(os.environ.get("SLURM_NTASKS", "1")) == 1:
        return nullcontext()
    from mmemo.training.slurm_processes import SlurmStep, slurm_rank

    rank = slurm_rank()
    if rank is None:
        return nullcontext()
    if is_sweep_of_cells(overrides):
        if rank > 0:
            sys.exit(1)
        raise InputError(
            "trainer=slurm: expected one run in a step of several processes, got a sweep (-m); "
            "start a job for each run, or let hydra/launcher=submitit_slurm do it"
        )
    if rank > 0:
        from mmemo.commands.ddp_worker import follow_in_slurm

        sys.exit(follow_in_slurm())
    return SlurmStep()


def _resumed(
    folder: Path, name: str, overrides: list[str], is_sweep: bool = False
) -> tuple[Path, str, list[str]]:
    """Where ``resume=RUN`` is given: the config of that run."""
    runs = [typed_text(o) for o in overrides if o.startswith("resume=") and o != "resume="]
    if not runs or runs[-1] in ("", "None"):
        return folder, name, [o for o in overrides if not o.startswith("resume=")]
    from mmemo.runs.run_folder import RunFolder
    from mmemo.runs.saved_config import read_saved_config, trusted_names

    run = RunFolder.open(runs[-1])
    if is_sweep:
        raise InputError(
            f"resume={run.path}: expected one run to continue, got a sweep (-m); a sweep goes on "
            "by its own command"
        )
    trust = [o for o in overrides if o.startswith("trust=")]
    others = [o for o in overrides if not o.startswith(("resume=", "trust="))]
    foreign = [o for o in others if "=" in o and not RESUMABLE.match(o)]
    if foreign:
        raise InputError(
            f"resume={run.path}: expected no change but to trainer.* and "
            f"callbacks.early_stopping.*, got {' '.join(foreign)}; a run with other settings is a "
            "new run: leave resume out"
        )
    parser = OverridesParser.create()
    trusted = [name for o in trust for name in trusted_names(parser.parse_override(o).value())]
    saved = read_saved_config(run, trusted)
    # As a value, not as a file in the run's folder: Hydra obeys what a file says of defaults,
    # callbacks and launchers.
    name = f"resumed_{hashlib.sha256(repr(saved.composed).encode()).hexdigest()[:8]}"
    ConfigStore.instance().store(name, saved.composed)
    path = quoted(str(run.path))
    # What the run was made of is opened again; its own saved config trusts nothing.
    others += [f"++{o}" for o in trust]
    others += [f"resume={path}", f"hydra.run.dir={path}", "hydra.output_subdir=null"]
    return folder, name, others


def _claimed(path: Path) -> str:
    """A folder that nobody else has: the path, or the path with -2, -3 and so on."""
    number, place = 1, path
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                place.mkdir()
            except FileExistsError:
                number += 1
                place = path.with_name(f"{path.name}-{number}")
            else:
                break
    return str(place)


class WritableFolders(Callback):
    """Try the output folder before Hydra makes the run's folder in it."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ANN401
        """Check before a single run; one that began in the same second keeps its folder."""
        given = [*config.hydra.overrides.hydra]
        if not any(o.lstrip("+").startswith("hydra.run.dir=") for o in given):
            with open_dict(config.hydra):
                config.hydra.run.dir = _claimed(Path(config.hydra.run.dir))
        self._check(config, "hydra.run.dir")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ANN401
        """Check before a sweep."""
        self._check(config, "hydra.sweep.dir")

    @staticmethod
    def _check(config: DictConfig, folder_key: str) -> None:
        try:
            for key in ("output_dir", folder_key):
                folder = OmegaConf.select(config, key)
                if "${" in str(folder):
                    raise InputError(
                        f"{key}: expected a path without '${{', by which Hydra begins a reference, "
                        f"got {folder}"
                    )
                writable_folder(folder, key)
        except InputError as error:
            fail(error)
