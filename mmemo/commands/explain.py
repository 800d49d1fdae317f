"""``mmemo explain``: why a run's model answers as it does, and how far that can be believed."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from hydra.utils import get_class, instantiate
from omegaconf import DictConfig

from mmemo.commands.early_checks import AUTO, has_user_input, not_wandb, other_runs, target_of
from mmemo.commands.explained import CorpusUtterances, Explained, UserInputs
from mmemo.comparison.groups import seed_siblings
from mmemo.errors import InputError
from mmemo.evaluation.protocol import Protocol, leak_warning
from mmemo.explanation.checks_summary import CheckSummary, checks_table
from mmemo.explanation.claims import PaperClaims
from mmemo.explanation.encoder_probes import TABLE_FILE, EncoderProbes, probe_run
from mmemo.explanation.explanation import Explanation
from mmemo.explanation.faithfulness import Faithfulness
from mmemo.explanation.feature_attributions import FeatureShap
from mmemo.explanation.feature_question import TABLE_FILE as FEATURES_FILE
from mmemo.explanation.feature_question import FeatureQuestion, write_feature_shap
from mmemo.explanation.feature_shap import FeatureShapDocument
from mmemo.explanation.index import INDEX_FILE, write_explanation_index
from mmemo.explanation.page import has_page, write_explanation_page
from mmemo.explanation.set_folder import FAILURES_FILE, SetFolder
from mmemo.explanation.summary import SUMMARY_FILE, SetSummary, write_set_summary
from mmemo.explanation.wandb_upload import log_explanations
from mmemo.extras import MissingPackageError, check_package
from mmemo.folders import check_writable
from mmemo.models.classical import ClassicalClassifier
from mmemo.progress import progress_bar
from mmemo.reporting.tables import plain_console, print_table, printed
from mmemo.reporting.wandb_results import log_more
from mmemo.runs.run_folder import RunFolder, chosen_checkpoint, file_digest
from mmemo.training.wandb_logger import TolerantWandbLogger

FOLDER = "explanations"


def run(cfg: DictConfig) -> None:
    """Explain, check, probe; write and print what was found.

    What is there from an interrupted command with the same settings stays. Status 1 where
    something that the user has given could not be read.
    """
    _check_logger(cfg)
    faithfulness: Faithfulness = instantiate(cfg.faithfulness_checks, _convert_="all")
    probes: EncoderProbes = instantiate(cfg.layer_probes, _convert_="all")
    check_writable(RunFolder.open(cfg.run).path)
    explained = UserInputs(cfg, cfg.run) if has_user_input(cfg) else CorpusUtterances(cfg, cfg.run)
    # What cannot be read is told before anything is computed.
    protocol = explained.protocol
    classical = _classical(cfg, explained)
    siblings = _other_seeds(cfg, explained.folder) if cfg.faithfulness else []
    targets, runner = explained.targets, explained.runner
    folder = SetFolder.of(explained.folder.path / FOLDER, cfg.name, explained.settings())
    if cfg.probes and isinstance(explained, CorpusUtterances):
        probe_run(probes, cfg.explained_split, explained.rebuilt, explained.datamodule, folder.path)
    runner.explain(folder, targets, "explaining")
    features: FeatureShapDocument | None = None
    if classical is not None:
        features = _attribute_features(explained, classical, faithfulness, folder)
    if cfg.faithfulness:
        runner.print_check_cost(folder, targets, faithfulness, len(siblings))
        seeds = _explain_by_other_seeds(explained, siblings, folder, list(targets))
        runner.check(folder, list(targets), faithfulness, seeds)
    failures = folder.update_failures({**explained.failures, **runner.failures}, runner.done)
    _end_without_any(folder, list(targets), failures)
    summary = _write_pages(explained, protocol, folder, list(targets))
    if features is not None and features.checks:
        _print_checks(features.checks, features.unit, features.num_units)
    _print_results(folder.path, summary, failures, len(targets) + len(explained.failures))
    if cfg.logger:
        cfg.run_dir = str(explained.folder.path)
        logger: TolerantWandbLogger = instantiate(cfg.logger, _convert_="all")
        log = partial(log_explanations, root=folder.path)
        log_more(logger, explained.folder, "explain", log)
    if explained.failures:
        sys.exit(1)


def _check_logger(cfg: DictConfig) -> None:
    if cfg.logger and not issubclass(get_class(cfg.logger["_target_"]), TolerantWandbLogger):
        raise not_wandb(cfg.logger["_target_"])


def _classical(cfg: DictConfig, explained: Explained) -> ClassicalClassifier | None:
    """The classifier whose features are attributed; None where they are not.

    Raises:
        InputError: If that is asked of another classifier, or the package for it is not installed.
    """
    wanted, classifier = cfg.feature_shap, explained.runner.classifier
    if wanted not in (AUTO, True, False):
        raise InputError(f"feature_shap: expected {AUTO}, true or false, got {wanted}")
    if not isinstance(classifier, ClassicalClassifier):
        if wanted is True:
            raise InputError(
                "feature_shap=true: expected a run of a classical classifier (classifier=svm and "
                f"the like), {explained.folder.path} has a neural one; leave feature_shap out"
            )
        return None
    if wanted is False:
        return None
    try:
        check_package("feature_shap", "shap", "shap")
    except MissingPackageError as error:
        if wanted is True:
            raise
        print(f"left out: {error}")
        return None
    return classifier


def _attribute_features(
    explained: Explained,
    classifier: ClassicalClassifier,
    faithfulness: Faithfulness,
    folder: SetFolder,
) -> FeatureShapDocument:
    """SHAP values of a classical classifier's features, of what is explained and over the split."""
    cfg = explained.cfg
    settings: FeatureShap = instantiate(cfg.feature_attributions, _convert_="all")
    question = FeatureQuestion(
        classifier=classifier,
        classes=explained.runner.explainer.classes,
        load=explained.load,
        keys=[key for key in explained.keys if folder.is_finished(key)],
        sampled=explained.sample(settings.num_utterances, settings.seed),
        split=explained.split,
        target=target_of(cfg),
        units=explained.units,
    )
    checked_by = faithfulness if cfg.faithfulness else None
    return write_feature_shap(question, settings, checked_by, folder.path)


def _other_seeds(cfg: DictConfig, own: RunFolder) -> list[Path]:
    """Runs whose explanations are compared with this one's."""
    if cfg.other_seeds == AUTO:
        return seed_siblings(own)
    return [run.path for run in other_runs(cfg) if run.path != own.path]


def _explain_by_other_seeds(
    explained: Explained, runs: Sequence[Path], folder: SetFolder, keys: Sequence[str]
) -> list[SetFolder]:
    """Explain the same utterances and classes by runs of other seeds, one after the other."""
    targets = {k: Explanation.load(folder.place(k)).target for k in keys if folder.is_finished(k)}
    places = []
    for path in runs:
        try:
            place = folder.seed_folder(path, file_digest(chosen_checkpoint(RunFolder.open(path))))
            if place.missing(list(targets)):
                _explain_by_one(explained, path, place, targets)
            places.append(place)
        except (InputError, OSError) as error:
            print(f"  left out, {path.name}: {error}", file=sys.stderr)
    return places


def _explain_by_one(
    explained: Explained, path: Path, place: SetFolder, targets: Mapping[str, str]
) -> None:
    other = explained.by_other(path)
    runner = other.runner
    runner.explainer = runner.explainer.without_shapley()
    runner.explain(place, targets, f"seed {other.seed}")
    for key, reason in runner.failures.items():
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
    explained: Explained, protocol: Protocol | None, folder: SetFolder, keys: Sequence[str]
) -> SetSummary:
    """A page for each explanation, numbers over all, and the page of the set."""
    cfg = explained.cfg
    there = [key for key in keys if folder.is_finished(key)]
    shown = list(dict.fromkeys([*explained.first_shown(there), *there]))[: cfg.num_pages]
    with progress_bar(len(shown), "writing pages", unit="page") as bar:
        for key in shown:
            if not has_page(folder.place(key)):
                write_explanation_page(folder.place(key), explained.colours)
            bar.update()
    paper: PaperClaims = instantiate(cfg.claims, _convert_="all")
    summary = write_set_summary(folder.path, cfg.min_word_count, explained.units, paper.claims)
    title = f"{explained.folder.path.name}: {folder.path.name}"
    warning = leak_warning(protocol) if protocol is not None else None
    write_explanation_index(folder.path, title, explained.colours, warning or "", paper.source)
    return summary


def _print_checks(checks: Sequence[CheckSummary], unit: str, num_units: int) -> None:
    console = plain_console()
    print_table(console, checks_table(checks, unit, num_units))
    print(printed(console))


def _print_results(
    folder: Path, summary: SetSummary, failures: Mapping[str, str], num_keys: int
) -> None:
    """Print the checks as one small table, what failed, and where everything lies."""
    if summary.checks:
        _print_checks(summary.checks, summary.unit, summary.num_units)
    if failures:
        print(f"\n{len(failures)} of {num_keys} utterances failed:")
        for key, reason in failures.items():
            print(f"  {key}: {reason}")
    print()
    for label, name in (
        ("page", INDEX_FILE),
        ("numbers", SUMMARY_FILE),
        ("layer probes", TABLE_FILE),
        ("features", FEATURES_FILE),
        ("failures", FAILURES_FILE if failures else ""),
    ):
        if name and (folder / name).is_file():
            print(f"{label:>17}: {folder / name}")
