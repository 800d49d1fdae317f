"""From a composed config to the corpus and what prepares it.

Apart from ``experiment.py``, so that ``mmemo prepare`` need not import Lightning and transformers.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from hydra.utils import instantiate
from omegaconf import DictConfig

from mmemo.audio.denoisers import Denoiser
from mmemo.audio.preparation import Preparer
from mmemo.audio.prepared import PreparedCorpus
from mmemo.audio.transcripts_alone import prepare_transcripts
from mmemo.corpora.annotations import Annotations
from mmemo.errors import InputError

log = logging.getLogger(__name__)


class Corpus(Protocol):
    """Where utterances come from."""

    @property
    def has_clips(self) -> bool:
        """Whether clips were named; False where only annotations are there."""
        ...

    def read(self) -> Annotations:
        """All rows of the corpus, in its order."""
        ...


@runtime_checkable
class CheckedCorpus(Protocol):
    """A corpus that can tell at once what its reading would fail by; not all can."""

    def check(self) -> None:
        """Look for its files.

        Raises:
            InputError: If one is missing or is no such file.
        """
        ...


@dataclass
class DataSource:
    """A corpus, its denoiser, and what prepares it.

    Args:
        corpus: Where utterances come from.
        denoiser: Applied to their sound; None for none.
        preparer: Makes and keeps prepared corpora.
        transcripts_alone: Prepare no sound: no encoder wants it, and there are no clips.
    """

    corpus: Corpus
    denoiser: Denoiser | None
    preparer: Preparer
    transcripts_alone: bool = False

    def read(self) -> Annotations:
        """Read the corpus, and warn in one line where this copy of it is not whole.

        Raises:
            InputError: As the corpus does.
        """
        annotations = self.corpus.read()
        if shortfall := annotations.shortfall():
            log.warning("corpus %s: %s (mmemo audit)", annotations.corpus, shortfall)
        return annotations

    def prepare(self, annotations: Annotations) -> PreparedCorpus:
        """Prepare what is not prepared yet and open the corpus.

        Raises:
            InputError: As the preparer does.
        """
        preparer = self.preparer
        if self.transcripts_alone:
            return prepare_transcripts(
                preparer.folder, annotations, preparer.sample_rate, preparer.max_duration_s
            )
        return preparer.prepare(annotations, self.denoiser)


def build_data_source(cfg: DictConfig) -> DataSource:
    """Corpus, denoiser and preparer; nothing is read or loaded yet.

    Raises:
        InputError: If utterances are to be skipped by their duration and have none.
    """
    corpus: Corpus = instantiate(cfg.corpus, _convert_="all")
    preparer: Preparer = instantiate(cfg.preparer, _convert_="all")
    hears_nothing = "audio_encoder" in cfg and cfg.audio_encoder is None
    if not (hears_nothing and not corpus.has_clips):
        return DataSource(corpus, instantiate(cfg.denoiser, _convert_="all"), preparer)
    if cfg.min_duration_s > 0:
        raise InputError(
            f"min_duration_s: expected 0 for transcripts without clips, got {cfg.min_duration_s}; "
            "leave it out or give the clips with corpus.root=DIR"
        )
    return DataSource(corpus, None, preparer, transcripts_alone=True)
