"""What Weights & Biases shows of a run: its names, curves and config, and its results."""

from __future__ import annotations

import re
import shlex
import tempfile
import wave
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import lightning
import numpy as np
import pandas as pd
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmemo.audio.prepared import BYTES_PER_SAMPLE, FULL_SCALE, PreparedCorpus
from mmemo.corpora.annotations import OWN_SPLIT
from mmemo.corpora.leaks import EVALUATED_SPLITS
from mmemo.corpora.splits import OfficialSplit
from mmemo.documents import content_of, damaged, reason
from mmemo.evaluation.metrics import metrics_table
from mmemo.evaluation.predictions import PROBABILITY_PREFIX, classes_of, read_predictions
from mmemo.evaluation.protocol import Protocol, split_stamp
from mmemo.evaluation.run_metrics import SplitMetrics
from mmemo.runs.experiment import Experiment
from mmemo.runs.run_files import WandbInfo, read_history
from mmemo.runs.run_folder import RESTORE, RunFolder, chosen_checkpoint
from mmemo.runs.settings import has_effect
from mmemo.training.pruning import PrunedError
from mmemo.training.wandb_logger import TolerantWandbLogger, WandbIdentity, WandbLabels

if TYPE_CHECKING:
    from wandb import Artifact, Run, Table

SAMPLING_SEED = 0
"""One for all runs: their tables show the same utterances."""

ENCODERS = ("audio_encoder", "text_encoder")

REPEATED = ("callbacks", "logger")
"""Parts of the trainer's config that are sections of their own as well."""

SEED_AND_DIGEST = re.compile(r"-?seed\d+(-[0-9a-f]{8})?")
DIGEST = re.compile(r"-[0-9a-f]{8}(?=(-[A-Z]+)?$)")
OFFICIAL = OfficialSplit.name
MAX_TAG_LENGTH = 64
"""Of W&B's tags."""

FAILED, KILLED = 1, 255
"""Exit codes that W&B shows as these states."""


@contextmanager
def wandb_session(
    folder: RunFolder, experiment: Experiment, trainer: lightning.Trainer
) -> Iterator[None]:
    """Open the run on W&B, let it be trained and evaluated, log its results and close it.

    Its id stays in ``run.json``: a run that is continued is the same one on W&B. Where the
    trainer has another logger, nothing is done.
    """
    found = [logger for logger in trainer.loggers if isinstance(logger, TolerantWandbLogger)]
    if not found:
        yield
        return
    logger = found[0]
    card = _card(folder, experiment, logger)
    # Before it is opened: the id survives a kill at any moment.
    folder.write_info(wandb=card)
    labels = WandbLabels(
        card.name or folder.path.name,
        card.group,
        SEED_AND_DIGEST.sub("", folder.path.name) if card.group else experiment.name,
        _tags(folder, experiment),
    )
    logger.begin(_identity(card), labels, run_config(folder), _history(folder))
    card = replace(card, url=logger.url, files=logger.files)
    folder.write_info(wandb=card)
    try:
        yield
    except PrunedError:
        logger.end(0)
        raise
    except BaseException as error:
        logger.end(KILLED if isinstance(error, KeyboardInterrupt | SystemExit) else FAILED)
        raise
    if logger.run is not None:
        with logger.tolerated():
            log_results(logger.run, folder, logger.num_examples, logger.log_checkpoint)
    folder.write_info(wandb=replace(card, uploaded=logger.end(0)))


def log_more(
    logger: TolerantWandbLogger, folder: RunFolder, job_type: str, log: Callable[[Run], None]
) -> None:
    """Log to the run's own run on W&B, or to a new one where it has none; print where it is.

    Args:
        logger: That opens it.
        folder: The run's.
        job_type: What a new one is called.
        log: Logs to the open run.
    """
    card = folder.read_info().wandb
    identity = logger.new_identity() if card is None else _identity(card)
    labels = WandbLabels(folder.path.name, card.group if card else None, job_type, ())
    logger.begin(identity, labels, run_config(folder), [])
    url, files = logger.url, logger.files
    if logger.run is not None:
        with logger.tolerated():
            log(logger.run)
    _print_upload(folder, url if logger.end(0) else None, files)


def print_upload(folder: RunFolder) -> None:
    """Print where the run is on W&B, or what uploads it."""
    card = folder.read_info().wandb
    if card is not None:
        _print_upload(folder, card.url if card.uploaded else None, card.files)


def _print_upload(folder: RunFolder, url: str | None, files: str | None) -> None:
    if url is not None:
        print(f"{'W&B':>17}: {url}")
    elif files is not None:
        command = f"wandb sync {shlex.quote(str(folder.path / files))}"
        print(f"{'W&B':>17}: not uploaded yet; to do that: {command}")


def _identity(card: WandbInfo) -> WandbIdentity:
    return WandbIdentity(card.id, card.project, card.entity)


def _card(folder: RunFolder, experiment: Experiment, logger: TolerantWandbLogger) -> WandbInfo:
    """What ``run.json`` says of the run on W&B; of a run that begins, what it will."""
    stored = folder.read_info().wandb
    if stored is not None:
        return replace(stored, url=None, files=None, uploaded=False)
    group = None
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        sweep, outputs = folder.path.parent, experiment.output_dir
        group = str(sweep.relative_to(outputs) if outputs in sweep.parents else sweep.name)
    name = _name(folder, experiment, group)
    return WandbInfo(**asdict(logger.new_identity()), group=group, name=name)


def _name(folder: RunFolder, experiment: Experiment, group: str | None) -> str:
    """What varies: in a sweep the cell's, else what was typed, and the seed.

    The label, where the user has given one; the folder's name, where nothing was typed.
    """
    seed = f"seed={experiment.seed}"
    if experiment.label:
        return f"{experiment.label} {seed}"
    if group is not None:
        return DIGEST.sub("", folder.path.name)
    typed = [override.lstrip("+") for override in HydraConfig.get().overrides.task]
    named = [override for override in typed if has_effect(override.partition("=")[0])]
    return " ".join([*named, seed]) if named else folder.path.name


def _tags(folder: RunFolder, experiment: Experiment) -> tuple[str, ...]:
    """The corpus, the split that was used, and the label set."""
    prepared = folder.read_data_card().prepared
    split = folder.read_info().split_protocol
    if split == OFFICIAL and prepared.split_origin not in (None, OWN_SPLIT):
        split = f"split {prepared.split_origin}"
    return tuple(
        tag[:MAX_TAG_LENGTH] for tag in (prepared.corpus, split, experiment.labels.name) if tag
    )


def _history(folder: RunFolder) -> list[dict[str, float]]:
    """The epochs before an interruption, by the names of the curves.

    Those of a run that begins again, without a state to continue from, do not count.
    """
    if not (folder.last_checkpoint.is_file() and folder.history_file.is_file()):
        return []
    table = read_history(folder.history_file).drop(columns="split_protocol", errors="ignore")
    rows = table.to_dict("records")
    return [
        {
            f"step/{name}" if str(name).startswith("learning_rate") else str(name): value
            for name, value in row.items()
            if pd.notna(value)
        }
        for row in rows
    ]


def run_config(folder: RunFolder) -> dict[str, Any]:
    """The resolved config, and the source that runs it: ``git`` (commit, dirty), version.

    ``options`` has the name of each option that was chosen. Paths of this run alone, and what
    stands in the config a second time, are left out: no two runs would be alike in them.
    """
    try:
        loaded = OmegaConf.to_container(OmegaConf.create(folder.read_config_text()))
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        what = "the resolved config of the run"
        raise damaged(folder.config_file, what, reason(error), RESTORE) from error
    config = cast(dict[str, Any], loaded)
    info = folder.read_info()
    if isinstance(config.get("trainer"), dict):
        config["trainer"] = {k: v for k, v in config["trainer"].items() if k not in REPEATED}
    return {
        **_without_paths_in(str(folder.path), config),
        "options": dict(info.choices),
        "git": {"commit": info.git_commit, "dirty": info.git_dirty},
        "mmemo_version": info.mmemo_version,
    }


def _without_paths_in(folder: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """A config without the settings that are paths in a folder."""
    return {
        key: _without_paths_in(folder, value) if isinstance(value, Mapping) else value
        for key, value in config.items()
        if not (isinstance(value, str) and value.startswith(folder))
    }


def log_results(run: Run, folder: RunFolder, num_examples: int, log_checkpoint: bool) -> None:
    """Log an evaluated run: protocol card, charts, tables, and the metrics as its summary.

    Args:
        run: An open run on W&B.
        folder: The run's folder.
        num_examples: Validation utterances in the table of predictions.
        log_checkpoint: Log the chosen checkpoint too, as an artifact.
    """
    document = folder.read_metrics()
    protocol, metrics = document.protocol, document.splits
    table = read_predictions(folder.predictions_file)
    run.config["protocol"] = content_of(protocol)
    results: dict[str, Any] = {}
    for split in EVALUATED_SPLITS:
        rows = table[table["split"] == split]
        stamp = f"{split} split ({split_stamp(protocol)}), N = {len(rows)}"
        results |= _charts(split, rows, metrics[split], stamp)
    with tempfile.TemporaryDirectory() as clips:
        if num_examples > 0:
            results["val/predictions"] = _examples(folder, table, num_examples, Path(clips))
        # Copies the clips.
        run.log(results)
    run.summary.update(_summary(folder, protocol, metrics))
    if log_checkpoint:
        run.log_artifact(_checkpoint(folder, run.id), aliases=["best"])


def _charts(split: str, rows: pd.DataFrame, metrics: SplitMetrics, stamp: str) -> dict[str, Any]:
    """Confusion matrix, table of scores by class, and F1 by class of one split."""
    import wandb

    classes = classes_of(rows)
    matrix = wandb.plot.confusion_matrix(
        y_true=[classes.index(name) for name in rows["target"]],
        preds=[classes.index(name) for name in rows["pred"]],
        class_names=classes,
        title=f"Confusion matrix, {stamp}",
    )
    scores = metrics_table({split: metrics}, stamp)
    by_class = scores[scores["row"].isin(classes)].rename(columns={"row": "class"})
    columns: list[str | int] = ["class", "precision", "recall", "f1", "auroc", "support"]
    data = by_class[columns].astype(object).where(by_class[columns].notna(), None)
    table = wandb.Table(columns=columns, data=list(data.to_numpy()))
    return {
        f"{split}/confusion_matrix": matrix,
        f"{split}/per_class": table,
        f"{split}/f1_by_class": wandb.plot.bar(table, "class", "f1", title=f"F1, {stamp}"),
    }


def _examples(folder: RunFolder, table: pd.DataFrame, num_examples: int, clips: Path) -> Table:
    """Predictions of some validation utterances, with the sound that the model was given.

    Args:
        folder: The run's folder.
        table: Its predictions.
        num_examples: How many.
        clips: A folder for their sound, which has to last until the table is logged.
    """
    import wandb

    rows = table[table["split"] == "val"]
    rows = rows.sample(min(num_examples, len(rows)), random_state=SAMPLING_SEED).sort_index()
    probabilities = [PROBABILITY_PREFIX + name for name in classes_of(table)]
    columns = ["key", "speaker", "transcript", "target", "pred", *probabilities]
    shown = rows[columns].assign(correct=rows["target"] == rows["pred"])
    columns, data = [*shown.columns], shown.astype(object).to_numpy().tolist()
    card = folder.read_data_card()
    if card.prepared.has_sound:
        prepared = PreparedCorpus(Path(card.prepared.folder))
        paths = _write_clips(prepared, rows["key"], card.max_duration_s, clips)
        data = [[wandb.Audio(str(path)), *row] for path, row in zip(paths, data, strict=True)]
        columns = ["audio", *columns]
    return wandb.Table(columns=list[str | int](columns), data=list[Iterable[Any]](data))


def _write_clips(
    prepared: PreparedCorpus, keys: pd.Series[str], max_duration_s: float, folder: Path
) -> Iterator[Path]:
    """Write each utterance's sound as a WAV file."""
    kept = prepared.kept
    columns = ["audio_file", "offset", "num_samples"]
    places = dict(zip(kept["key"], kept[columns].itertuples(index=False, name=None), strict=True))
    most = round(max_duration_s * prepared.sample_rate)
    for number, key in enumerate(keys):
        # A copy in an oversampled split is called by its source's key and a number.
        audio_file, offset, num_samples = places.get(key) or places[key.rpartition("#")[0]]
        waveform = prepared.read(audio_file, offset, min(num_samples, most))
        path = folder / f"{number}.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(BYTES_PER_SAMPLE)
            file.setframerate(prepared.sample_rate)
            file.writeframes(np.rint(waveform.numpy() * FULL_SCALE).astype("<i2").tobytes())
        yield path


def _summary(
    folder: RunFolder, protocol: Protocol, metrics: Mapping[str, SplitMetrics]
) -> dict[str, Any]:
    """The run's values at the chosen checkpoint, also of the curves, and what it cost."""
    history = read_history(folder.history_file)
    chosen = history[history["epoch"] == protocol.checkpoint_epoch].iloc[-1]
    curves = {
        str(name): float(value)
        for name, value in chosen.items()
        if str(name).startswith(("train/", "val/"))
    }
    scores = {
        f"{split}/{name}": value
        for split, values in metrics.items()
        for name, value in _scores(values).items()
    }
    info = folder.read_info()
    costs = ("num_parameters", "num_trainable", "num_processes", "fit_s")
    cost = {name: getattr(info, name) for name in costs}
    return {"epoch": protocol.checkpoint_epoch, **curves, **scores, **cost}


def _scores(metrics: SplitMetrics) -> dict[str, float | int | None]:
    """Metrics of one split by the names of the curves: ``accuracy``, ``macro_f1``, ``f1/joy``."""
    averages = {
        f"{average}_{name}": value
        for average, scores in (("macro", metrics.macro), ("weighted", metrics.weighted))
        for name, value in asdict(scores).items()
    }
    by_class = {f"f1/{name}": scores.f1 for name, scores in metrics.per_class.items()}
    names = ("num_utterances", "accuracy", "auroc_macro", "ece")
    plain = {name: getattr(metrics, name) for name in names}
    recalls = {f"recall/{name}": scores.recall for name, scores in metrics.per_class.items()}
    return {**plain, **averages, **metrics.single_scores, **by_class, **recalls}


def _checkpoint(folder: RunFolder, run_id: str) -> Artifact:
    """The chosen checkpoint and the files that ``mmemo evaluate`` reads with it."""
    import wandb

    artifact = wandb.Artifact(f"run-{run_id}-checkpoint", type="model")
    checkpoint = chosen_checkpoint(folder)
    files = [folder.info_file, folder.composed_config_file, folder.config_file, folder.data_file]
    for path in (checkpoint, *files):
        name = str(path.relative_to(folder.path))
        # Uploaded from where it is: a copy of a large model costs time and room.
        artifact.add_file(str(path), name=name, policy="immutable", skip_cache=True)
    for encoder in ENCODERS:
        assets = folder.assets(encoder)
        if assets.is_dir():
            artifact.add_dir(str(assets), name=encoder, policy="immutable", skip_cache=True)
    return artifact
