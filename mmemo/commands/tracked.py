"""A training whose run folder is followed on Weights & Biases."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import lightning
import pandas as pd
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from mmemo.comparison.run_groups import has_effect
from mmemo.corpora.annotations import OWN_SPLIT
from mmemo.corpora.splits import OfficialSplit
from mmemo.reporting.tracking import log_results, run_config
from mmemo.runs.run_files import WandbInfo, read_history
from mmemo.runs.run_folder import RunFolder
from mmemo.training.pruning import PrunedError
from mmemo.training.wandb_logger import TolerantWandbLogger, WandbIdentity, WandbLabels

SEED_AND_DIGEST = re.compile(r"-?seed\d+(-[0-9a-f]{8})?")
DIGEST = re.compile(r"-[0-9a-f]{8}(?=(-[A-Z]+)?$)")
OFFICIAL = OfficialSplit.name
MAX_TAG_LENGTH = 64
"""Of W&B's tags."""

FAILED, KILLED = 1, 255
"""Exit codes that W&B shows as these states."""


@contextmanager
def tracked(folder: RunFolder, cfg: DictConfig, trainer: lightning.Trainer) -> Iterator[None]:
    """Open the run on W&B, let it be trained and evaluated, log its results and close it.

    Its id stays in ``run.json``: a run that is continued is the same one on W&B. Where the
    trainer has another logger, nothing is done.
    """
    found = [logger for logger in trainer.loggers if isinstance(logger, TolerantWandbLogger)]
    if not found:
        yield
        return
    logger = found[0]
    card = _card(folder, cfg, logger)
    # Before it is opened: the id survives a kill at any moment.
    folder.write_info(wandb=card)
    labels = WandbLabels(
        card.name or folder.path.name,
        card.group,
        SEED_AND_DIGEST.sub("", folder.path.name) if card.group else cfg.name,
        _tags(folder, cfg),
    )
    identity = WandbIdentity(card.id, card.project, card.entity)
    logger.begin(identity, labels, run_config(folder), _history(folder))
    card = replace(card, url=logger.url, files=logger.files)
    folder.write_info(wandb=card)
    try:
        yield
    except PrunedError:
        logger.end(0)
        raise
    except BaseException as error:
        logger.end(KILLED if isinstance(error, KeyboardInterrupt | SystemExit) else FAILED)
        raise
    if logger.run is not None:
        with logger.tolerated():
            log_results(logger.run, folder, logger.num_examples, logger.log_checkpoint)
    folder.write_info(wandb=replace(card, uploaded=logger.end(0)))


def print_tracking(folder: RunFolder) -> None:
    """Print where the run is on W&B, or what uploads it."""
    card = folder.read_info().wandb
    if card is None:
        return
    if card.uploaded:
        print(f"{'W&B':>17}: {card.url}")
    elif card.files:
        command = f"wandb sync {shlex.quote(str(folder.path / card.files))}"
        print(f"{'W&B':>17}: not uploaded yet; to do that: {command}")


def _card(folder: RunFolder, cfg: DictConfig, logger: TolerantWandbLogger) -> WandbInfo:
    """What ``run.json`` says of the run on W&B; of a run that begins, what it will."""
    stored = folder.read_info().wandb
    if stored is not None:
        return replace(stored, url=None, files=None, uploaded=False)
    group = None
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        sweep, outputs = folder.path.parent, Path(cfg.output_dir)
        group = str(sweep.relative_to(outputs) if outputs in sweep.parents else sweep.name)
    identity = logger.new_identity()
    return WandbInfo(**asdict(identity), group=group, name=_name(folder, cfg, group))


def _name(folder: RunFolder, cfg: DictConfig, group: str | None) -> str:
    """What varies: in a sweep the cell's, else what was typed, and the seed.

    The label, where the user has given one; the folder's name, where nothing was typed.
    """
    seed = f"seed={cfg.seed}"
    if cfg.get("label"):
        return f"{cfg.label} {seed}"
    if group is not None:
        return DIGEST.sub("", folder.path.name)
    typed = [override.lstrip("+") for override in HydraConfig.get().overrides.task]
    told = [override for override in typed if has_effect(override.partition("=")[0])]
    return " ".join([*told, seed]) if told else folder.path.name


def _tags(folder: RunFolder, cfg: DictConfig) -> tuple[str, ...]:
    """The corpus, the split that was used, and the label set."""
    prepared = folder.read_data_card().prepared
    split = folder.read_info().split_protocol
    if split == OFFICIAL and prepared.split_origin not in (None, OWN_SPLIT):
        split = f"split {prepared.split_origin}"
    return tuple(tag[:MAX_TAG_LENGTH] for tag in (prepared.corpus, split, cfg.labels.name) if tag)


def _history(folder: RunFolder) -> list[dict[str, float]]:
    """The epochs before an interruption, by the names of the curves.

    Those of a run that begins again, without a state to continue from, do not count.
    """
    if not (folder.last_checkpoint.is_file() and folder.history_file.is_file()):
        return []
    table = read_history(folder.history_file).drop(columns="split_protocol", errors="ignore")
    rows = table.to_dict("records")
    return [
        {
            f"step/{name}" if str(name).startswith("learning_rate") else str(name): value
            for name, value in row.items()
            if pd.notna(value)
        }
        for row in rows
    ]
