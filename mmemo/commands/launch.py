"""Compose a command's config with Hydra, run it, and show its errors."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import warnings
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf

from mmemo.commands.input_errors import fail, input_error
from mmemo.commands.user_paths import make_paths_absolute, readable_by_hydra
from mmemo.errors import InputError
from mmemo.folders import writable_folder

RESUMABLE_PREFIXES = ("trainer.", "hydra.")
NEED_TORCH = ("train", "evaluate", "explain")
"""Commands that import torch; preparing needs none."""


def _sweep_name(typed: ListConfig) -> str:
    from mmemo.evaluation.sweep_cells import sweep_name

    # As typed: what an override refers to is not there yet.
    return sweep_name(cast(list[str], OmegaConf.to_container(typed, resolve=False)))


OmegaConf.register_new_resolver("sweep_name", _sweep_name, replace=True)


def config_dir() -> Path:
    """Folder with the configs: in the package when it was installed, else beside it."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def launch(command: str, overrides: list[str]) -> None:
    """Run ``mmemo.commands.<command>.run(cfg)`` on the composed config.

    An error of the user's is printed as one message, with exit status 1; in a sweep the other
    jobs run first.
    """
    typed = overrides
    overrides = [readable_by_hydra(override) for override in overrides]
    # Hydra reads no override behind a flag that stands behind another override.
    overrides.sort(key=lambda argument: argument not in ("-m", "--multirun"))
    folder, name = config_dir(), command
    try:
        if command == "compare":
            overrides = _named_folders(overrides)
        if command == "train":
            _join_slurms_first(overrides)
            folder, name, overrides = _resumed(folder, name, overrides)
    except InputError as error:
        fail(error)
    sys.argv = [sys.argv[0], *overrides]

    def work(cfg: DictConfig) -> Any:  # noqa: ANN401
        quiet_warnings()
        if command in NEED_TORCH:
            from mmemo.audio.torchaudio_check import check_torchaudio

            check_torchaudio()
        make_paths_absolute(cfg)
        module = importlib.import_module(f"mmemo.commands.{command}")
        _collect_from_now_on()
        return module.run(cfg)

    @hydra.main(version_base="1.3", config_path=str(folder), config_name=name)
    def run(cfg: DictConfig) -> Any:  # noqa: ANN401
        is_sweep = HydraConfig.get().mode == RunMode.MULTIRUN
        if is_sweep and command == "train":
            from mmemo.commands.cell import run_cell

            return run_cell(cfg, work)
        try:
            return work(cfg)
        except Exception as error:
            problem = input_error(error)
            if problem is None or is_sweep:
                raise
            fail(problem)

    with _around_plugins(typed) if command == "train" else nullcontext():
        run()


def _collect_from_now_on() -> None:
    """Begin to look for garbage, which a command starts without, in what is new alone."""
    if not gc.get_freeze_count():
        gc.freeze()
    gc.enable()


def _around_plugins(typed: list[str]) -> AbstractContextManager[None]:
    # Imported here: what a sweep needs costs the other commands a tenth of a second.
    from mmemo.commands.sweep import Sweep

    return Sweep(typed).around_plugins()


def _named_folders(arguments: list[str]) -> list[str]:
    """Folders that were given without a name, as one setting; patterns are expanded."""
    is_folder = [not a.startswith("-") and ("=" not in a or Path(a).is_dir()) for a in arguments]
    named = [a for a, found in zip(arguments, is_folder, strict=True) if found]
    others = [a for a, found in zip(arguments, is_folder, strict=True) if not found]
    folders = [str(Path(name).expanduser().absolute()) for name in named]
    found_folders = [match for folder in folders for match in _matches(folder)]
    quoted = ["'" + folder.replace("'", "\\'") + "'" for folder in found_folders]
    return [*others, f"folders=[{','.join(quoted)}]"] if folders else others


def _matches(folder: str) -> list[str]:
    """A folder that is there, or those that a pattern finds where the shell has not looked."""
    path = Path(folder)
    pattern = str(path.relative_to(path.anchor))
    found = [] if path.exists() else sorted(Path(path.anchor).glob(pattern))
    return [str(match) for match in found if match.is_dir()] or [folder]


def _join_slurms_first(overrides: list[str]) -> None:
    """In the other processes of a Slurm step of several: train along, then end."""
    if int(os.environ.get("SLURM_NTASKS", "1")) == 1:
        return
    from mmemo.training.slurm_processes import announced_run, slurm_rank

    rank = slurm_rank()
    is_sweep = any(o in ("-m", "--multirun") or o.startswith("+sweep=") for o in overrides)
    if rank is not None and is_sweep:
        if rank > 0:
            sys.exit(1)
        raise InputError(
            "trainer=slurm: expected one run in a step of several processes, got a sweep (-m); "
            "start a job for each run, or let hydra/launcher=submitit_slurm do it"
        )
    if rank:
        from mmemo.commands.follow import train_along

        run = announced_run()
        if run is not None:
            train_along(run)
        sys.exit(0)


def quiet_warnings() -> None:
    """Silence what a user can do nothing about."""
    for message in (
        # A name that Lightning uses and torch has deprecated.
        r".*isinstance\(treespec, LeafSpec\)",
        # A frozen encoder is in evaluation mode on purpose.
        r"Found \d+ module\(s\) in eval mode",
        # The data module itself leaves out the batches that were taken before the interruption.
        r"You're resuming from a checkpoint that ended before the epoch ended",
        # It is not, where a run goes on.
        r"Checkpoint directory .* exists and is not empty",
        # Ours gives every utterance once.
        r"You are using a custom batch sampler",
    ):
        warnings.filterwarnings("ignore", message=message)


def _resumed(folder: Path, name: str, overrides: list[str]) -> tuple[Path, str, list[str]]:
    """Where ``resume=RUN`` is given: the config of that run, in that run's folder."""
    runs = [o.partition("=")[2].strip("'\"") for o in overrides if o.startswith("resume=")]
    if not runs or runs[-1] in ("", "null"):
        return folder, name, [o for o in overrides if not o.startswith("resume=")]
    from mmemo.evaluation.runs import RunFolder

    run = RunFolder.open(runs[-1])
    others = [o for o in overrides if not o.startswith("resume=")]
    foreign = [o for o in others if "=" in o and not o.startswith(RESUMABLE_PREFIXES)]
    if foreign:
        raise InputError(
            f"resume={run.path}: expected no change but to trainer.*, got {' '.join(foreign)}; a "
            "run with other settings is a new run: leave resume out"
        )
    others += [f"resume='{run.path}'", f"hydra.run.dir='{run.path}'", "hydra.output_subdir=null"]
    return run.composed_config_file.parent, run.composed_config_file.stem, others


class WritableFolders(Callback):
    """Try the output folder before Hydra makes the run's folder in it."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ANN401
        """Check before a single run."""
        self._check(config, "hydra.run.dir")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ANN401
        """Check before a sweep."""
        self._check(config, "hydra.sweep.dir")

    @staticmethod
    def _check(config: DictConfig, folder_key: str) -> None:
        try:
            for key in ("output_dir", folder_key):
                writable_folder(OmegaConf.select(config, key), key)
        except InputError as error:
            fail(error)
