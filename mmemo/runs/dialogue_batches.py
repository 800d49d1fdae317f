"""Whether a run's batches are of whole dialogues."""

from __future__ import annotations

import pandas as pd
from hydra.utils import instantiate
from omegaconf import DictConfig

from mmemo.data.dialogues import check_several_utterances, whole_dialogues
from mmemo.data.sampling import check_dialogue_sampling
from mmemo.errors import InputError


def reads_dialogues(cfg: DictConfig) -> bool:
    """Whether batches are of whole dialogues: as the config says, or as a context model needs.

    Raises:
        InputError: If a context model would be given single utterances, or the setting is none.
    """
    wanted = cfg.data.get("dialogue_batches")
    has_context = cfg.get("context") is not None
    if wanted is None:
        return has_context
    if not isinstance(wanted, bool):
        raise InputError(f"data.dialogue_batches: expected true, false or null, got {wanted}")
    if has_context and not wanted:
        raise InputError(
            "data.dialogue_batches: expected true or null for a context model, which reads whole "
            "dialogues, got false; leave it out, or set context=none"
        )
    return wanted


def check_dialogue_batches(cfg: DictConfig, rows: pd.DataFrame) -> None:
    """Check that there will be whole dialogues where they are wanted.

    Args:
        cfg: The run's config.
        rows: The corpus' rows as they are split.

    Raises:
        InputError: If there is none, a split copies utterances, or single ones are sampled.
    """
    if not reads_dialogues(cfg):
        return
    check_dialogue_sampling(instantiate(cfg.data.get("sampling"), _convert_="all"))
    for split, part in rows.groupby("split"):
        dialogues = whole_dialogues(part, str(split), len(part))
        if split == "train":
            check_several_utterances(dialogues)
