"""The training loss of a run's config."""

from __future__ import annotations

from typing import Any, cast

from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from mmemo.training.losses import CrossEntropy, build_torch_loss


def is_own_loss(target: object) -> bool:
    """Whether a loss tells how much each utterance counts, and not its mean alone."""
    return all(hasattr(target, name) for name in ("use_class_counts", "weights"))


def build_loss(cfg: DictConfig) -> CrossEntropy:
    """The training loss: one of mmemo's kind, or any of torch's over logits and class indices.

    Raises:
        InputError: If it cannot be built, or is of another kind.
    """
    target = get_object(cfg["_target_"])
    if is_own_loss(target):
        loss: CrossEntropy = instantiate(cfg, _convert_="all")
        return loss
    settings = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
    return build_torch_loss(target, {k: v for k, v in settings.items() if k != "_target_"})
