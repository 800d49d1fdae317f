"""Overrides as the user types them: read by Hydra as they are meant, wherever they are read."""

from __future__ import annotations

import re
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig, OmegaConf

from mmemo.runs.settings import plain_key, with_parts

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
    "augmentation.noise.folder",
    "distillation.teacher",
    "initial.text",
    "initial.audio",
)
CHECKPOINT_KEYS = (
    "audio_encoder.checkpoint",
    "audio_encoder.speech.checkpoint",
    "text_encoder.checkpoint",
)
FOLDER_KEYS = ("input", "output", "timeline", "hydra.run.dir", "hydra.sweep.dir")
TEXT_KEY = "text"
"""What is said, whatever it says."""

NAME_KEYS = ("run", "resume", "prepared", "baseline", "other_seeds", "keys")
"""Of these a value is one name, whatever marks are in it, unless it is written as a list."""


def quoted(text: str) -> str:
    """A value that Hydra's grammar reads as this text, whatever marks are in it."""
    literal = re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", text)
    return QuotedString(text=literal, quote=Quote.single).with_quotes()


def typed_text(override: str) -> str:
    """The text that the value of an override stands for, quoted or not."""
    value = str(OverridesParser.create().parse_override(override).value())
    return re.sub(r"(\\*)\$\{", lambda found: found[1][: len(found[1]) // 2] + "${", value)


def readable_by_hydra(override: str, is_sweep: bool = False) -> str:
    """Quote what Hydra's grammar would not read: a path, a run folder, a group's name.

    Args:
        override: As typed.
        is_sweep: Whether commas may stand between several values.
    """
    key, _, value = override.partition("=")
    if key == TEXT_KEY and value not in ("", "null") and not _is_quoted(value):
        return f"{key}={quoted(value)}"
    override = with_nulls(override)
    key, equals, value = override.partition("=")
    if not equals or value in ("", "null") or _is_quoted(value):
        return override
    if value == "~" or value.startswith("~/"):
        return f"{key}={quoted(str(Path(value).expanduser()))}"
    name = plain_key(key.lstrip("+"))
    is_path = name in (*PATH_KEYS, *CHECKPOINT_KEYS, *FOLDER_KEYS)
    is_written_list = value[0] == "[" and value[-1] == "]"
    is_name = name in NAME_KEYS and value[0] != "["
    if name in FOLDER_KEYS and is_written_list and not _exists(value):
        return override
    if not (is_path or is_name):
        return override
    # What is there already is a path, whatever is in it.
    new = _behind_what_exists(value)
    is_list = is_sweep and is_path and "," in new
    return override if is_list or "${" in new else f"{key}={quoted(value)}"


def with_nulls(override: str) -> str:
    """Write null so that Hydra reads it.

    W&B's agent and Optuna write Python's None, and ``choice(null, 1)`` has to be ``null, 1``.
    """
    key, equals, values = override.partition("=")
    if not equals or not re.search("None|null", values) or values[0] in "'\"[{":
        return override
    choices = re.fullmatch(r"\s*choice\((.*)\)\s*", values)
    each = (choices[1] if choices else values).split(",")
    each = ["null" if value.strip() in ("None", "null") else value for value in each]
    is_choice_of_one = choices is not None and len(each) == 1
    return override if is_choice_of_one else f"{key}={','.join(each)}"


def _is_quoted(value: str) -> bool:
    return len(value) > 1 and value[0] in ("'", '"') and value[-1] == value[0]


def _behind_what_exists(path: str) -> str:
    """What of a path is not there yet."""
    if _exists(path):
        return ""
    there = [str(parent) for parent in Path(path).parents if _exists(str(parent))]
    return path.removeprefix(there[0]) if there and there[0] != "." else path


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        # Too long for a name, or with a character that no path has.
        return False


def make_paths_absolute(cfg: DictConfig) -> None:
    """A run must mean the same from whatever folder it is evaluated or resumed later."""
    for key in with_parts(PATH_KEYS, OmegaConf.select(cfg, "corpus.parts") or ()):
        value = OmegaConf.select(cfg, key)
        if isinstance(value, str):
            OmegaConf.update(cfg, key, str(Path(value).expanduser().absolute()))
    for key in CHECKPOINT_KEYS:
        value = OmegaConf.select(cfg, key)
        if isinstance(value, str) and Path(value).expanduser().is_dir():
            OmegaConf.update(cfg, key, str(Path(value).expanduser().absolute()))
