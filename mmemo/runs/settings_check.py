"""Settings of a run that do not fit together, found before anything is decoded."""

from __future__ import annotations

import sys

import pandas as pd
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig

from mmemo.audio.preparation import Preparer
from mmemo.corpora.annotations import Annotations
from mmemo.corpora.leaks import check_disjoint
from mmemo.corpora.splits import FoldedSplit, SplitProtocol
from mmemo.corpora.utterance import SPLITS, LabelSet
from mmemo.data.augmentation import check_perturbations
from mmemo.data.datamodule import check_loading
from mmemo.data.sampling import NaturalSampling
from mmemo.errors import InputError
from mmemo.models.protocols import AudioEncoder
from mmemo.runs.dialogue_batches import check_dialogue_batches
from mmemo.runs.label_coverage import check_labels, check_trained_classes
from mmemo.runs.loss import build_loss


def check_settings(
    cfg: DictConfig,
    labels: LabelSet,
    split: SplitProtocol,
    annotations: Annotations,
    audio: AudioEncoder | None,
    preparer: Preparer,
) -> None:
    """Find settings that do not fit together, before anything is decoded.

    Args:
        cfg: The run's config.
        labels: Its classes.
        split: How its utterances are split.
        annotations: Of the corpus.
        audio: The audio encoder; None without one.
        preparer: Of the corpus.

    Raises:
        InputError: If a class does not occur, the annotations cannot be split as the protocol
            says, a class to be weighed is not trained, the rates differ, clips are longer than
            the audio encoder takes, or a batch is empty.
    """
    data = cfg.data
    check_loading(
        data.batch_size,
        data.eval_batch_size,
        data.max_duration_s,
        data.num_workers,
        data.get("bucket_batches", 0),
        data.get("min_duration_s", 0.0),
        data.seed,
    )
    _check_split(cfg, labels, split, annotations)
    _check_augmentation(data, audio)
    if "tuning" in cfg.classifier:
        _check_classical(cfg)
    if audio is not None and audio.sample_rate != preparer.sample_rate:
        raise InputError(
            f"preparer.sample_rate: expected the audio encoder's {audio.sample_rate} Hz, got "
            f"{preparer.sample_rate} Hz; set preparer.sample_rate={audio.sample_rate}"
        )
    most = round(data.max_duration_s * preparer.sample_rate)
    if audio is not None and audio.fixed_samples is not None and audio.fixed_samples < most:
        raise InputError(
            f"data.max_duration_s: expected at most the audio encoder's fixed_duration_s "
            f"({audio.fixed_samples / audio.sample_rate} s), got {data.max_duration_s} s"
        )
    if data.max_duration_s > preparer.max_duration_s:
        raise InputError(
            f"data.max_duration_s: expected at most preparer.max_duration_s "
            f"({preparer.max_duration_s:g} s), where sound is cut before, got "
            f"{data.max_duration_s:g} s; raise that one too"
        )


def _check_classical(cfg: DictConfig) -> None:
    """Refuse what is for a training by steps alone, and would seem to have been done.

    Raises:
        InputError: If there is such a setting.
    """
    chosen = {
        "loss": (build_loss(cfg.loss).name != "cross_entropy", "cross_entropy"),
        "sampling": (_samples(cfg.sampling), "natural"),
        "augmentation": (bool(cfg.get("augmentation")), "none"),
    }
    for option, (is_other, plain) in chosen.items():
        if is_other:
            raise InputError(
                f"{option}: expected {plain} for a classical classifier, which is fitted at once "
                f"on the rows as they are; leave {option} out. Rare classes weigh more with "
                "classifier.model.class_weight=balanced"
            )


def _samples(sampling: DictConfig | None) -> bool:
    """Whether training rows are drawn otherwise than each once."""
    return sampling is not None and get_class(sampling["_target_"]) is not NaturalSampling


def _check_augmentation(data: DictConfig, audio: AudioEncoder | None) -> None:
    """Refuse what changes sound that nothing hears, or cannot be built."""
    perturbations = instantiate(data.get("augmentation"), _convert_="all") or {}
    if perturbations and audio is None:
        raise InputError(
            f"augmentation: expected none for a model that hears nothing, got "
            f"{', '.join(perturbations)}; leave augmentation out"
        )
    check_perturbations(perturbations)


def _check_split(
    cfg: DictConfig, labels: LabelSet, split: SplitProtocol, annotations: Annotations
) -> None:
    """Split the annotations, and weigh the classes, as if every clip had sound."""
    rows = annotations.frame()
    if cfg.text_encoder is not None:
        rows = rows[rows["transcript"] != ""]
    emotions = cfg.corpus.get("emotions") or {}
    allow_unknown = cfg.get("allow_unknown_labels", False)
    has_tables = "emotions" in cfg.corpus
    check_labels(rows, annotations.corpus, labels, has_tables, allow_unknown)
    found = set(rows[labels.column].dropna())
    absent = [name for name in labels.classes if name not in found]
    if absent:
        renamed = [f"{name} {emotions[name]}" for name in absent if name in emotions]
        called = f"corpus.emotions calls {', '.join(renamed)}: " if renamed else ""
        raise InputError(
            f"labels={labels.name}: expected utterances of every class in the corpus "
            f"{annotations.corpus}, found none of {', '.join(absent)} ({labels.column} there: "
            f"{', '.join(sorted(found)) or 'empty'}); {called}choose other labels"
        )
    rows = split.assign(rows[rows[labels.column].isin(labels.classes)], labels.column)
    check_disjoint(rows, split)
    check_dialogue_batches(cfg, rows)
    for name in SPLITS:
        if not (rows["split"] == name).any():
            raise InputError(
                f"split={split.name}: expected utterances of {', '.join(labels.classes)} in "
                f"the split '{name}' of the corpus {annotations.corpus}, found none; choose "
                "another split or other labels"
            )
        _warn_of_absent(rows, labels, name)
    _warn_of_rare(rows, labels, split)
    trained = rows.loc[rows["split"] == "train", labels.column].tolist()
    check_trained_classes(trained, labels, split.name, annotations.corpus)
    loss = build_loss(cfg.loss)
    needs_votes = getattr(loss, "needs_votes", False)
    if needs_votes and labels.column != "emotion":
        raise InputError(
            f"loss={loss.name}: expected labels of emotions, which raters' votes are for, got "
            f"labels={labels.name} of the column {labels.column}; choose other labels, or "
            "loss=cross_entropy"
        )
    if needs_votes and not rows["ratings"].notna().any():
        raise InputError(
            f"loss={loss.name}: expected several ratings of each clip in the corpus "
            f"{annotations.corpus}, found none; name the raters' columns with corpus.ratings, "
            "or choose loss=cross_entropy"
        )
    loss.use_class_counts([trained.count(name) for name in labels.classes])


def _warn_of_absent(rows: pd.DataFrame, labels: LabelSet, split: str) -> None:
    """Say of which classes a split has no utterance: it can be run, and means less."""
    found = set(rows.loc[rows["split"] == split, labels.column])
    absent = [name for name in labels.classes if name not in found]
    if absent:
        what = "none can be learnt" if split == "train" else "their scores are of nothing"
        print(
            f"mmemo: the split '{split}' has no utterance of {', '.join(absent)}: {what}",
            file=sys.stderr,
        )


def _warn_of_rare(rows: pd.DataFrame, labels: LabelSet, split: SplitProtocol) -> None:
    """Say of which classes not every fold can have an utterance."""
    if not isinstance(split, FoldedSplit) or split.num_test_folds is None:
        return
    counts = rows[labels.column].value_counts()
    rare = [f"{name} ({counts[name]})" for name in labels.classes if _is_rare(counts, name, split)]
    if rare:
        print(
            f"mmemo: rarer than the {split.num_test_folds} folds of split={split.name}, so that "
            f"some test without them: {', '.join(rare)}; over all folds each utterance is tested "
            "once all the same",
            file=sys.stderr,
        )


def _is_rare(counts: pd.Series[int], name: str, split: FoldedSplit) -> bool:
    return bool(counts.get(name, 0) < (split.num_test_folds or 0))
