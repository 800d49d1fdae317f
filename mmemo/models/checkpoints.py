"""Loading checkpoints in transformers' layout, with errors that name the ways out."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from mmemo.errors import InputError

# Parts that checkpoints of language and speech models may lack, and that mmemo does not use.
NOT_ALWAYS_SAVED = ("pooler.", "masked_spec_embed")


@contextmanager
def _explained(checkpoint: str | Path, option: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{option}: expected a checkpoint in transformers' layout (config.json and weights) "
            f"on the hub, in the cache or in a local folder, could not load "
            f"'{checkpoint}' ({first_line}). Ways out: name a local folder with {option}=DIR; "
            "fetch it once where there is a network and copy the cache (HF_HOME); name a mirror "
            "with HF_ENDPOINT"
        ) from error


@contextmanager
def _own_report() -> Iterator[None]:
    """Keep transformers from printing which weights are missing: that is checked here."""
    from transformers.utils import logging as transformers_logging

    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)


def load_config(checkpoint: str | Path, option: str, overrides: dict[str, Any]) -> Any:  # noqa: ANN401
    """The checkpoint's transformers config, with overrides.

    Args:
        checkpoint: Name on the hub, or a local folder.
        option: The setting that named it, for the message.
        overrides: Values that replace those of the checkpoint.

    Raises:
        InputError: If it cannot be loaded.
    """
    from transformers import AutoConfig

    with _explained(checkpoint, option):
        return AutoConfig.from_pretrained(checkpoint, **overrides)


def load_model(
    checkpoint: str | Path,
    config: Any,  # noqa: ANN401
    option: str,
    pretrained: bool,
    unused: tuple[str, ...] = (),
) -> Any:  # noqa: ANN401
    """The checkpoint's model in float32, or one of the same architecture with random weights.

    Args:
        checkpoint: Name on the hub, or a local folder.
        config: Its transformers config.
        option: The setting that named it, for the message.
        pretrained: False for random weights.
        unused: How the names of weights begin that may be missing.

    Raises:
        InputError: If the checkpoint cannot be loaded.
    """
    from transformers import AutoModel

    if not pretrained:
        return AutoModel.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
    with _explained(checkpoint, option), _own_report():
        model, report = AutoModel.from_pretrained(
            checkpoint, config=config, dtype=torch.float32, output_loading_info=True
        )
    missing = sorted(
        k for k in report["missing_keys"] if not k.startswith(NOT_ALWAYS_SAVED + unused)
    )
    if missing:
        raise InputError(
            f"{option}: expected the weights of {config.model_type} in '{checkpoint}', "
            f"{len(missing)} are missing ({missing[0]}, …); get the checkpoint again"
        )
    # transformers hands models out in evaluation mode, and Lightning trains them as it gets them:
    # dropout, layer drop and SpecAugment would be off.
    return model.train()


def freeze(model: nn.Module, trainable: str, option: str) -> bool:
    """Set what is trained; returns whether the model is frozen.

    Args:
        model: The encoder's model.
        trainable: "all" or "none".
        option: The setting's name, for the message.

    Raises:
        InputError: If it is neither.
    """
    if trainable not in ("all", "none"):
        raise InputError(f"{option}: expected all or none, got '{trainable}'; choose one of them")
    frozen = trainable == "none"
    if frozen:
        model.requires_grad_(False).eval()
    return frozen


def load_tokenizer(checkpoint: str | Path, option: str) -> Any:  # noqa: ANN401
    """The checkpoint's fast tokenizer.

    Raises:
        InputError: If it cannot be loaded.
    """
    from transformers import AutoTokenizer

    with _explained(checkpoint, option):
        return AutoTokenizer.from_pretrained(checkpoint, use_fast=True)
