"""The report of a run: one page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from mmemo.corpora.leaks import LEAKY
from mmemo.documents import content_of, damaged
from mmemo.evaluation.abstention_metrics import AbstentionMetrics
from mmemo.evaluation.calibration import is_at_bound
from mmemo.evaluation.group_metrics import GroupMetrics
from mmemo.evaluation.metrics import metrics_table
from mmemo.evaluation.predictions import read_predictions
from mmemo.evaluation.protocol import (
    Protocol,
    evaluated_stamp,
    leak_warning,
    split_stamp,
    without_modality,
)
from mmemo.evaluation.run_metrics import Calibration, RunMetrics
from mmemo.folders import write_whole
from mmemo.reporting.abstention_tables import (
    area_sentence,
    class_coverage_table,
    conformal_table,
    coverage_table,
    shift_sentence,
    threshold_sentences,
)
from mmemo.reporting.figures import inline_svg, save_figure
from mmemo.reporting.group_tables import gaps_table, group_table, reading_sentences
from mmemo.reporting.numbers import UNDEFINED, in_words, score
from mmemo.reporting.run_figures import (
    confusion_figure,
    curves_figure,
    groups_figure,
    reliability_figure,
    risk_coverage_figure,
)
from mmemo.reporting.self_contained import render_page
from mmemo.reporting.tables import Table, table_of
from mmemo.runs.classical_files import CHOSEN, MEAN, SPREAD, read_tuning
from mmemo.runs.run_files import DataCard, read_history
from mmemo.runs.run_folder import RESTORE, RunFolder

MAX_SHOWN = 200
CHOSEN_PARTS = ("audio_encoder", "text_encoder", "context", "sampling")
MOST_CONFIDENT_ERRORS = 15
MAX_GROUPS = 30
"""Of a column in a table; of more those with the lowest scores."""
FIGURE_TITLES = {
    "confusion": "Confusion matrix of the test split: counts and row percentages",
    "reliability": "Accuracy by mean confidence of each bin, before and after the temperature",
    "risk-coverage": "Share of wrong answers by the share of the test split that is answered",
    "groups": "Scores of groups of the test split, with intervals",
    "curves": "Loss and accuracy by epoch for training and validation; the chosen epoch is marked",
}


def write_report(run: RunFolder) -> None:
    """Draw the figures of an evaluated run and write its ``report.html``.

    Only files of the run folder are read. Text of the corpus is escaped.
    """
    metrics = run.read_metrics()
    data = run.read_evaluated_data_card()
    table = read_predictions(run.predictions_file)
    protocol = metrics.protocol
    test = table[table["split"] == "test"]
    other = protocol.evaluated_on
    stamp = evaluated_stamp(protocol)
    title = f"{protocol.name}, seed {protocol.seed}, split {split_stamp(protocol)}"
    title += f", {stamp}" if other else ""
    rows_stamp = stamp if other else f"split {stamp}"
    title += without_modality(protocol.missing)
    calibration = metrics.calibration
    if calibration is None:
        raise damaged(run.metrics_file, "the calibration of the run", "it is missing", RESTORE)
    page = render_page(
        "report.html.j2",
        title=title,
        run_name=run.path.name,
        leak_warning=leak_warning(protocol),
        rows_stamp=rows_stamp,
        other_corpus=other.sentences(protocol.corpus, len(test)) if other else [],
        protocol=protocol,
        info=run.read_info(),
        described_protocol=in_words(_by_option(protocol, run.read_info().choices)),
        metrics=metrics.splits,
        intervals=metrics.intervals,
        data=data,
        counts=_counts(data),
        classes=_classes(data, protocol.classes, rows_stamp),
        skipped=_skipped(data),
        scores=_scores(metrics_table(metrics.splits, stamp)),
        by_corpus=_by_corpus(metrics),
        errors=_confident_errors(test),
        calibration=calibration,
        calibration_table=_calibration(calibration),
        has_temperature=not is_at_bound(calibration.temperature.mean),
        gaps=gaps_table(metrics.groups) if metrics.groups else None,
        group_tables=_groups(metrics.groups),
        group_sentences=reading_sentences(metrics.groups) if metrics.groups else [],
        abstention=_abstention(metrics.abstention),
        shift_sentence=shift_sentence(metrics.shift) if metrics.shift else "",
        figures=_figures(run, metrics, data.colours, test, title),
        tuning=_tuning(run),
        config=run.read_config_text(),
    )
    write_whole(run.report_file, page)


def _by_option(protocol: Protocol, choices: Mapping[str, str | None]) -> dict[str, object]:
    """The protocol, its parts called as the user has chosen them, before what they are."""
    content: dict[str, object] = content_of(protocol)
    if protocol.evaluated_on is not None:
        content["evaluated_on"] = protocol.evaluated_on.stamp
    for part in CHOSEN_PARTS:
        found, choice = content[part], choices.get(part)
        if choice is not None and found != "none":
            content[part] = f"{choice} ({found})"
    return content


def _figures(
    run: RunFolder,
    metrics: RunMetrics,
    colours: Mapping[str, str],
    test: pd.DataFrame,
    title: str,
) -> dict[str, Markup]:
    """Save the figures as files; the same for the page."""
    protocol, calibration = metrics.protocol, metrics.calibration
    assert calibration is not None
    mark = LEAKY if protocol.leaky else ""
    test_title = f"{title}: test, N = {len(test)}"
    drawn = {
        "confusion": confusion_figure(test, colours, test_title, mark),
        "reliability": reliability_figure(calibration, test_title, mark),
    }
    if not run.tuning_file.is_file():
        history = read_history(run.history_file)
        drawn["curves"] = curves_figure(history, protocol.checkpoint_epoch, title, mark)
    files: dict[str, Path] = {
        "confusion": run.confusion_file,
        "reliability": run.reliability_file,
        "curves": run.curves_file,
    }
    if metrics.abstention is not None:
        selective = metrics.abstention.selective
        drawn["risk-coverage"] = risk_coverage_figure(selective, test_title, mark)
        files["risk-coverage"] = run.abstention_file
    for name, figure in drawn.items():
        save_figure(figure, files[name])
    if metrics.groups is not None and metrics.groups.columns:
        drawn["groups"] = groups_figure(metrics.groups, test_title, mark)
    return {name: inline_svg(figure, name, FIGURE_TITLES[name]) for name, figure in drawn.items()}


def _groups(groups: GroupMetrics | None) -> list[Table]:
    """A table for each column, the longest ones cut."""
    if groups is None:
        return []
    most = {
        name: MAX_GROUPS if len(column.groups) > MAX_GROUPS else None
        for name, column in groups.columns.items()
    }
    return [group_table(name, groups, rows) for name, rows in most.items()]


def _abstention(found: AbstentionMetrics | None) -> dict[str, object] | None:
    """What the page tells of abstaining; None where an earlier mmemo has not looked."""
    if found is None:
        return None
    return {
        "area": area_sentence(found),
        "coverage": coverage_table(found),
        "threshold": threshold_sentences(found),
        "sets": conformal_table(found),
        "by_class": class_coverage_table(found),
        "notes": found.notes,
    }


def _tuning(run: RunFolder) -> Table | None:
    """The settings that were tried for a classical classifier; None for any other."""
    tried = read_tuning(run.tuning_file)
    if tried is None:
        return None
    shown = [name for name in tried[0] if name not in (MEAN, SPREAD, CHOSEN, "split_protocol")]
    rows = [
        [*(row[name] for name in shown), score(float(row[MEAN])), score(float(row[SPREAD]))]
        for row in tried
    ]
    kinds = ["main" if row[CHOSEN] == "True" else "" for row in tried]
    header = [*(name.removeprefix("model__") for name in shown), "mean score", "sd over folds"]
    return table_of("tuning", "", header, "l" * len(shown) + "rr", rows, kinds=kinds)


def _counts(data: DataCard) -> Table:
    """What became of the annotations' rows, by the corpus' own split."""
    names = data.columns
    rows = [
        [split, *(str(counts[name]) for name in names)] for split, counts in data.counts.items()
    ]
    kinds = ["main" if split == "all" else "" for split in data.counts]
    return table_of("counts", "", ["split", *names], "l" + "r" * len(names), rows, kinds=kinds)


def _classes(data: DataCard, classes: Sequence[str], rows_stamp: str) -> Table:
    rows = [
        [
            split,
            *(str(counts[name]) for name in classes),
            str(sum(counts.values())),
            str(data.num_cut[split]),
        ]
        for split, counts in data.classes.items()
    ]
    header = [f"{rows_stamp}, by class", *classes, "all", f"cut at {data.max_duration_s} s"]
    return table_of("classes", "", header, "l" + "r" * (len(header) - 1), rows)


def _skipped(data: DataCard) -> Table:
    names = ["key", "reason", "detail"]
    rows = [[row.key, row.reason, str(row.detail)] for row in data.skipped[:MAX_SHOWN]]
    return table_of("skipped", "", names, "lll", rows)


def _scores(table: pd.DataFrame) -> dict[str, Table]:
    """The scores of each split: a row for each class, average and baseline."""
    names = {"precision": "precision", "recall": "recall", "f1": "F1", "auroc": "AUROC"}
    names["score"] = "score"
    scores = {}
    for split, part in table.groupby("split", sort=False):
        rows = [
            [
                str(row["row"]),
                *(UNDEFINED if pd.isna(row[name]) else score(row[name]) for name in names),
                UNDEFINED if pd.isna(row["support"]) else str(row["support"]),
            ]
            for _, row in part.iterrows()
        ]
        kinds = [_kind(str(name)) for name in part["row"]]
        header = ["", *names.values(), "support"]
        scores[str(split)] = table_of("scores", "", header, "lrrrrrr", rows, kinds=kinds)
    return scores


def _by_corpus(metrics: RunMetrics) -> Table | None:
    """The scores of each of several corpora under those of all; None for one."""
    if not metrics.by_corpus:
        return None
    rows, kinds = [], []
    for split, pooled in metrics.splits.items():
        parts = {name: found[split] for name, found in metrics.by_corpus.items() if split in found}
        for name, found in {"all": pooled, **parts}.items():
            num_classes = sum(scores.support > 0 for scores in found.per_class.values())
            scores = (
                found.uar,
                found.accuracy,
                found.macro.f1,
                found.weighted.f1,
                found.auroc_macro,
            )
            cells = [UNDEFINED if value is None else score(value) for value in scores]
            rows.append([f"{split}: {name}", *cells, str(num_classes), str(found.num_utterances)])
            kinds.append("main" if found is pooled else "sub")
    header = ["", "UAR", "accuracy", "macro F1", "weighted F1", "AUROC (macro)"]
    header += ["classes there", "N"]
    return table_of("by corpus", "", header, "lrrrrrrr", rows, kinds=kinds)


def _kind(name: str) -> str:
    if name.startswith("always "):
        return "aside"
    return "main" if name in ("accuracy", "macro", "weighted", "uar", "mcc") else ""


def _calibration(found: Calibration) -> Table:
    error = f"expected calibration error ({found.num_bins} bins)"
    rows = [
        [error, score(found.ece.mean), score(found.ece_scaled.mean)],
        ["Brier score (0 to 2)", score(found.brier.mean), score(found.brier_scaled.mean)],
    ]
    return table_of("calibration", "", ["", "as it is", "with the temperature"], "lrr", rows)


def _confident_errors(test: pd.DataFrame) -> Table:
    """The wrong predictions that the model was most sure of."""
    wrong = test[test["target"] != test["pred"]].copy()
    wrong["probability"] = [row[f"prob_{row['pred']}"] for _, row in wrong.iterrows()]
    wrong = wrong.sort_values("probability", ascending=False).head(MOST_CONFIDENT_ERRORS)
    texts = wrong[["key", "speaker", "transcript", "target", "pred"]].astype(str)
    rows = [
        [*row, f"{probability:.2f}"]
        for row, probability in zip(texts.to_numpy().tolist(), wrong["probability"], strict=True)
    ]
    header = ["key", "speaker", "transcript", "annotated", "predicted", "probability"]
    return table_of("errors", "", header, "lllllr", rows)
