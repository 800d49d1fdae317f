"""``mmemo explain``: why a run's model answers as it does, and how far that can be believed."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import cast

import pandas as pd
from hydra.utils import instantiate
from omegaconf import DictConfig

from mmemo import __version__
from mmemo.commands.early_checks import AUTO, other_runs, selection_of, target_of
from mmemo.comparison.groups import seed_siblings
from mmemo.data.datamodule import EmotionDataModule
from mmemo.errors import InputError
from mmemo.evaluation.predictions import read_predictions
from mmemo.evaluation.protocol import Protocol, leak_warning
from mmemo.evaluation.units import KeyUnits
from mmemo.explanation.encoder_probes import EncoderProbes
from mmemo.explanation.explainer import Explainer
from mmemo.explanation.explaining import Explaining
from mmemo.explanation.explanation import Explanation
from mmemo.explanation.explanation_results import (
    Results,
    check_logger,
    print_results,
    track_results,
)
from mmemo.explanation.faithfulness import Faithfulness
from mmemo.explanation.index import write_explanation_index
from mmemo.explanation.inputs import GivenInput, given_input
from mmemo.explanation.page import has_page, write_explanation_page
from mmemo.explanation.probed_run import probe_run
from mmemo.explanation.selection import Selection, most_confident
from mmemo.explanation.set_folder import SetFolder
from mmemo.explanation.set_summary import write_set_summary
from mmemo.folders import check_writable
from mmemo.models.classifier import EmotionClassifier
from mmemo.progress import progress_bar
from mmemo.runs.data_card import check_same_split
from mmemo.runs.rebuilt_run import RebuiltRun, rebuild_run, saved_parts
from mmemo.runs.run_folder import RunFolder, chosen_checkpoint, file_digest
from mmemo.runs.saved_config import trusted_names

FOLDER = "explanations"


def run(cfg: DictConfig) -> None:
    """Explain, check, probe; write and print what was found.

    What is there from an interrupted command with the same settings stays.
    """
    check_logger(cfg)
    faithfulness: Faithfulness = instantiate(cfg.faithfulness_checks, _convert_="all")
    probes: EncoderProbes = instantiate(cfg.layer_probes, _convert_="all")
    trusted = trusted_names(cfg.trust)
    own = RunFolder.open(cfg.run)
    check_writable(own.path)
    table = read_predictions(own.predictions_file)
    metrics = own.read_metrics()
    rebuilt, datamodule = _rebuild(cfg.run, cfg.prepared, trusted)
    siblings = _other_seeds(cfg, rebuilt.folder) if cfg.faithfulness else []
    selection = selection_of(cfg)
    keys = selection.choose(table)
    work = _explaining(cfg, rebuilt, datamodule)
    folder = _set_folder(cfg, rebuilt, selection, work.explainer)
    if cfg.probes:
        probe_run(probes, cfg.explained_split, rebuilt, datamodule, folder.path)
    _explain(work, folder, dict.fromkeys(keys, target_of(cfg)), "explaining")
    if cfg.faithfulness:
        _tell_checks(work, folder, dict.fromkeys(keys, target_of(cfg)), faithfulness, siblings)
        seeds = _explain_by_other_seeds(cfg, siblings, folder, keys)
        work.check(folder, keys, faithfulness, seeds)
    failures = folder.update_failures(work.failures, work.done)
    _end_without_any(folder, keys, failures)
    protocol = metrics.protocol
    results = _write_pages(cfg, rebuilt, folder, keys, table, failures, protocol)
    print_results(results)
    track_results(cfg, rebuilt.folder, results)


def _rebuild(
    run: str, prepared: str | None, trusted: tuple[str, ...]
) -> tuple[RebuiltRun, EmotionDataModule]:
    rebuilt = rebuild_run(run, prepared, trusted)
    with saved_parts(rebuilt.folder):
        datamodule = rebuilt.experiment.build_plain_datamodule(rebuilt.prepared, rebuilt.encoders)
    check_same_split(rebuilt.folder, datamodule)
    rebuilt.module.to(rebuilt.device)
    return rebuilt, datamodule


def _explaining(cfg: DictConfig, rebuilt: RebuiltRun, datamodule: EmotionDataModule) -> Explaining:
    explainer: Explainer = instantiate(
        cfg.explainer, _convert_="all", classes=rebuilt.labels.classes
    )
    classifier = cast(EmotionClassifier, rebuilt.module.classifier)
    load = partial(_load, datamodule, rebuilt)
    return Explaining(explainer, classifier, load)


def _load(datamodule: EmotionDataModule, rebuilt: RebuiltRun, key: str) -> GivenInput:
    return given_input(datamodule, key, rebuilt.encoders.text)


def _set_folder(
    cfg: DictConfig, rebuilt: RebuiltRun, selection: Selection, explainer: Explainer
) -> SetFolder:
    """The place for these settings and this checkpoint."""
    settings = {
        "selection": selection.name,
        "keys": list(selection.keys),
        "split": selection.split,
        "target": target_of(cfg),
        "seed": cfg.seed,
        "checkpoint": file_digest(chosen_checkpoint(rebuilt.folder)),
        "mmemo_version": __version__,
        **explainer.settings(),
    }
    return SetFolder.of(rebuilt.folder.path / FOLDER, cfg.name, settings)


def _explain(
    work: Explaining, folder: SetFolder, targets: dict[str, str], description: str
) -> None:
    """Tell what it costs, then explain what is missing."""
    missing = folder.missing(list(targets))
    num_there = len(targets) - len(missing)
    if not missing:
        print(f"{description}: all {num_there} explanations are there")
        return
    passes, seconds = work.cost(missing, targets[missing[0]])
    there = f" ({num_there} are there)" if num_there else ""
    print(
        f"{description}: {len(missing)} utterances{there}, {passes.forward} forward and "
        f"{passes.backward} backward passes, about {_told(seconds)}"
    )
    work.explain(folder, targets, passes.forward + passes.backward, description)


def _told(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _tell_checks(
    work: Explaining,
    folder: SetFolder,
    targets: dict[str, str],
    faithfulness: Faithfulness,
    siblings: list[Path],
) -> None:
    """Tell what the checks cost at most; those by other seeds tell of their own time."""
    there = [key for key in targets if folder.is_finished(key)]
    if not there:
        return
    passes, seconds = work.check_cost(there, targets[there[0]], faithfulness)
    others = f", after {len(siblings)} of other seeds have explained the same" if siblings else ""
    print(
        f"checks: at most {passes.forward} forward and {passes.backward} backward passes, "
        f"about {_told(seconds)}{others}"
    )


def _other_seeds(cfg: DictConfig, own: RunFolder) -> list[Path]:
    """Runs whose explanations are compared with this one's."""
    if cfg.other_seeds == AUTO:
        return seed_siblings(own)
    return [run.path for run in other_runs(cfg) if run.path != own.path]


def _explain_by_other_seeds(
    cfg: DictConfig, runs: list[Path], folder: SetFolder, keys: list[str]
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


def _explain_by_one(cfg: DictConfig, path: Path, place: SetFolder, targets: dict[str, str]) -> None:
    rebuilt, datamodule = _rebuild(str(path), cfg.prepared, trusted_names(cfg.trust))
    other = _explaining(cfg, rebuilt, datamodule)
    other.explainer = other.explainer.without_shapley()
    _explain(other, place, targets, f"seed {rebuilt.experiment.seed}")
    for key, reason in other.failures.items():
        print(f"  left out, by {path.name}: {key}: {reason}", file=sys.stderr)


def _write_pages(
    cfg: DictConfig,
    rebuilt: RebuiltRun,
    folder: SetFolder,
    keys: list[str],
    table: pd.DataFrame,
    failures: dict[str, str],
    protocol: Protocol,
) -> Results:
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
    units = KeyUnits.of(table, protocol)
    summary = write_set_summary(folder.path, cfg.min_word_count, units)
    warning = leak_warning(protocol) or ""
    title = f"{rebuilt.folder.path.name}: {folder.path.name}"
    write_explanation_index(folder.path, title, colours, warning)
    return Results(folder, keys, summary, failures)


def _end_without_any(folder: SetFolder, keys: list[str], failures: dict[str, str]) -> None:
    if any(folder.is_finished(key) for key in keys):
        return
    key, reason = next(iter(failures.items()))
    raise InputError(
        f"{folder.path}: expected at least one of {len(keys)} utterances to be explained, none "
        f"was; the first: {key}: {reason}"
    )
