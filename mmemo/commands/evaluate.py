"""``mmemo evaluate``: predictions, metrics and report at a run's chosen checkpoint."""

from __future__ import annotations

from typing import Any, cast

import lightning
import pandas as pd
from omegaconf import DictConfig

from mmemo.corpora.leaks import EVALUATED_SPLITS
from mmemo.data.datamodule import EmotionDataModule
from mmemo.documents import write_document
from mmemo.errors import InputError
from mmemo.evaluation.calibration import calibration_summary
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
from mmemo.evaluation.run_metrics import RunMetrics
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
    folder, experiment = rebuilt.folder, rebuilt.experiment
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
    experiment = rebuilt.experiment
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
    epoch = load_checkpoint(chosen_checkpoint(folder), rebuilt.module)
    outputs = gathered(
        cast(Any, rebuilt.trainer.predict(rebuilt.module, datamodule.test_dataloader())) or []
    )
    by_own_split = tested.rows.assign(split=tested.rows["corpus_split"])
    unit, columns = kept_together(by_own_split, ())
    all_answers = build_table(
        outputs,
        with_units(tested.rows, columns),
        experiment.labels.classes,
        experiment.labels.column,
        datamodule.prepared.sample_rate,
    )
    num_left_out = int((~all_answers["pred"].isin(tested.classes)).sum())
    table = restricted(all_answers, tested.classes)
    write_predictions(table, folder.predictions_file)
    trained = RunFolder(folder.path).read_data_card().classes["train"]
    majority = max(tested.classes, key=lambda name: trained.get(name, 0))
    metrics = {"test": compute_metrics(table, majority, experiment.own_metrics_of(tested.classes))}
    other = tested.described(experiment.labels.classes, num_left_out, overlap)
    protocol = tested.protocol(experiment, other, epoch, rebuilt.module.loss.name, unit)
    calibration = calibration_summary([(restricted(val, tested.classes), table)])
    by_corpus = corpus_metrics(table, majority, experiment.own_metrics_of(tested.classes))
    document = RunMetrics(protocol, metrics, run_intervals(table, unit), calibration, by_corpus)
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
    outputs = predict(module, datamodule, trainer)
    unit, columns = kept_together(datamodule.rows, datamodule.split.group_columns)
    tables = [
        build_table(
            outputs[split],
            with_units(datamodule.datasets[split].rows, columns),
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
    protocol = experiment.protocol(datamodule, epoch, module.loss.name, unit, folder.missing)
    document = RunMetrics(
        protocol,
        metrics,
        run_intervals(test, unit),
        calibration_summary([(val, test)]),
        corpus_metrics(table, majority, experiment.own_metrics),
    )
    write_document(folder.metrics_file, document)
    with written_whole(folder.table_file) as place:
        metrics_table(metrics, split_stamp(protocol)).to_csv(place, index=False)
    write_report(folder)


def predict(
    module: EmotionModule, datamodule: EmotionDataModule, trainer: lightning.Trainer
) -> dict[str, Outputs]:
    """Predict validation and test, by split; with several processes all take part.

    The others predict with the first one's weights: the trainer hands them out.
    """
    outputs: dict[str, Outputs] = {}
    for split in EVALUATED_SPLITS:
        loader = datamodule.val_dataloader() if split == "val" else datamodule.test_dataloader()
        mine: Any = trainer.predict(module, dataloaders=loader)
        outputs[split] = gathered(mine or [])
    leave_together(trainer)
    return outputs


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
