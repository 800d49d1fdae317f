"""A trained run built again: its model at the chosen checkpoint, its data, its device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lightning
import torch
from torch import Tensor

from mmemo.audio.prepared import PreparedCorpus
from mmemo.corpora.utterance import LabelSet
from mmemo.documents import reason
from mmemo.errors import InputError
from mmemo.runs.data_card import check_same_data
from mmemo.runs.encoders import Encoders
from mmemo.runs.experiment import Experiment
from mmemo.runs.input_errors import input_error
from mmemo.runs.preprocessing import Preprocessing
from mmemo.runs.run_files import check_checksums
from mmemo.runs.run_folder import RESTORE, RunFolder, chosen_checkpoint
from mmemo.runs.saved_config import read_saved_config
from mmemo.training.module import EmotionModule

SAFETENSORS = ".safetensors"


@dataclass(frozen=True)
class RebuiltRun:
    """What a run consists of, but for its loaders, which differ with what is wanted of it.

    Args:
        folder: The run's.
        experiment: What it is made of.
        encoders: Those of the model.
        module: With the weights of the chosen checkpoint.
        prepared: The corpus that it was trained on.
        trainer: For one process.
    """

    folder: RunFolder
    experiment: Experiment
    encoders: Encoders
    module: EmotionModule
    prepared: PreparedCorpus
    trainer: lightning.Trainer

    @property
    def labels(self) -> LabelSet:
        """Its classes."""
        return self.experiment.labels

    @property
    def device(self) -> torch.device:
        """That the trainer computes on."""
        return self.trainer.strategy.root_device


def rebuild_run(
    run: str | Path, prepared: str | Path | None, trusted: Sequence[str] = ()
) -> RebuiltRun:
    """Build a run's model and find its data again.

    Args:
        run: The run's folder.
        prepared: The prepared corpus' folder, where it was moved since; else None.
        trusted: What the run may build beside what mmemo's own configs do.

    Raises:
        InputError: If the run has not ended, a file of it is missing or damaged, its config would
            build what is not trusted, its checkpoint cannot be loaded, or its data has changed.
    """
    folder = RunFolder.open(run)
    checkpoint = chosen_checkpoint(folder)
    experiment = Experiment(read_saved_config(folder, trusted).resolved)
    corpus = PreparedCorpus(Path(prepared or folder.read_data_card().prepared.folder))
    check_same_data(folder, corpus)
    folder.check_digest(checkpoint, "the checkpoint of this run")
    with saved_parts(folder):
        experiment.check_run_name(folder.path)
        encoders = experiment.build_encoders(folder)
        module = experiment.build_module(encoders)
        trainer = experiment.build_one_process_trainer()
    # A frozen encoder's features are made of the weights that the run used.
    load_checkpoint(checkpoint, module)
    return RebuiltRun(folder, experiment, encoders, module, corpus, trainer)


@dataclass(frozen=True)
class RebuiltModel:
    """A run's model without the data that it was trained on.

    Args:
        folder: The run's.
        experiment: What it is made of.
        encoders: Those of the model.
        module: With the weights of the chosen checkpoint, on the CPU.
        trainer: For one process; its device and precision are those to compute in.
        preprocessing: What happens to sound and words before.
    """

    folder: RunFolder
    experiment: Experiment
    encoders: Encoders
    module: EmotionModule
    trainer: lightning.Trainer
    preprocessing: Preprocessing


def rebuild_model(
    run: str | Path, trusted: Sequence[str] = (), accelerator: str = "auto"
) -> RebuiltModel:
    """Build a run's model from its folder alone.

    Args:
        run: The run's folder.
        trusted: What the run may build beside what mmemo's own configs do.
        accelerator: The device, as Lightning names it: "auto", "cpu", "gpu".

    Raises:
        InputError: As ``rebuild_run``, or if the run's denoiser is not here.
    """
    folder = RunFolder.open(run)
    checkpoint = chosen_checkpoint(folder)
    experiment = Experiment(read_saved_config(folder, trusted).resolved)
    folder.check_digest(checkpoint, "the checkpoint of this run")
    with saved_parts(folder):
        experiment.check_run_name(folder.path)
        preprocessing = experiment.build_preprocessing(folder)
        encoders = experiment.build_encoders(folder)
        if encoders.audio is not None:
            preprocessing.check_same(folder)
        module = experiment.build_module(encoders)
        trainer = experiment.build_answering_trainer(accelerator)
    load_checkpoint(checkpoint, module)
    return RebuiltModel(folder, experiment, encoders, module, trainer, preprocessing)


@contextmanager
def saved_parts(folder: RunFolder) -> Iterator[None]:
    """Build parts of a run from what its folder has kept; what fails is the folder's fault.

    Raises:
        InputError: For anything that is raised inside.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        problem = input_error(error)
        if problem is not None:
            raise problem from error
        cause = error.__cause__ or error
        raise InputError(
            f"{folder.path}: expected a run that can be built again from "
            f"{folder.composed_config_file.name} and what its encoders have saved, could not "
            f"({reason(cause)}); {RESTORE}"
        ) from error


def load_checkpoint(path: Path, module: EmotionModule) -> int:
    """Load weights of a run; returns their epoch, counted from 0.

    Raises:
        InputError: If the file is missing, is not a checkpoint, or is another model's.
    """
    with _checkpoint_of(path):
        weights, epoch = _read(path)
        module.load_state_dict(weights)
        return epoch


def checkpoint_weights(path: Path) -> dict[str, Tensor]:
    """Weights of a run, by name.

    Raises:
        InputError: If the file is missing or is not a checkpoint.
    """
    with _checkpoint_of(path):
        return _read(path)[0]


@contextmanager
def _checkpoint_of(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise InputError(
            f"{path}: expected the checkpoint of this run, could not load it "
            f"({type(error).__name__}: {reason}); restore the file or train again"
        ) from error


def _read(path: Path) -> tuple[dict[str, Tensor], int]:
    if path.suffix == SAFETENSORS:
        return _read_safetensors(path)
    check_checksums(path)
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    return checkpoint["state_dict"], int(checkpoint["epoch"])


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], int]:
    """Weights of a run that was exported for Hugging Face's hub."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return weights, int(file.metadata()["epoch"])
