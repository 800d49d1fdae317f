"""From a composed config to the corpus and what prepares it.

Apart from ``build.py``, so that ``mmemo prepare`` need not import Lightning and transformers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from hydra.utils import instantiate
from omegaconf import DictConfig

from mmemo.audio.denoisers import Denoiser
from mmemo.audio.preparation import Preparer
from mmemo.corpora.annotations import Annotations


class Corpus(Protocol):
    """Where utterances come from."""

    def read(self) -> Annotations:
        """All rows of the corpus, in its order."""
        ...


@dataclass
class Source:
    """A corpus, its denoiser, and what prepares it."""

    corpus: Corpus
    denoiser: Denoiser | None
    preparer: Preparer


def build_source(cfg: DictConfig) -> Source:
    """Corpus, denoiser and preparer; nothing is read or loaded yet."""
    return Source(
        instantiate(cfg.corpus, _convert_="all"),
        instantiate(cfg.denoiser, _convert_="all"),
        instantiate(cfg.preparer, _convert_="all"),
    )
