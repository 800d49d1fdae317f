"""A run's results as Weights & Biases shows them, from the files of its folder alone."""

from __future__ import annotations

import tempfile
import wave
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmemo.audio.prepared import BYTES_PER_SAMPLE, FULL_SCALE, PreparedCorpus
from mmemo.corpora.leaks import EVALUATED_SPLITS
from mmemo.documents import content_of, damaged, reason
from mmemo.evaluation.metrics import metrics_table
from mmemo.evaluation.predictions import PROBABILITY_PREFIX, classes_of, read_predictions
from mmemo.evaluation.protocol import Protocol, split_stamp
from mmemo.evaluation.run_metrics import SplitMetrics
from mmemo.runs.run_files import read_history
from mmemo.runs.run_folder import RESTORE, RunFolder, chosen_checkpoint

if TYPE_CHECKING:
    from wandb import Artifact, Run, Table

SAMPLING_SEED = 0
"""The same for all runs: their tables show the same utterances."""

ENCODERS = ("audio_encoder", "text_encoder")

REPEATED = ("callbacks", "logger")
"""Parts of the trainer's config that are sections of their own as well."""


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
    cost = {name: getattr(info, name) for name in ("num_parameters", "num_processes", "fit_s")}
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
    return {**plain, **averages, **by_class}


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
