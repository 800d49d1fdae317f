"""Compose a command's config with Hydra, run it, and show its errors."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue

from mmemo.errors import InputError
from mmemo.folders import writable_folder

RESUMABLE_PREFIXES = ("trainer.", "hydra.")

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
    overrides = [_readable_by_hydra(override) for override in overrides]
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
        _fail(error)
    sys.argv = [sys.argv[0], *overrides]
    quiet_warnings()

    @hydra.main(version_base="1.3", config_path=str(folder), config_name=name)
    def run(cfg: DictConfig) -> Any:  # noqa: ANN401
        try:
            _check_torch_pair()
            _make_paths_absolute(cfg)
            return importlib.import_module(f"mmemo.commands.{command}").run(cfg)
        except Exception as error:
            problem = input_error(error)
            if problem is None or HydraConfig.get().mode == RunMode.MULTIRUN:
                raise
            _fail(problem)

    run()


def _named_folders(arguments: list[str]) -> list[str]:
    """Folders that were given without a name, as one setting."""
    is_folder = [not a.startswith("-") and ("=" not in a or Path(a).is_dir()) for a in arguments]
    folders = [a for a, found in zip(arguments, is_folder, strict=True) if found]
    others = [a for a, found in zip(arguments, is_folder, strict=True) if not found]
    quoted = [f"'{Path(folder).expanduser().absolute()}'" for folder in folders]
    return [*others, f"folders=[{','.join(quoted)}]"] if folders else others


def _join_slurms_first(overrides: list[str]) -> None:
    """In the other processes of a Slurm step of several: train along, then end."""
    if int(os.environ.get("SLURM_NTASKS", "1")) == 1:
        return
    from mmemo.training.slurm_processes import announced_run, slurm_rank

    rank = slurm_rank()
    if rank is not None and {"-m", "--multirun"} & set(overrides):
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


def _check_torch_pair() -> None:
    """Torch and torchaudio must be of one version, which the packages do not say."""
    versions = {name: version(name) for name in ("torch", "torchaudio")}
    if len({".".join(v.split(".")[:2]) for v in versions.values()}) > 1:
        raise InputError(
            f"expected torch and torchaudio of one version, got torch {versions['torch']} and "
            f"torchaudio {versions['torchaudio']}; install a pair: "
            f"pip install torch~={versions['torch'].split('+')[0]} "
            f"torchaudio~={versions['torch'].split('+')[0]}"
        )


def _readable_by_hydra(override: str) -> str:
    """Quote what Hydra's grammar would not read as a path: a run folder, a path in ``~``."""
    key, equals, value = override.partition("=")
    if not equals or value[:1] in ("'", '"'):
        return override
    if value.startswith("~"):
        return f"{key}='{Path(value).expanduser()}'"
    is_run = key in ("run", "resume", "prepared") and value
    is_path = key in PATH_KEYS and Path(value).exists()
    return f"{key}='{value}'" if is_run or is_path else override


def _make_paths_absolute(cfg: DictConfig) -> None:
    """A run must mean the same from whatever folder it is evaluated or resumed later."""
    for key in PATH_KEYS:
        value = OmegaConf.select(cfg, key)
        if isinstance(value, str):
            OmegaConf.update(cfg, key, str(Path(value).expanduser().absolute()))
    for key in CHECKPOINT_KEYS:
        value = OmegaConf.select(cfg, key)
        if isinstance(value, str) and Path(value).expanduser().is_dir():
            OmegaConf.update(cfg, key, str(Path(value).expanduser().absolute()))


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
            _fail(error)


def input_error(error: BaseException) -> InputError | None:
    """The user's error behind an exception; Hydra wraps what a constructor raises."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MissingMandatoryValue):
            key = cause.full_key or str(cause)
            return InputError(f"{key}: expected a value, got none; give it with {key}=…")
        if isinstance(cause, InputError):
            return cause
        cause = cause.__cause__
    return None


def _fail(error: InputError) -> None:
    print(f"mmemo: error: {error}", file=sys.stderr)
    sys.exit(1)
