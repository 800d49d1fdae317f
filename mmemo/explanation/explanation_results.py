"""What ``mmemo explain`` prints of its results, and how they get to Weights & Biases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hydra.utils import get_class, instantiate
from omegaconf import DictConfig

from mmemo.commands.early_checks import not_wandb
from mmemo.explanation.explained_set import SUMMARY_FILE
from mmemo.explanation.index import INDEX_FILE, PROBES_FILE
from mmemo.explanation.set_folder import FAILURES_FILE, SetFolder
from mmemo.explanation.tracking import log_explanations
from mmemo.reporting.wandb_results import log_more
from mmemo.runs.run_folder import RunFolder
from mmemo.training.wandb_logger import TolerantWandbLogger

JOB_TYPE = "explain"


@dataclass(frozen=True)
class Results:
    """What a command has found.

    Args:
        folder: Where it lies.
        keys: Of the utterances.
        summary: Contents of ``summary.json``.
        failures: By key, what happened to those that could not be explained or checked.
    """

    folder: SetFolder
    keys: list[str]
    summary: Mapping[str, Any]
    failures: Mapping[str, str]


def print_results(results: Results) -> None:
    """Print the checks as one small table, what failed, and where everything lies."""
    if results.summary["checks"]:
        print(f"\n{checks_text(results.summary)}")
    if results.failures:
        print(f"\n{len(results.failures)} of {len(results.keys)} utterances failed:")
        for key, reason in results.failures.items():
            print(f"  {key}: {reason}")
    path = results.folder.path
    print()
    for label, name in (
        ("page", INDEX_FILE),
        ("numbers", SUMMARY_FILE),
        ("layer probes", PROBES_FILE),
        ("failures", FAILURES_FILE if results.failures else ""),
    ):
        if name and (path / name).is_file():
            print(f"{label:>17}: {path / name}")


def checks_text(summary: Mapping[str, Any]) -> str:
    """The checks over a set as lines of text."""
    rows = [("check", "of", "mean", "unrelated", "95 % of the difference", "p (Holm)", "N", "")]
    for row in summary["checks"]:
        bounds = (row["difference_low"], row["difference_high"])
        rows.append(
            (
                row["name"],
                f"{row['method'].replace('_', ' ')}, {row['modality']}",
                _number(row["mean"]),
                _number(row["reference"]),
                "" if None in bounds else f"{bounds[0]:+.3f} to {bounds[1]:+.3f}",
                _number(row["holm_p"]),
                str(row["num"]),
                _verdicts(row),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    note = f"Intervals and p: t over {summary['num_units']} {summary['unit']}s, of paired "
    note += f"differences; none below {summary['min_units']}. In brackets: of single utterances."
    return "\n".join([*lines, note])


def _verdicts(row: Mapping[str, Any]) -> str:
    """What is said of the set, and of how many single ones."""
    single = [f"{text}: {num}" for text, num in row["verdicts"].items() if text]
    return f"{row['told']} ({', '.join(single)})".strip() if single else str(row["told"])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def check_logger(cfg: DictConfig) -> None:
    """Check the choice of logger before anything is computed.

    Raises:
        InputError: If another one than W&B's was chosen.
    """
    if cfg.logger and not issubclass(get_class(cfg.logger["_target_"]), TolerantWandbLogger):
        raise not_wandb(cfg.logger["_target_"])


def track_results(cfg: DictConfig, folder: RunFolder, results: Results) -> None:
    """Log images and sound, where ``logger=wandb``: to the run's own run on W&B if it has one."""
    if not cfg.logger:
        return
    cfg.run_dir = str(folder.path)
    logger: TolerantWandbLogger = instantiate(cfg.logger, _convert_="all")
    log_more(logger, folder, JOB_TYPE, lambda run: log_explanations(run, results.folder.path))
