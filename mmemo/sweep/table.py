"""What a sweep has found, by the metric that ``mmemo compare`` ranks by."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmemo.comparison.groups import FOLD
from mmemo.comparison.runs import read_runs
from mmemo.errors import InputError
from mmemo.evaluation.protocol import split_stamp
from mmemo.evaluation.run_metrics import SplitMetrics
from mmemo.reporting.numbers import UNDEFINED, counted, interval, mean_sd, metric_name, score
from mmemo.reporting.tables import Table, plain_console, print_table, printed, table_of
from mmemo.runs.run_folder import RunFolder
from mmemo.sweep.cells import Cell, CellState, cell_state

if TYPE_CHECKING:
    from mmemo.comparison.document import ComparisonTable, GroupResult


@dataclass(frozen=True)
class CellScores:
    """A cell that has ended, or not.

    Args:
        name: Its folder's.
        state: What has become of it.
        protocol: Corpus, label set and split in words; scores of different ones are not ranked.
        val: Its score on validation; None where it has none.
        test: Its score on test; None where it has none.
    """

    name: str
    state: CellState
    protocol: str = ""
    val: float | None = None
    test: float | None = None


def read_scores(cell: Cell, metric: str) -> CellScores:
    """What the folder of a cell tells of its results.

    Args:
        cell: The cell.
        metric: "weighted_f1", "macro_f1" or "accuracy".
    """
    state = cell_state(cell.folder)
    try:
        found = cell.folder.read_metrics()
        protocol = found.protocol
        stamp = f"{protocol.corpus}, labels {protocol.labels}, split {split_stamp(protocol)}"
        val, test = (_of_split(found.splits[split], metric) for split in ("val", "test"))
        return CellScores(cell.name, state, stamp, val, test)
    except (InputError, KeyError):
        return CellScores(cell.name, state)


def _of_split(metrics: SplitMetrics, metric: str) -> float | None:
    scores: dict[str, float | None] = {
        "accuracy": metrics.accuracy,
        "macro_f1": metrics.macro.f1,
        "weighted_f1": metrics.weighted.f1,
        **metrics.single_scores,
    }
    return scores.get(metric)


def scores_text(cells: Iterable[Cell], metric: str) -> str:
    """A table of the cells for each protocol, the best on validation first; empty without scores.

    Args:
        cells: Of one sweep.
        metric: As for ``read_scores``.
    """
    found = [read_scores(cell, metric) for cell in cells]
    protocols = list(dict.fromkeys(s.protocol for s in found if s.protocol))
    console = plain_console()
    for protocol in protocols:
        rows = sorted(
            (s for s in found if s.protocol == protocol and s.val is not None),
            key=lambda s: -(s.val or 0.0),
        )
        print_table(console, _table(rows, f"Cells by {metric_name(metric)} ({protocol})", metric))
    without = [s for s in found if not s.protocol]
    if protocols and without:
        table = _table(without, "Cells without results", metric)
        print_table(console, table)
    return printed(console).strip("\n")


def folds_text(cells: Iterable[Cell], metric: str) -> str:
    """What the folds of a cross-validation come to together, each utterance tested once.

    Args:
        cells: Of one sweep.
        metric: Told beside UAR and accuracy.

    Returns:
        A line for each group of runs and metric; empty where no folds were run.
    """
    # Imported here: it takes what tests differences, which no other sweep needs.
    from mmemo.comparison.comparison import Comparison

    finished = [cell.folder for cell in cells if cell_state(cell.folder) is CellState.FINISHED]
    if len({_test_fold(folder) for folder in finished} - {None}) < 2:
        return ""
    results, left_out = read_runs(finished)
    try:
        document = Comparison(metric="uar", differences=False).compare(results, left_out)
    except InputError as error:
        # The cells are there all the same.
        return f"folds are not taken together: {error}"
    fold_of = {run.name: run.settings.get(FOLD) for run in results}
    lines: list[str] = []
    for table in document.tables:
        for group in table.groups:
            num_folds = len({fold_of[name] for name in group.runs})
            if num_folds > 1:
                metrics = dict.fromkeys(("uar", "accuracy", metric))
                lines += _folds_lines(table, group, num_folds, metrics)
    return "\n".join(lines)


def _test_fold(folder: RunFolder) -> str | None:
    try:
        settings = folder.read_metrics().protocol.split_settings
    except InputError:
        return None
    return str(settings["test_fold"]) if "test_fold" in settings else None


def _folds_lines(
    table: ComparisonTable, group: GroupResult, num_folds: int, metrics: Iterable[str]
) -> Iterator[str]:
    num, units = table.protocol.num_utterances["test"], table.inference
    folds = counted(num_folds, "fold")
    scores = {name: group.test[name] for name in metrics}
    has_setting = all(found.interval for found in scores.values())
    kind = "interval" if has_setting else "interval_models"
    described = {name: getattr(found, kind) for name, found in scores.items()}
    drawn = f", 95 % of {units.kinds[kind]}" if any(described.values()) else ""
    rows = f"N = {num} in {counted(units.num_units, units.unit)}"
    yield f"{group.name}, {folds} together, {rows}{drawn}:"
    for name, found in scores.items():
        yield f"  {metric_name(name)} {mean_sd(found)} {interval(described[name])}"
    missing = f"{group.name}: seed "
    yield from (n for n in table.notes if n.startswith(missing) and "lacks the test folds" in n)


def _table(scores: Sequence[CellScores], title: str, metric: str) -> Table:
    rows = [
        [
            s.name,
            s.state.value,
            *(UNDEFINED if value is None else score(value) for value in (s.val, s.test)),
        ]
        for s in scores
    ]
    header = ["cell", "state", *(f"{metric_name(metric)},\n{split}" for split in ("val", "test"))]
    return table_of("cells", title, header, "llrr", rows)


def upload_command(folder: Path, cells: Iterable[Cell]) -> str | None:
    """The command that uploads what W&B has kept of the cells here; None where nothing waits."""
    waiting = [files for cell in cells if (files := _not_uploaded(cell.folder))]
    if not waiting:
        return None
    return f"wandb sync {shlex.quote(str(folder))}/*/wandb/offline-run-*"


def _not_uploaded(run: RunFolder) -> str | None:
    try:
        card = run.read_info().wandb
    except InputError:
        return None
    files = (card and card.files) or ""
    return files if card and not card.uploaded and "offline-run-" in files else None
