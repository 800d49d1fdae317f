"""From a composed config to the corpus and what prepares it.

Apart from ``experiment.py``, so that ``mmemo prepare`` need not import Lightning and transformers.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from hydra.utils import instantiate
from omegaconf import DictConfig

from mmemo.audio.denoisers import Denoiser
from mmemo.audio.joint_preparation import prepare_joint
from mmemo.audio.journal import Shard
from mmemo.audio.preparation import WHOLE, Preparer, Progress, open_prepared
from mmemo.audio.prepared import PreparedCorpus
from mmemo.audio.transcripts_alone import prepare_transcripts
from mmemo.corpora.annotations import Annotations
from mmemo.corpora.joint import JointAnnotations, JointCorpus, shared_labels
from mmemo.corpora.utterance import LabelSet
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
        return open_prepared(self.prepare_shard(annotations, WHOLE).folder)

    def prepare_shard(self, annotations: Annotations, shard: Shard) -> Progress:
        """Prepare a shard's part of the sound of one corpus, or of each of several.

        Raises:
            InputError: As the preparer does.
        """
        if isinstance(annotations, JointAnnotations):
            return prepare_joint(self.preparer, annotations, self.denoiser, shard)
        return self.preparer.prepare_shard(annotations, self.denoiser, shard)


def joint_labels(annotations: Annotations, labels: LabelSet) -> LabelSet:
    """The classes that are told apart of what was read: of several corpora by their rule.

    What becomes of the classes that not every corpus has is printed.

    Raises:
        InputError: If several corpora share fewer than two of the classes.
    """
    if isinstance(annotations, JointAnnotations):
        for sentence in annotations.sentences(labels):
            print(f"mmemo: {sentence}", file=sys.stderr)
    return shared_labels(annotations, labels)


def settle_labels(cfg: DictConfig) -> None:
    """Leave of a training's label set what its corpora share, in the config that it is built from.

    Args:
        cfg: Of a training; of one corpus it stays as it is.

    Raises:
        InputError: If several corpora cannot be read or share fewer than two of the classes.
    """
    corpus: Corpus = instantiate(cfg.corpus, _convert_="all")
    if not isinstance(corpus, JointCorpus):
        return
    chosen: LabelSet = instantiate(cfg.labels, _convert_="all")
    labels = joint_labels(corpus.read(), chosen)
    if labels is not chosen:
        target = f"{LabelSet.__module__}.{LabelSet.__qualname__}"
        kept = {"name": labels.name, "column": labels.column, "colours": labels.colours}
        cfg.labels = {"_target_": target, **kept}


def build_data_source(cfg: DictConfig) -> DataSource:
    """Corpus, denoiser and preparer; nothing is read or loaded yet.

    Raises:
        InputError: If utterances are to be skipped by their duration and have none.
    """
    corpus: Corpus = instantiate(cfg.corpus, _convert_="all")
    preparer: Preparer = instantiate(cfg.preparer, _convert_="all")
    is_without_sound = "audio_encoder" in cfg and cfg.audio_encoder is None
    if not (is_without_sound and not corpus.has_clips):
        return DataSource(corpus, instantiate(cfg.denoiser, _convert_="all"), preparer)
    if cfg.min_duration_s > 0:
        raise InputError(
            f"min_duration_s: expected 0 for transcripts without clips, got {cfg.min_duration_s}; "
            "leave it out or give the clips with corpus.root=DIR"
        )
    return DataSource(corpus, None, preparer, transcripts_alone=True)
