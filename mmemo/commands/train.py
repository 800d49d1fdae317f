"""``mmemo train``: the whole path from clips to a report."""

from __future__ import annotations

import errno
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import lightning
import torch
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, Timer
from omegaconf import DictConfig, OmegaConf

from mmemo.audio.denoisers import KeptDenoiser
from mmemo.audio.prepared import PreparedCorpus
from mmemo.commands.early_checks import check_unfinished
from mmemo.commands.evaluate import evaluate, predict, print_results
from mmemo.commands.settings_trial import (
    check_classical,
    check_composed,
    check_devices,
    check_model,
)
from mmemo.corpora.leaks import protocol_stamp
from mmemo.data.datamodule import EmotionDataModule
from mmemo.documents import reason
from mmemo.errors import InputError
from mmemo.folders import check_writable, write_whole, written_whole
from mmemo.models.classical import ClassicalClassifier
from mmemo.models.classifier import EmotionClassifier
from mmemo.reporting.wandb_results import print_upload, wandb_session
from mmemo.runs.classical_files import FITTED_EPOCH, write_fit
from mmemo.runs.data_card import check_same_data, check_same_split, write_data_card
from mmemo.runs.data_source import DataSource, build_data_source, settle_labels
from mmemo.runs.encoders import Encoders
from mmemo.runs.experiment import DENOISER, Experiment
from mmemo.runs.input_errors import input_error
from mmemo.runs.rebuilt_run import load_checkpoint, saved_parts
from mmemo.runs.run_files import check_checksums
from mmemo.runs.run_folder import RunFolder
from mmemo.runs.saved_config import names_to_trust, save_composed
from mmemo.runs.source_run import OpenedSource, check_sources, open_sources, take_encoders
from mmemo.runs.teacher import teach
from mmemo.training.checkpoint_io import AtomicCheckpointIO
from mmemo.training.classical_fit import fit_classical
from mmemo.training.module import EmotionModule
from mmemo.training.processes import LocalProcesses
from mmemo.training.pruning import PrunedError, check_pruned
from mmemo.training.slurm_processes import SlurmProcesses, slurm_rank
from mmemo.training.stop_signals import stopped_at_once
from mmemo.values import check_seed

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
STATE_PARTS = ("state_dict", "optimizer_states", "lr_schedulers", "loops", "callbacks", "epoch")
"""Of what Lightning saves, that which it goes on from."""


def run(cfg: DictConfig) -> float:
    """Train, evaluate and report one run; returns the best validation score."""
    with stopped_at_once(), _opened(cfg) as folder:
        print(f"run folder: {folder.path}", flush=True)
        state_before = folder.state_ns()
        try:
            return _train(folder, cfg)
        except PrunedError as pruned:
            folder.prune(str(pruned))
            print(f"pruned: {pruned}")
            return _best_score(folder)
        except BaseException as error:
            hint = _how_to_continue(folder, error, state_before)
            if hint:
                print(f"not finished; to continue: {hint}", file=sys.stderr)
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                then = f"then continue: {hint}" if hint else "then start it again"
                raise InputError(
                    f"{error.filename or folder.path}: expected room for the run's files, "
                    f"found none ({error.strerror}); make room, {then}"
                ) from error
            raise


def _best_score(folder: RunFolder) -> float:
    score = folder.read_info().best_score
    assert score is not None
    return score


def _how_to_continue(
    folder: RunFolder, error: BaseException, state_before: int | None
) -> str | None:
    """The command that goes on with the run; None where it would begin anew or fail again.

    What the user can mend (``InputError``) meets the same run again, unless a state has been
    saved since this process began.
    """
    state = folder.state_ns()
    is_same_again = input_error(error) is not None and state == state_before
    if state is None or is_same_again:
        return None
    try:
        names = names_to_trust(folder)
    except InputError:
        return None
    if names is None:
        return None
    listed = ",".join(names)
    trust = f" {shlex.quote(f'trust=[{listed}]')}" if names else ""
    return folder.command("train", "resume") + trust


def train_along(folder: RunFolder) -> None:
    """What every process but the first does: train and predict on what that one has prepared."""
    cfg = cast(DictConfig, OmegaConf.load(folder.composed_config_file))
    cfg.run_dir = str(folder.path)
    experiment = Experiment(cfg)
    sources = open_sources(folder, cfg, is_checked=True)
    model = _build_model(folder, experiment, sources)
    prepared = PreparedCorpus(Path(folder.read_data_card().prepared.folder))
    datamodule = _build_data(experiment, prepared, model)
    teach(sources, cfg, datamodule, model.module, model.device)
    with suppress(PrunedError):
        _fit(folder, model, datamodule)
        predict(model.module, datamodule, model.trainer)


@contextmanager
def _opened(cfg: DictConfig) -> Iterator[RunFolder]:
    """The run's folder, held; a new run, or one that goes on."""
    Experiment(cfg).check_run_name(Path(cfg.resume or cfg.run_dir))
    if not cfg.resume:
        with RunFolder.begin(Path(cfg.run_dir)) as folder:
            # Comparisons call the run's parts as the user did.
            folder.write_info(choices=_choices())
            yield folder
        return
    folder = RunFolder.open(cfg.resume)
    check_unfinished(folder)
    check_writable(folder.path)
    with folder.working():
        yield folder


def _choices() -> dict[str, str | None]:
    """The option of conf/ that is chosen of each of mmemo's groups."""
    choices = HydraConfig.get().runtime.choices if HydraConfig.initialized() else {}
    return {str(k): v for k, v in choices.items() if not str(k).startswith("hydra/")}


@dataclass(frozen=True)
class _Model:
    """What is trained, and by what."""

    encoders: Encoders
    module: EmotionModule
    trainer: lightning.Trainer
    timer: Timer
    is_resumed: bool

    @property
    def device(self) -> torch.device:
        """That it is trained on."""
        return self.trainer.strategy.root_device


def _train(folder: RunFolder, cfg: DictConfig) -> float:
    settle_labels(cfg)
    check_composed(cfg)
    _save_config(folder, cfg)
    experiment = Experiment(cfg)
    processes = (
        LocalProcesses(["-m", "mmemo.commands.ddp_worker", str(folder.path)], folder.fail)
        if slurm_rank() is None
        else SlurmProcesses(folder.path)
    )
    with processes:
        with saved_parts(folder) if cfg.resume else nullcontext():
            source = build_data_source(cfg)
            source.preparer.check(source.denoiser)
            sources = open_sources(folder, cfg)
            model = _build_model(folder, experiment, sources)
            _check_model(model, experiment)
            check_devices(model.trainer, experiment.has_strategy)
            _check_end(model.trainer)
            processes.check(model.trainer)
            prepared = _prepare(folder, experiment, source, model)
            datamodule = _build_data(experiment, prepared, model)
        check_sources(folder, sources, datamodule)
        check_same_split(folder, datamodule)
        write_data_card(folder, datamodule, experiment.max_duration_s)
        for overlap in folder.read_data_card().overlaps:
            print(overlap.sentence)
        split = datamodule.split
        folder.write_info(split_protocol=protocol_stamp(split.name, split.leaky))
        for name, encoder in model.encoders.named().items():
            with folder.sealed(folder.assets(name)):
                encoder.save_assets(folder.assets(name))
        if isinstance(source.denoiser, KeptDenoiser):
            with folder.sealed(folder.assets(DENOISER)):
                source.denoiser.save_assets(folder.assets(DENOISER))
        trainer = model.trainer
        with wandb_session(folder, experiment, trainer):
            if folder.read_info().checkpoint is None:
                teach(sources, cfg, datamodule, model.module, model.device)
                processes.start(trainer)
                _fit(folder, model, datamodule)
            elif trainer.world_size > 1:
                trainer = experiment.build_one_process_trainer()
            evaluate(folder, experiment, model.module, datamodule, trainer)
    print_results(folder)
    print_upload(folder)
    return _best_score(folder)


def _check_model(model: _Model, experiment: Experiment) -> None:
    classifier = model.module.classifier
    if isinstance(classifier, ClassicalClassifier):
        check_classical(classifier, model.trainer, experiment.labels.classes)
    else:
        check_model(model.module, model.trainer)


def _build_model(
    folder: RunFolder, experiment: Experiment, sources: Mapping[str, OpenedSource]
) -> _Model:
    """What is trained, alike in every process, down to the random weights."""
    is_resumed = _check_last_checkpoint(folder)
    check_seed("seed", experiment.seed)
    lightning.seed_everything(experiment.seed, workers=True, verbose=False)
    taken = {role: source.folder for role, source in sources.items()}
    encoders = experiment.build_encoders(folder if is_resumed else None, taken)
    module = experiment.build_module(encoders)
    take_encoders(sources, cast(EmotionClassifier, module.classifier))
    if is_resumed:
        load_checkpoint(folder.last_checkpoint, module)
    trainer = experiment.build_trainer()
    return _Model(encoders, module, trainer, _timer(trainer), is_resumed)


def _timer(trainer: lightning.Trainer) -> Timer:
    """The trainer's timer, a new one where it has none.

    Its state is in each checkpoint, so that the stretches of a continued run add up.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    found = next((callback for callback in callbacks if isinstance(callback, Timer)), None)
    if found is None:
        found = Timer()
        callbacks.append(found)
    return found


def _prepare(
    folder: RunFolder, experiment: Experiment, source: DataSource, model: _Model
) -> PreparedCorpus:
    """Check everything that can be checked before, then prepare what is missing."""
    annotations = source.read()
    experiment.check(annotations, model.encoders, source.preparer)
    start, before = time.monotonic(), folder.read_info().prepare_s or 0.0
    try:
        prepared = source.prepare(annotations)
    finally:
        folder.write_info(prepare_s=round(before + time.monotonic() - start, 1))
    check_same_data(folder, prepared)
    return prepared


def _build_data(
    experiment: Experiment, prepared: PreparedCorpus, model: _Model
) -> EmotionDataModule:
    return experiment.build_datamodule(prepared, model.encoders, model.device, model.module)


def _save_config(folder: RunFolder, cfg: DictConfig) -> None:
    path = folder.composed_config_file
    with folder.sealed(path), written_whole(path) as place:
        save_composed(place, cfg)
    write_whole(folder.config_file, OmegaConf.to_yaml(cfg, resolve=True))


def _check_last_checkpoint(folder: RunFolder) -> bool:
    """Whether there is a state to continue from.

    Raises:
        InputError: If it cannot be read, or the folder was moved since it was written.
    """
    path = folder.last_checkpoint
    if not path.is_file():
        return False
    try:
        check_checksums(path)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        lacking = [name for name in STATE_PARTS if name not in checkpoint]
        if lacking:
            raise ValueError(f"without {', '.join(lacking)}")
        states: dict[str, dict[str, Any]] = checkpoint["callbacks"]
    except Exception as error:
        raise InputError(
            f"{path}: expected the state of an interrupted run, could not load it "
            f"({reason(error)}); start a new run"
        ) from error
    for state in states.values():
        written_in = state.get("dirpath", str(path.parent))
        if Path(written_in) != path.parent:
            raise InputError(
                f"{folder.path}: expected an interrupted run where it was begun, its checkpoints "
                f"were written in {written_in}; move it back there"
            )
    return True


def _check_end(trainer: lightning.Trainer) -> None:
    """The schedule of learning rates is spread over all steps, so that there has to be a last."""
    if trainer.max_epochs == 0 or (trainer.max_epochs == -1 and trainer.max_steps == -1):
        raise InputError(
            f"trainer.max_epochs: expected at least 1, got {trainer.max_epochs}; to leave the end "
            "to early stopping, set more epochs than it needs"
        )


def _fit(folder: RunFolder, model: _Model, datamodule: EmotionDataModule) -> None:
    classifier = model.module.classifier
    if isinstance(classifier, ClassicalClassifier):
        _fit_classical(folder, model, classifier, datamodule)
        return
    trainer = model.trainer
    trainer.fit(
        model.module,
        datamodule,
        ckpt_path=folder.last_checkpoint if model.is_resumed else None,
        weights_only=True,
    )
    if not trainer.is_global_zero:
        check_pruned(trainer)
        return
    best = trainer.checkpoint_callback
    if not isinstance(best, ModelCheckpoint) or best.best_model_score is None:
        raise InputError(
            "trainer: expected a checkpoint to be chosen on validation, none was saved; train "
            "for at least one epoch (trainer.max_epochs) and name callbacks.checkpoint.monitor"
        )
    chosen = Path(best.best_model_path)
    with folder.sealed(chosen):
        folder.write_info(
            checkpoint=str(chosen.relative_to(folder.path)),
            best_score=float(best.best_model_score),
            num_processes=trainer.world_size,
            num_parameters=sum(p.numel() for p in classifier.parameters()),
            num_trainable=sum(p.numel() for p in classifier.parameters() if p.requires_grad),
            # Of all stretches of a run that was continued, without what was lost and done again.
            fit_s=round(model.timer.time_elapsed(), 1),
        )
    check_pruned(trainer)


def _fit_classical(
    folder: RunFolder,
    model: _Model,
    classifier: ClassicalClassifier,
    datamodule: EmotionDataModule,
) -> None:
    """Fit an estimator at once, and keep it where a training keeps its chosen epoch."""
    monitor = str(cast(ModelCheckpoint, model.trainer.checkpoint_callback).monitor)
    num_settings = len(classifier.estimator.settings)
    print(
        f"fitting: {num_settings} settings of {type(classifier.estimator.model).__name__} on "
        f"{len(datamodule.datasets['train'])} rows of {classifier.fusion.output_dim} features, "
        f"scored {classifier.tuning.words}",
        flush=True,
    )
    start = time.monotonic()
    fit = fit_classical(model.module, classifier, datamodule, model.trainer.strategy.root_device)
    fit_s = time.monotonic() - start
    write_fit(folder, fit, datamodule, classifier)
    chosen = folder.path / "checkpoints" / "fitted.ckpt"
    with folder.sealed(chosen):
        state = {"state_dict": model.module.state_dict(), "epoch": FITTED_EPOCH}
        AtomicCheckpointIO().save_checkpoint(state, chosen)
        folder.write_info(
            checkpoint=str(chosen.relative_to(folder.path)),
            best_score=fit.scores[monitor],
            num_processes=1,
            num_parameters=sum(p.numel() for p in classifier.parameters()),
            fit_s=round(fit_s, 1),
        )
