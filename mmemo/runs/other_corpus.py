"""Another corpus than that of the training: its rows for a run's model, and what both share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig

from mmemo.audio.denoisers import Denoiser
from mmemo.audio.preparation import content_digest
from mmemo.audio.prepared import PreparedCorpus
from mmemo.corpora.corpus_overlaps import is_among, own_speakers, plain_names
from mmemo.corpora.joint import shared_labels
from mmemo.corpora.leaks import same_clips
from mmemo.corpora.splits import WholeCorpus
from mmemo.corpora.utterance import LabelSet
from mmemo.data.datamodule import EmotionDataModule
from mmemo.data.selection import CLASS_EXCLUDED
from mmemo.errors import InputError
from mmemo.evaluation.other_corpus import OtherCorpus, Shared, results_folder
from mmemo.evaluation.protocol import Protocol
from mmemo.runs.data_card import check_same_data
from mmemo.runs.data_source import CheckedCorpus
from mmemo.runs.encoders import Encoders
from mmemo.runs.experiment import Experiment
from mmemo.runs.label_coverage import suggested_table
from mmemo.runs.run_folder import RunFolder

SEEN = ("train", "val")
"""Splits that the model has learnt from, or was chosen on."""


@dataclass(frozen=True)
class TestedCorpus:
    """Another corpus, prepared and loaded for a run's model.

    Args:
        folder: The run's, for the results on that corpus.
        digest: Eight hexadecimal digits of its rows.
        split: What of it is tested.
        datamodule: Loads that, with the classes that both sides have.
    """

    folder: RunFolder
    digest: str
    split: WholeCorpus
    datamodule: EmotionDataModule

    @property
    def rows(self) -> pd.DataFrame:
        """What is tested."""
        return self.datamodule.datasets["test"].rows

    @property
    def classes(self) -> tuple[str, ...]:
        """Those that the model and the corpus have, in the model's order."""
        return self.datamodule.labels.classes

    def described(
        self, model_classes: tuple[str, ...], num_answers_left_out: int, overlap: Overlap
    ) -> OtherCorpus:
        """What the protocol tells of it.

        Args:
            model_classes: All of the model.
            num_answers_left_out: Rows whose first answer was a class that the corpus lacks.
            overlap: What it shares with the corpus of the training.
        """
        states, column = self.datamodule.states, self.datamodule.labels.column
        excluded = states[states["reason"] == CLASS_EXCLUDED]
        if self.split.split is not None:
            excluded = excluded[excluded["split"] == self.split.split]
        meta = self.datamodule.prepared.meta
        return OtherCorpus(
            name=meta.corpus,
            digest=self.digest,
            split=self.split.split,
            corpus_split=meta.split_origin,
            left_out_classes=tuple(c for c in model_classes if c not in self.classes),
            num_answers_left_out=num_answers_left_out,
            left_out_rows={
                str(name): int(count)
                for name, count in excluded[column].value_counts().sort_index().items()
            },
            shared=overlap.shared,
            unchecked=overlap.unchecked,
        )

    def protocol(
        self, experiment: Experiment, other: OtherCorpus, epoch: int, loss: str, unit: str
    ) -> Protocol:
        """The run's on that corpus: split, leak and training rows are those of the training.

        Args:
            experiment: What the run is made of.
            other: What is told of the corpus.
            epoch: Of the evaluated checkpoint, from 0.
            loss: Name of the training loss.
            unit: What the corpus' own split keeps together.
        """
        found = experiment.protocol(self.datamodule, epoch, loss, unit, self.folder.missing)
        card = self.folder.read_data_card()
        return replace(
            found,
            corpus=str(card.prepared.corpus),
            corpus_split=str(card.prepared.split_origin),
            split=card.split.name,
            leaky=card.split.leaky,
            leak_shares=card.split.leak_shares,
            num_utterances={
                "train": sum(card.classes["train"].values()),
                "test": found.num_utterances["test"],
            },
            sources=self.folder.read_info().sources or None,
            evaluated_on=other,
        )


def open_other_corpus(
    folder: RunFolder,
    experiment: Experiment,
    encoders: Encoders,
    denoiser: Denoiser | None,
    corpus: DictConfig,
    preparer: DictConfig,
    split: str | None,
) -> TestedCorpus:
    """Prepare another corpus as a run's own was, and load what is tested of it.

    Args:
        folder: The run's.
        experiment: What it is made of.
        encoders: Those of the model that get something to do.
        denoiser: The run's own, where its model hears something.
        corpus: Config of the corpus.
        preparer: Where it is prepared, and by how many processes.
        split: Its own split that is tested; None for all rows.

    Raises:
        InputError: If it cannot be read or prepared, has fewer than two of the model's classes, or
            no row of the split.
    """
    tested = WholeCorpus(split)
    source = experiment.build_source_of(corpus, preparer, denoiser)
    if isinstance(source.corpus, CheckedCorpus):
        source.corpus.check()
    annotations = source.read()
    experiment.check_transcripts(annotations)
    labels = shared_labels(annotations, experiment.labels)
    labels = common_labels(labels, annotations.frame(), annotations.corpus)
    prepared = source.prepare(annotations)
    digest = content_digest(annotations)
    return TestedCorpus(
        folder=RunFolder(
            folder.path, folder.missing, results_folder(annotations.corpus, digest, split)
        ),
        digest=digest,
        split=tested,
        datamodule=experiment.build_test_datamodule(prepared, labels, encoders, tested),
    )


def common_labels(labels: LabelSet, rows: pd.DataFrame, corpus: str) -> LabelSet:
    """The classes of a model that occur in a corpus, matched by name, in the model's order.

    Args:
        labels: The model's classes.
        rows: Rows of the corpus.
        corpus: Its name.

    Raises:
        InputError: If there are fewer than two.
    """
    found = set(rows[labels.column].dropna()) - {""}
    common = [name for name in labels.classes if name in found]
    if len(common) < 2:
        suggestion = suggested_table(rows[labels.column], labels)
        raise InputError(
            f"corpus: expected at least two of the run's classes ({', '.join(labels.classes)}) in "
            f"the column {labels.column} of {corpus}, found {', '.join(common) or 'none'} (there: "
            f"{', '.join(sorted(map(str, found))) or 'nothing'}); for a table say what they are "
            f"called in the file with +corpus.emotions.NAME_IN_THE_FILE=CLASS{suggestion}"
        )
    return LabelSet(labels.name, {name: labels.colours[name] for name in common}, labels.column)


@dataclass(frozen=True)
class Overlap:
    """What a corpus shares with that of the training, and why some of it was not looked for."""

    shared: dict[str, Shared]
    unchecked: str | None


def overlap_with_training(
    tested: TestedCorpus, experiment: Experiment, prepared: str | Path | None
) -> Overlap:
    """Speakers, clips and transcripts of the evaluated rows that the training's corpus has too.

    Speakers are told apart by name, transcripts by their words, whatever their case; a clip is
    known by its file and by its sound: equal checksum and length after equal preparation.

    Args:
        tested: The corpus that is evaluated.
        experiment: What the run is made of.
        prepared: The prepared corpus of the training, where it was moved since; else None.
    """
    run = RunFolder(tested.folder.path)
    try:
        corpus = PreparedCorpus(Path(prepared or run.read_data_card().prepared.folder))
        check_same_data(run, corpus)
        trained = experiment.trained_rows(corpus)
    except InputError as error:
        reason = f"speakers, clips and transcripts in common with the training ({error})"
        return Overlap({}, reason)
    rows = tested.rows
    ours = {"speakers": own_speakers(rows), "transcripts": rows["transcript"]}
    theirs = {"speakers": own_speakers(trained), "transcripts": trained["transcript"]}
    shared = {
        what: _shared(plain_names(ours[what]), plain_names(theirs[what]), trained) for what in ours
    }
    if not (corpus.has_sound and tested.datamodule.prepared.has_sound):
        return Overlap(shared, "clips in common with the training (there is no sound)")
    num_rows = int(same_clips(rows, trained).sum())
    num_seen = int(same_clips(rows, trained[trained["split"].isin(SEEN)]).sum())
    shared["clips"] = Shared(num_rows, num_rows, num_seen)
    return Overlap(shared, None)


def _shared(ours: pd.Series[str], theirs: pd.Series[str], trained: pd.DataFrame) -> Shared:
    is_shared = is_among(ours, theirs)
    seen = theirs[trained["split"].isin(SEEN)]
    return Shared(
        num=int(ours[is_shared].nunique()),
        num_rows=int(is_shared.sum()),
        num_rows_trained=int(is_among(ours, seen).sum()),
    )
