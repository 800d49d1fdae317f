"""``mmemo evaluate``: predictions, metrics and report at a run's chosen checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import lightning
import numpy as np
import pandas as pd
from omegaconf import DictConfig

from mmemo.corpora.leaks import EVALUATED_SPLITS
from mmemo.data.datamodule import EmotionDataModule
from mmemo.documents import write_document
from mmemo.errors import InputError
from mmemo.evaluation.calibration import calibration_summary
from mmemo.evaluation.embeddings import by_key, fused_embeddings
from mmemo.evaluation.intervals import run_intervals
from mmemo.evaluation.metrics import compute_metrics, corpus_metrics, metrics_table
from mmemo.evaluation.predictions import (
    Outputs,
    build_table,
    gathered,
    read_predictions,
    restricted,
    write_predictions,
)
from mmemo.evaluation.protocol import (
    Protocol,
    evaluated_stamp,
    leak_warning,
    split_stamp,
    without_modality,
)
from mmemo.evaluation.run_metrics import RunMetrics, ShiftMetrics
from mmemo.evaluation.shift import MAX_TRAIN, TrainingEmbeddings, shift_metrics
from mmemo.evaluation.traits import with_traits
from mmemo.evaluation.units import kept_together, with_units
from mmemo.folders import check_writable, written_whole
from mmemo.reporting.run_report import write_report
from mmemo.runs.data_card import check_same_split, write_data_card
from mmemo.runs.experiment import Experiment
from mmemo.runs.other_corpus import (
    Overlap,
    TestedCorpus,
    open_other_corpus,
    overlap_with_training,
)
from mmemo.runs.rebuilt_run import (
    RebuiltModel,
    load_checkpoint,
    rebuild_model,
    rebuild_run,
    saved_parts,
)
from mmemo.runs.run_files import read_history
from mmemo.runs.run_folder import RunFolder, chosen_checkpoint
from mmemo.runs.saved_config import trusted_names
from mmemo.training.module import EmotionModule
from mmemo.training.processes import leave_together

ASKED = ("subgroups", "abstention")
"""Parts of a run's config that evaluating it again may change: they ask, and train nothing."""


def run(cfg: DictConfig) -> None:
    """Build the run's model again and evaluate it, on its own data or on another corpus."""
    check_writable(RunFolder.open(cfg.run).path)
    if cfg.get("corpus") is not None:
        _run_on_other_corpus(cfg)
        return
    if cfg.evaluated_split is not None:
        raise InputError(
            f"split={cfg.evaluated_split}: expected corpus=… beside it; on its own corpus a run is "
            "evaluated on validation and test as it was split in training"
        )
    rebuilt = rebuild_run(cfg.run, cfg.prepared, trusted_names(cfg.trust))
    folder = rebuilt.folder
    experiment = rebuilt.experiment.with_changes(cfg, *ASKED)
    experiment.check_asked()
    if cfg.missing is not None:
        experiment.check_missing(folder, cfg.missing)
        folder = RunFolder(folder.path, cfg.missing)
        folder.results.mkdir(exist_ok=True)
    read_history(folder.history_file)
    with saved_parts(folder):
        encoders = rebuilt.encoders.without(cfg.missing)
        datamodule = experiment.build_datamodule(
            rebuilt.prepared, encoders, rebuilt.device, rebuilt.module
        )
    check_same_split(folder, datamodule)
    evaluate(folder, experiment, rebuilt.module, datamodule, rebuilt.trainer)
    print_results(folder)


def _run_on_other_corpus(cfg: DictConfig) -> None:
    rebuilt = rebuild_model(cfg.run, trusted_names(cfg.trust))
    experiment = rebuilt.experiment.with_changes(cfg, *ASKED)
    experiment.check_asked()
    rebuilt = replace(rebuilt, experiment=experiment)
    if cfg.missing is not None:
        experiment.check_missing(rebuilt.folder, cfg.missing)
    own = RunFolder(rebuilt.folder.path, cfg.missing)
    val = read_predictions(own.predictions_file)
    encoders = rebuilt.encoders.without(cfg.missing)
    tested = open_other_corpus(
        own,
        experiment,
        encoders,
        rebuilt.preprocessing.denoiser,
        cfg.corpus,
        cfg.preparer,
        cfg.evaluated_split,
    )
    overlap = overlap_with_training(tested, experiment, cfg.prepared)
    tested.folder.results.mkdir(parents=True, exist_ok=True)
    write_data_card(tested.folder, tested.datamodule, experiment.max_duration_s)
    evaluate_on(tested, overlap, val[val["split"] == "val"], rebuilt)
    print_results(tested.folder)


def evaluate_on(
    tested: TestedCorpus, overlap: Overlap, val: pd.DataFrame, rebuilt: RebuiltModel
) -> None:
    """Predict another corpus at the chosen checkpoint; write tables, metrics and report.

    Classes that the corpus lacks are no answers: probabilities are divided by the sum of the
    others, here and in the validation that the temperature is fitted on.

    Args:
        tested: The corpus.
        overlap: What it shares with that of the training.
        val: Prediction table of the run's own validation.
        rebuilt: The model.
    """
    folder, datamodule, experiment = tested.folder, tested.datamodule, rebuilt.experiment
    trained_run = RunFolder(folder.path)
    val_unit = trained_run.read_metrics().protocol.unit
    epoch = load_checkpoint(chosen_checkpoint(folder), rebuilt.module)
    predicted = _predicted(rebuilt.module, rebuilt.trainer, datamodule.test_dataloader())
    by_own_split = tested.rows.assign(split=tested.rows["corpus_split"])
    unit, columns = kept_together(by_own_split, ())
    all_answers = build_table(
        predicted.outputs,
        with_units(_traits(datamodule, "test"), columns),
        experiment.labels.classes,
        experiment.labels.column,
        datamodule.prepared.sample_rate,
    )
    num_left_out = int((~all_answers["pred"].isin(tested.classes)).sum())
    table = restricted(all_answers, tested.classes)
    write_predictions(table, folder.predictions_file)
    trained = trained_run.read_data_card().classes["train"]
    majority = max(tested.classes, key=lambda name: trained.get(name, 0))
    metrics = {"test": compute_metrics(table, majority, experiment.own_metrics_of(tested.classes))}
    other = tested.described(experiment.labels.classes, num_left_out, overlap)
    protocol = tested.protocol(experiment, other, epoch, rebuilt.module.loss.name, unit)
    own_val = restricted(val, tested.classes)
    document = RunMetrics(
        protocol,
        metrics,
        run_intervals(table, unit),
        calibration_summary([(own_val, table)]),
        corpus_metrics(table, majority, experiment.own_metrics_of(tested.classes)),
        experiment.subgroups.scores(table, unit),
        experiment.abstention.metrics(own_val, table, unit, val_unit),
        _shift_of(trained_run, predicted, table, unit) if not folder.missing else None,
    )
    write_document(folder.metrics_file, document)
    with written_whole(folder.table_file) as place:
        metrics_table(metrics, evaluated_stamp(protocol)).to_csv(place, index=False)
    write_report(folder)


def evaluate(
    folder: RunFolder,
    experiment: Experiment,
    module: EmotionModule,
    datamodule: EmotionDataModule,
    trainer: lightning.Trainer,
) -> None:
    """Predict validation and test at the chosen checkpoint; write tables, metrics and report.

    Raises:
        InputError: If the checkpoint is missing, is not one, or is another model's.
    """
    checkpoint = chosen_checkpoint(folder)
    folder.check_digest(checkpoint, "the checkpoint of this run")
    epoch = load_checkpoint(checkpoint, module)
    labels = datamodule.labels
    predicted = predict(module, datamodule, trainer, folder.missing is None)
    unit, columns = kept_together(datamodule.rows, datamodule.split.group_columns)
    tables = [
        build_table(
            predicted[split].outputs,
            with_units(_traits(datamodule, split), columns),
            labels.classes,
            labels.column,
            datamodule.prepared.sample_rate,
        )
        for split in EVALUATED_SPLITS
    ]
    val, test = tables
    table = pd.concat([val, test], ignore_index=True)
    write_predictions(table, folder.predictions_file)
    majority = str(datamodule.datasets["train"].rows[labels.column].mode()[0])
    metrics = {
        str(split): compute_metrics(rows, majority, experiment.own_metrics)
        for split, rows in table.groupby("split", sort=False)
    }
    protocol = replace(
        experiment.protocol(datamodule, epoch, module.loss.name, unit, folder.missing),
        sources=folder.read_info().sources or None,
    )
    document = RunMetrics(
        protocol,
        metrics,
        run_intervals(test, unit),
        calibration_summary([(val, test)]),
        corpus_metrics(table, majority, experiment.own_metrics),
        experiment.subgroups.scores(test, unit),
        experiment.abstention.metrics(val, test, unit),
        _shift(folder, predicted, datamodule, tables, unit),
    )
    write_document(folder.metrics_file, document)
    with written_whole(folder.table_file) as place:
        metrics_table(metrics, split_stamp(protocol)).to_csv(place, index=False)
    write_report(folder)


@dataclass(frozen=True)
class Predicted:
    """What a model says of a split.

    Args:
        outputs: By batch keys and probabilities.
        embeddings: By batch keys and fused embeddings (B, D); empty where the model has none.
    """

    outputs: Outputs
    embeddings: Outputs


def predict(
    module: EmotionModule,
    datamodule: EmotionDataModule,
    trainer: lightning.Trainer,
    with_train: bool = True,
) -> dict[str, Predicted]:
    """Predict validation and test, by split; with several processes all take part.

    The others predict with the first one's weights: the trainer hands them out.

    Args:
        module: The model.
        datamodule: Its data.
        trainer: That predicts.
        with_train: Whether a part of training is predicted too, for its embeddings.
    """
    loaders = {"val": datamodule.val_dataloader, "test": datamodule.test_dataloader}
    predicted = {split: _predicted(module, trainer, load()) for split, load in loaders.items()}
    if with_train and predicted["val"].embeddings:
        sample = datamodule.train_sample_dataloader(MAX_TRAIN)
        predicted["train"] = _predicted(module, trainer, sample)
    leave_together(trainer)
    return predicted


def _predicted(module: EmotionModule, trainer: lightning.Trainer, loader: Any) -> Predicted:  # noqa: ANN401
    with fused_embeddings(module) as vectors:
        mine: Any = trainer.predict(module, dataloaders=loader) or []
    keys = [names for names, _ in mine]
    # A classifier of the user's own may ask its fusion more than once a batch. Of a dialogue, what
    # is behind a batch's own utterances is context alone.
    by_batch = list(zip(keys, vectors, strict=True)) if len(vectors) == len(keys) else []
    embeddings = [(names, batch[: len(names)]) for names, batch in by_batch]
    return Predicted(gathered(mine), gathered(embeddings))


def _traits(datamodule: EmotionDataModule, split: str) -> pd.DataFrame:
    """The rows of a split with what is known of each."""
    dataset, prepared = datamodule.datasets[split], datamodule.prepared
    sound = (lambda row: dataset.sound(row).numpy()) if prepared.has_sound else None
    return with_traits(dataset.rows, sound, prepared.sample_rate)


def _shift(
    folder: RunFolder,
    predicted: Mapping[str, Predicted],
    datamodule: EmotionDataModule,
    tables: Sequence[pd.DataFrame],
    unit: str,
) -> ShiftMetrics | None:
    """How far test lies from training; the run keeps what is needed to tell it of other inputs.

    None without a modality, or where the model has no one embedding.
    """
    if "train" not in predicted:
        return None
    dataset = datamodule.datasets["train"]
    # Behind the answered ones a data set of dialogues has others, which have no class.
    class_of = dict(zip(dataset.rows["key"], dataset.targets, strict=True))
    keys = [key for names, _ in predicted["train"].embeddings for key in names]
    known = TrainingEmbeddings.of(
        by_key(predicted["train"].embeddings, keys), np.array([class_of[key] for key in keys])
    )
    if known is None:
        return None
    val, test = tables
    own = known.distances(by_key(predicted["val"].embeddings, val["key"].tolist()))
    known = replace(known, val_distances=np.sort(own))
    with folder.sealed(folder.embeddings_file):
        known.write(folder.embeddings_file)
    distances = known.distances(by_key(predicted["test"].embeddings, test["key"].tolist()))
    return shift_metrics(known, test, distances, unit)


def _shift_of(
    folder: RunFolder, predicted: Predicted, table: pd.DataFrame, unit: str
) -> ShiftMetrics | None:
    """How far another corpus lies from the run's training, where the run has kept what tells."""
    known = folder.read_training_embeddings()
    if known is None or not predicted.embeddings:
        return None
    distances = known.distances(by_key(predicted.embeddings, table["key"].tolist()))
    return shift_metrics(known, table, distances, unit)


def print_results(folder: RunFolder) -> None:
    """Print the test metrics and where everything lies."""
    metrics = folder.read_metrics()
    protocol = metrics.protocol
    table = pd.read_csv(folder.table_file)
    test = table[table["split"] == "test"].drop(columns=["split", "split_protocol"])
    test["support"] = ["" if pd.isna(count) else f"{count:.0f}" for count in test["support"]]
    text = test.to_string(index=False, float_format=lambda v: f"{v:.3f}", na_rep="")
    num_test, other = protocol.num_utterances["test"], protocol.evaluated_on
    rows = "Test split" if other is None else "Another corpus"
    origin = protocol.corpus_split if other is None else other.corpus_split
    print(
        f"\n{rows} ({evaluated_stamp(protocol)}, N = {num_test}"
        f"{without_modality(protocol.missing)}; the corpus' split: {origin}), "
        f"{_what_is_evaluated(folder, protocol)}:\n{text}\n"
    )
    if metrics.by_corpus:
        print(f"By corpus:\n{_by_corpus(metrics)}\n")
    if other is not None:
        print("\n".join(other.sentences(protocol.corpus, num_test)) + "\n")
    if warning := leak_warning(protocol):
        print(f"{warning}\n")
    for label, path in (
        ("metrics table", folder.table_file),
        ("metrics", folder.metrics_file),
        ("predictions", folder.predictions_file),
        ("confusion matrix", folder.confusion_file),
        ("curves", folder.curves_file),
        ("settings tried", folder.tuning_file),
        ("features", folder.features_file),
        ("reliability", folder.reliability_file),
        ("risk, coverage", folder.abstention_file),
        ("report", folder.report_file),
    ):
        if path.is_file():
            print(f"{label:>17}: {path}")


def _what_is_evaluated(folder: RunFolder, protocol: Protocol) -> str:
    if folder.tuning_file.is_file():
        return f"{protocol.selection}"
    return "at the checkpoint chosen on validation"


def _by_corpus(metrics: RunMetrics) -> str:
    """Test scores of each of several corpora."""
    rows = {
        corpus: {
            "UAR": test.uar,
            "accuracy": test.accuracy,
            "macro F1": test.macro.f1,
            "weighted F1": test.weighted.f1,
            "N": test.num_utterances,
        }
        for corpus, splits in metrics.by_corpus.items()
        for test in [splits.get("test")]
        if test is not None
    }
    return pd.DataFrame.from_dict(rows, "index").to_string(float_format=lambda v: f"{v:.3f}")
