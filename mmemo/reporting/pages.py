"""The report of a run: one page that needs nothing but itself."""

from __future__ import annotations

from typing import Any

import pandas as pd

from mmemo.comparison.numbers import told
from mmemo.corpora.leaks import LEAKY
from mmemo.evaluation.calibration import is_at_bound
from mmemo.evaluation.metrics import metrics_table
from mmemo.evaluation.predictions import read_predictions
from mmemo.evaluation.protocol import leak_warning, split_stamp, without_modality
from mmemo.folders import write_whole
from mmemo.reporting.figures import plot_confusion_matrix, plot_curves, plot_reliability
from mmemo.reporting.self_contained import as_data_uri, render_page
from mmemo.runs.run_files import read_history
from mmemo.runs.run_folder import RunFolder

MAX_SHOWN = 200
UNKNOWN_SOURCE = {
    "mmemo_version": "of unknown version",
    "started": "at an unknown time",
    "git_commit": None,
    "git_dirty": None,
}
MOST_CONFIDENT_ERRORS = 15


def write_report(run: RunFolder) -> None:
    """Draw the figures of an evaluated run and write its ``report.html``.

    Only files of the run folder are read. Text of the corpus is escaped.
    """
    metrics = run.read_metrics()
    data = run.read_data_card()
    table = read_predictions(run.predictions_file)
    protocol = metrics["protocol"]
    test = table[table["split"] == "test"]
    stamp = split_stamp(protocol)
    mark = LEAKY if protocol["leaky"] else ""
    title = f"{protocol['name']}, seed {protocol['seed']}, split {stamp}"
    title += without_modality(protocol)
    plot_confusion_matrix(
        test, data["colours"], f"{title}: test, N = {len(test)}", run.confusion_file, mark
    )
    history = read_history(run.history_file)
    plot_curves(history, protocol["checkpoint_epoch"], title, run.curves_file, mark)
    calibration = metrics["calibration"]
    plot_reliability(calibration, f"{title}: test, N = {len(test)}", run.reliability_file, mark)
    page = render_page(
        "report.html.j2",
        title=title,
        run_name=run.path.name,
        leak_warning=leak_warning(protocol),
        split_stamp=stamp,
        protocol=protocol,
        info={**UNKNOWN_SOURCE, **run.read_info()},
        told_protocol=told(protocol),
        metrics=metrics["splits"],
        intervals=metrics.get("intervals"),
        rows=_by_split(metrics_table(metrics["splits"], stamp)),
        data=data,
        skipped=data["skipped"][:MAX_SHOWN],
        errors=_confident_errors(test),
        confusion=as_data_uri(run.confusion_file),
        curves=as_data_uri(run.curves_file),
        reliability=as_data_uri(run.reliability_file),
        calibration=calibration,
        has_temperature=not is_at_bound(calibration["temperature"]["mean"]),
        config=run.read_config_text(),
    )
    write_whole(run.report_file, page)


def _by_split(table: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    filled = table.astype(object).where(table.notna(), None)
    return {
        str(split): [{str(k): v for k, v in row.items()} for row in rows.to_dict("records")]
        for split, rows in filled.groupby("split", sort=False)
    }


def _confident_errors(test: pd.DataFrame) -> list[dict[str, Any]]:
    """The wrong predictions that the model was most sure of."""
    wrong = test[test["target"] != test["pred"]].copy()
    wrong["probability"] = [row[f"prob_{row['pred']}"] for _, row in wrong.iterrows()]
    wrong = wrong.sort_values("probability", ascending=False).head(MOST_CONFIDENT_ERRORS)
    columns = ["key", "speaker", "transcript", "target", "pred", "probability"]
    return [{str(k): v for k, v in row.items()} for row in wrong[columns].to_dict("records")]
