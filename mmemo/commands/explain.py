"""``mmemo explain``: why a run's model answers as it does, and how far that can be believed."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import pandas as pd
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig

from mmemo.commands.early_checks import AUTO, not_wandb, other_runs, selection_of, target_of
from mmemo.comparison.groups import seed_siblings
from mmemo.data.datamodule import EmotionDataModule
from mmemo.errors import InputError
from mmemo.evaluation.predictions import read_predictions
from mmemo.evaluation.protocol import Protocol, leak_warning
from mmemo.evaluation.units import KeyUnits
from mmemo.explanation.checks_summary import checks_table
from mmemo.explanation.claims import PaperClaims
from mmemo.explanation.encoder_probes import TABLE_FILE, EncoderProbes, probe_run
from mmemo.explanation.explainer import Explainer
from mmemo.explanation.explanation import Explanation
from mmemo.explanation.faithfulness import Faithfulness
from mmemo.explanation.index import INDEX_FILE, write_explanation_index
from mmemo.explanation.inputs import UtteranceInput, utterance_input
from mmemo.explanation.page import has_page, write_explanation_page
from mmemo.explanation.runner import ExplanationRunner
from mmemo.explanation.selection import Selection, most_confident
from mmemo.explanation.set_folder import FAILURES_FILE, SetFolder, SetSettings
from mmemo.explanation.summary import SUMMARY_FILE, SetSummary, write_set_summary
from mmemo.explanation.wandb_upload import log_explanations
from mmemo.folders import check_writable
from mmemo.models.classifier import EmotionClassifier
from mmemo.progress import progress_bar
from mmemo.reporting.tables import plain_console, print_table, printed
from mmemo.reporting.wandb_results import log_more
from mmemo.runs.data_card import check_same_split
from mmemo.runs.rebuilt_run import RebuiltRun, rebuild_run, saved_parts
from mmemo.runs.run_folder import RunFolder, chosen_checkpoint, file_digest
from mmemo.runs.saved_config import trusted_names
from mmemo.training.wandb_logger import TolerantWandbLogger
from mmemo.version import __version__

FOLDER = "explanations"


def run(cfg: DictConfig) -> None:
    """Explain, check, probe; write and print what was found.

    What is there from an interrupted command with the same settings stays.
    """
    _check_logger(cfg)
    faithfulness: Faithfulness = instantiate(cfg.faithfulness_checks, _convert_="all")
    probes: EncoderProbes = instantiate(cfg.layer_probes, _convert_="all")
    own = RunFolder.open(cfg.run)
    check_writable(own.path)
    table = read_predictions(own.predictions_file)
    protocol = own.read_metrics().protocol
    rebuilt, datamodule = _rebuild(cfg, cfg.run)
    siblings = _other_seeds(cfg, rebuilt.folder) if cfg.faithfulness else []
    selection = selection_of(cfg)
    targets = dict.fromkeys(selection.choose(table), target_of(cfg))
    runner = _runner(cfg, rebuilt, datamodule)
    folder = _set_folder(cfg, rebuilt, selection, runner.explainer)
    if cfg.probes:
        probe_run(probes, cfg.explained_split, rebuilt, datamodule, folder.path)
    runner.explain(folder, targets, "explaining")
    if cfg.faithfulness:
        runner.print_check_cost(folder, targets, faithfulness, len(siblings))
        seeds = _explain_by_other_seeds(cfg, siblings, folder, list(targets))
        runner.check(folder, list(targets), faithfulness, seeds)
    failures = folder.update_failures(runner.failures, runner.done)
    _end_without_any(folder, list(targets), failures)
    summary = _write_pages(cfg, rebuilt, folder, list(targets), table, protocol)
    _print_results(folder.path, summary, failures, len(targets))
    if cfg.logger:
        cfg.run_dir = str(rebuilt.folder.path)
        logger: TolerantWandbLogger = instantiate(cfg.logger, _convert_="all")
        log = partial(log_explanations, root=folder.path)
        log_more(logger, rebuilt.folder, "explain", log)


def _check_logger(cfg: DictConfig) -> None:
    if cfg.logger and not issubclass(get_class(cfg.logger["_target_"]), TolerantWandbLogger):
        raise not_wandb(cfg.logger["_target_"])


def _rebuild(cfg: DictConfig, run: str) -> tuple[RebuiltRun, EmotionDataModule]:
    rebuilt = rebuild_run(run, cfg.prepared, trusted_names(cfg.trust))
    with saved_parts(rebuilt.folder):
        datamodule = rebuilt.experiment.build_plain_datamodule(rebuilt.prepared, rebuilt.encoders)
    check_same_split(rebuilt.folder, datamodule)
    rebuilt.module.to(rebuilt.device)
    return rebuilt, datamodule


def _runner(
    cfg: DictConfig, rebuilt: RebuiltRun, datamodule: EmotionDataModule
) -> ExplanationRunner:
    classes = rebuilt.labels.classes
    explainer: Explainer = instantiate(cfg.explainer, _convert_="all", classes=classes)
    classifier = cast(EmotionClassifier, rebuilt.module.classifier)
    return ExplanationRunner(explainer, classifier, partial(_load, datamodule, rebuilt))


def _load(datamodule: EmotionDataModule, rebuilt: RebuiltRun, key: str) -> UtteranceInput:
    return utterance_input(datamodule, key, rebuilt.encoders.text)


def _set_folder(
    cfg: DictConfig, rebuilt: RebuiltRun, selection: Selection, explainer: Explainer
) -> SetFolder:
    """The place for these settings and this checkpoint."""
    settings = SetSettings(
        selection=selection.name,
        keys=tuple(selection.keys),
        split=selection.split,
        target=target_of(cfg),
        seed=cfg.seed,
        checkpoint=file_digest(chosen_checkpoint(rebuilt.folder)),
        mmemo_version=__version__,
        explainer=explainer.settings(),
    )
    return SetFolder.of(rebuilt.folder.path / FOLDER, cfg.name, settings)


def _other_seeds(cfg: DictConfig, own: RunFolder) -> list[Path]:
    """Runs whose explanations are compared with this one's."""
    if cfg.other_seeds == AUTO:
        return seed_siblings(own)
    return [run.path for run in other_runs(cfg) if run.path != own.path]


def _explain_by_other_seeds(
    cfg: DictConfig, runs: Sequence[Path], folder: SetFolder, keys: Sequence[str]
) -> list[SetFolder]:
    """Explain the same utterances and classes by runs of other seeds, one after the other."""
    targets = {k: Explanation.load(folder.place(k)).target for k in keys if folder.is_finished(k)}
    places = []
    for path in runs:
        try:
            place = folder.seed_folder(path, file_digest(chosen_checkpoint(RunFolder.open(path))))
            if place.missing(list(targets)):
                _explain_by_one(cfg, path, place, targets)
            places.append(place)
        except (InputError, OSError) as error:
            print(f"  left out, {path.name}: {error}", file=sys.stderr)
    return places


def _explain_by_one(
    cfg: DictConfig, path: Path, place: SetFolder, targets: Mapping[str, str]
) -> None:
    rebuilt, datamodule = _rebuild(cfg, str(path))
    other = _runner(cfg, rebuilt, datamodule)
    other.explainer = other.explainer.without_shapley()
    other.explain(place, targets, f"seed {rebuilt.experiment.seed}")
    for key, reason in other.failures.items():
        print(f"  left out, by {path.name}: {key}: {reason}", file=sys.stderr)


def _end_without_any(folder: SetFolder, keys: Sequence[str], failures: Mapping[str, str]) -> None:
    if any(folder.is_finished(key) for key in keys):
        return
    key, reason = next(iter(failures.items()))
    raise InputError(
        f"{folder.path}: expected at least one of {len(keys)} utterances to be explained, none "
        f"was; the first: {key}: {reason}"
    )


def _write_pages(
    cfg: DictConfig,
    rebuilt: RebuiltRun,
    folder: SetFolder,
    keys: Sequence[str],
    table: pd.DataFrame,
    protocol: Protocol,
) -> SetSummary:
    """A page for each explanation, numbers over all, and the page of the set."""
    colours = rebuilt.labels.colours
    there = [key for key in keys if folder.is_finished(key)]
    surest = most_confident(table[table["key"].isin(there)])
    shown = list(dict.fromkeys([*surest, *there]))[: cfg.num_pages]
    with progress_bar(len(shown), "writing pages", unit="page") as bar:
        for key in shown:
            if not has_page(folder.place(key)):
                write_explanation_page(folder.place(key), colours)
            bar.update()
    paper: PaperClaims = instantiate(cfg.claims, _convert_="all")
    units = KeyUnits.of(table, protocol)
    summary = write_set_summary(folder.path, cfg.min_word_count, units, paper.claims)
    title = f"{rebuilt.folder.path.name}: {folder.path.name}"
    warning = leak_warning(protocol) or ""
    write_explanation_index(folder.path, title, colours, warning, paper.source)
    return summary


def _print_results(
    folder: Path, summary: SetSummary, failures: Mapping[str, str], num_keys: int
) -> None:
    """Print the checks as one small table, what failed, and where everything lies."""
    if summary.checks:
        console = plain_console()
        print_table(console, checks_table(summary.checks, summary.unit, summary.num_units))
        print(printed(console))
    if failures:
        print(f"\n{len(failures)} of {num_keys} utterances failed:")
        for key, reason in failures.items():
            print(f"  {key}: {reason}")
    print()
    for label, name in (
        ("page", INDEX_FILE),
        ("numbers", SUMMARY_FILE),
        ("layer probes", TABLE_FILE),
        ("failures", FAILURES_FILE if failures else ""),
    ):
        if name and (folder / name).is_file():
            print(f"{label:>17}: {folder / name}")
