"""``mmemo evaluate``: predictions, metrics and report at a run's chosen checkpoint."""

from __future__ import annotations

from typing import Any

import lightning
import pandas as pd
from omegaconf import DictConfig

from mmemo.corpora.leaks import EVALUATED_SPLITS
from mmemo.data.datamodule import EmotionDataModule
from mmemo.documents import write_document
from mmemo.evaluation.calibration import calibration_summary
from mmemo.evaluation.intervals import run_intervals
from mmemo.evaluation.metrics import compute_metrics, metrics_table
from mmemo.evaluation.predictions import Outputs, build_table, gathered, write_predictions
from mmemo.evaluation.protocol import leak_warning, split_stamp, without_modality
from mmemo.evaluation.run_metrics import RunMetrics
from mmemo.evaluation.units import kept_together, with_units
from mmemo.folders import check_writable, written_whole
from mmemo.reporting.run_report import write_report
from mmemo.runs.data_card import check_same_split
from mmemo.runs.experiment import Experiment
from mmemo.runs.rebuilt_run import load_checkpoint, rebuild_run, saved_parts
from mmemo.runs.run_files import read_history
from mmemo.runs.run_folder import RunFolder, chosen_checkpoint
from mmemo.runs.saved_config import trusted_names
from mmemo.training.module import EmotionModule
from mmemo.training.processes import leave_together


def run(cfg: DictConfig) -> None:
    """Build the run's model and data again and evaluate it."""
    check_writable(RunFolder.open(cfg.run).path)
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
        str(split): compute_metrics(rows, majority)
        for split, rows in table.groupby("split", sort=False)
    }
    protocol = experiment.protocol(datamodule, epoch, module.loss.name, unit, folder.missing)
    document = RunMetrics(
        protocol, metrics, run_intervals(test, unit), calibration_summary([(val, test)])
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
    protocol = folder.read_metrics().protocol
    table = pd.read_csv(folder.table_file)
    test = table[table["split"] == "test"].drop(columns=["split", "split_protocol"])
    test["support"] = ["" if pd.isna(count) else f"{count:.0f}" for count in test["support"]]
    text = test.to_string(index=False, float_format=lambda v: f"{v:.3f}", na_rep="")
    num_test = protocol.num_utterances["test"]
    print(
        f"\nTest split ({split_stamp(protocol)}, N = {num_test}"
        f"{without_modality(protocol.missing)}; the corpus' split: {protocol.corpus_split}), at "
        f"the checkpoint chosen on validation:\n{text}\n"
    )
    if warning := leak_warning(protocol):
        print(f"{warning}\n")
    for label, path in (
        ("metrics table", folder.table_file),
        ("metrics", folder.metrics_file),
        ("predictions", folder.predictions_file),
        ("confusion matrix", folder.confusion_file),
        ("curves", folder.curves_file),
        ("reliability", folder.reliability_file),
        ("report", folder.report_file),
    ):
        print(f"{label:>17}: {path}")
