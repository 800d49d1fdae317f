"""``mmemo export``: a run's model for other programs."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from hydra.utils import instantiate
from omegaconf import DictConfig

from mmemo.audio.prepared import PreparedCorpus
from mmemo.corpora.leaks import LEAKY
from mmemo.errors import InputError
from mmemo.export.clips import Clip, made_clips, real_clips
from mmemo.folders import writable_folder
from mmemo.runs.data_card import check_same_data
from mmemo.runs.rebuilt_run import RebuiltModel, rebuild_model
from mmemo.runs.saved_config import trusted_names


class Format(Protocol):
    """A way to write a run."""

    name: str
    num_clips: int

    def write(
        self, model: RebuiltModel, clips: Sequence[Clip], kind: str, folder: Path
    ) -> list[str]:
        """Write it into an empty folder; returns what is to be told."""
        ...


def run(cfg: DictConfig) -> None:
    """Write a run in a format; nothing is left where that fails."""
    written: Format = instantiate(cfg.format, _convert_="all")
    model = rebuild_model(cfg.run, trusted_names(cfg.trust), accelerator="cpu")
    _check_alone(model)
    folder = _output(cfg.output, model, written.name)
    model.experiment.check_run_name(folder)
    clips, kind = _clips(model, cfg.prepared, written.num_clips) if written.num_clips else ([], "")
    beside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    writable_folder(beside, "output")
    try:
        described = written.write(model, clips, kind, beside)
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    for sentence in described:
        print(sentence)
    for path in sorted(file for file in folder.rglob("*") if file.is_file()):
        print(f"{path.stat().st_size:>12,} bytes: {path}")


def _check_alone(model: RebuiltModel) -> None:
    if getattr(model.module.classifier, "context", None) is not None:
        raise InputError(
            f"run: expected a model that answers each utterance by itself, {model.folder.path} "
            "reads the whole dialogue (context), for which no format has a place; name a run of "
            "context=none, or answer with `mmemo predict`"
        )


def _output(output: str | None, model: RebuiltModel, name: str) -> Path:
    protocol = model.folder.read_metrics().protocol
    mark = f"-{LEAKY}" if protocol.leaky else ""
    default = model.folder.path / "exported" / f"{name}{mark}"
    folder = Path(output).expanduser().absolute() if output else default
    if folder.exists():
        raise InputError(
            f"{folder}: expected a folder that is not there yet, found one; remove it, or name "
            "another with output=DIR"
        )
    return folder


def _clips(model: RebuiltModel, prepared: str | None, num_clips: int) -> tuple[list[Clip], str]:
    """Clips of the run's test split; where its corpus is gone, made ones."""
    try:
        corpus = PreparedCorpus(Path(prepared or model.folder.read_data_card().prepared.folder))
        check_same_data(model.folder, corpus)
    except InputError:
        if prepared is not None:
            raise
        made = made_clips(model.encoders, num_clips, model.preprocessing.max_samples)
        return made, "made clips of noise (the corpus of the training is not here)"
    datamodule = model.experiment.build_plain_datamodule(corpus, model.encoders)
    return real_clips(datamodule.datasets["test"], model.encoders, num_clips), "clips of test"
