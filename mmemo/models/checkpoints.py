"""Loading checkpoints in transformers' layout, with errors that name the ways out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmemo.errors import InputError


@contextmanager
def _explained(checkpoint: str | Path, option: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{option}: expected a checkpoint in transformers' layout (config.json, weights as "
            f"safetensors) on the hub, in the cache or in a local folder, could not load "
            f"'{checkpoint}' ({first_line}). Ways out: name a local folder with {option}=DIR; "
            "fetch it once where there is a network and copy the cache (HF_HOME); name a mirror "
            "with HF_ENDPOINT"
        ) from error


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


def load_model(checkpoint: str | Path, config: Any, option: str, pretrained: bool) -> Any:  # noqa: ANN401
    """The checkpoint's model, or one of the same architecture with random weights.

    Raises:
        InputError: If the checkpoint cannot be loaded.
    """
    from transformers import AutoModel

    if not pretrained:
        return AutoModel.from_config(config)  # type: ignore[no-untyped-call]
    with _explained(checkpoint, option):
        return AutoModel.from_pretrained(checkpoint, config=config, use_safetensors=True)


def load_tokenizer(checkpoint: str | Path, option: str) -> Any:  # noqa: ANN401
    """The checkpoint's fast tokenizer.

    Raises:
        InputError: If it cannot be loaded.
    """
    from transformers import AutoTokenizer

    with _explained(checkpoint, option):
        return AutoTokenizer.from_pretrained(checkpoint, use_fast=True)
