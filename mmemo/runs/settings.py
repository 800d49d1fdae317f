"""Settings of a run's config: those that change its result, and a digest of them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

NOT_IN_DIGEST = (
    # What the run is called and where things are kept.
    "name",
    "label",
    "run_mark",
    "output_dir",
    "cache_dir",
    "run_dir",
    "resume",
    "trust",
    "corpus.folder",
    "preparer.folder",
    "feature_cache",
    "trainer.default_root_dir",
    # How it is watched.
    "logger",
    "trainer.logger",
    "trainer.log_every_n_steps",
    "trainer.enable_progress_bar",
    "trainer.enable_model_summary",
    "metrics",
    # What is asked of its answers.
    "subgroups",
    "abstention",
    "callbacks.interruption",
    "callbacks.epoch_lines",
    "callbacks.step_curves",
    # How fast data arrives.
    "preparer.num_workers",
    "corpus.num_workers",
    "data.num_workers",
    "data.pin_memory",
    # The callbacks once more, as a list.
    "trainer.callbacks",
)
"""Settings that do not change a run's result: two cells that differ in them alone are one."""

SOURCE_RUNS = ("distillation.teacher", "initial.text", "initial.audio")
"""Runs that another is made of: each seed has its own."""

WITHOUT_EFFECT = (*NOT_IN_DIGEST, "seed", "hydra", "sweep", *SOURCE_RUNS)
"""Settings, and sections of them, that do not tell one group of runs from another."""

PLACES = ("folder", "root", "annotations", "csv", "checkpoint_dir", "dirpath", "path", "save_dir")
"""Last parts of keys that say where something lies."""

DIGEST_LENGTH = 8

MAX_KEYS = 4096
"""Keys are the same in most runs: of as many it is remembered whether they have an effect."""


PART = re.compile(r"^corpus\.parts\.[^.]+\.")
"""Begins the settings of one of several corpora."""


def plain_key(key: str) -> str:
    """A setting of one of several corpora as it is called of one alone: ``corpus.root``."""
    return PART.sub("corpus.", key)


def with_parts(keys: Sequence[str], parts: Iterable[str]) -> list[str]:
    """Keys of settings, and those of a corpus once more for each of several.

    Args:
        keys: Of settings.
        parts: Names of the corpora.
    """
    of_corpus = [key.removeprefix("corpus.") for key in keys if key.startswith("corpus.")]
    return [*keys, *(f"corpus.parts.{part}.{key}" for part in parts for key in of_corpus)]


def config_digest(settings: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits of a resolved config, without what does not change the result.

    Args:
        settings: The config as plain dicts, lists and values; the order of keys does not count.
    """
    kept = json.loads(json.dumps(settings, default=str))
    corpus = kept.get("corpus")
    parts = corpus.get("parts") if isinstance(corpus, dict) else None
    for key in with_parts(NOT_IN_DIGEST, parts or ()):
        *parents, last = key.split(".")
        node = kept
        for parent in parents:
            node = node.get(parent) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node.pop(last, None)
    text = json.dumps(kept, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]


@lru_cache(maxsize=MAX_KEYS)
def has_effect(key: str) -> bool:
    """Whether a setting tells one group of runs from another."""
    key = plain_key(key)
    return key.rpartition(".")[2] not in PLACES and not any(
        key == name or key.startswith(f"{name}.") for name in WITHOUT_EFFECT
    )
