"""An experiment: a run's config, turned into objects here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import lightning
import pandas as pd
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from mmemo.audio.denoisers import Denoiser
from mmemo.audio.preparation import Preparer
from mmemo.audio.prepared import PreparedCorpus
from mmemo.corpora.annotations import Annotations
from mmemo.corpora.leaks import LEAKY
from mmemo.corpora.splits import SplitProtocol
from mmemo.corpora.utterance import LabelSet
from mmemo.data.datamodule import EmotionDataModule
from mmemo.data.selection import kept_rows, utterance_states
from mmemo.errors import InputError
from mmemo.evaluation.abstention import Abstention
from mmemo.evaluation.own_metrics import OwnMetric
from mmemo.evaluation.protocol import Protocol
from mmemo.evaluation.subgroups import Subgroups
from mmemo.models.classifier import EmotionClassifier
from mmemo.runs.data_source import Corpus, DataSource, build_data_source
from mmemo.runs.dialogue_batches import reads_dialogues
from mmemo.runs.encoders import Encoders, saved_part, use_frozen_features
from mmemo.runs.initial_encoders import InitialEncoders
from mmemo.runs.logged_metrics import logged_metrics
from mmemo.runs.loss import build_loss
from mmemo.runs.missing_modality import check_missing
from mmemo.runs.own_metrics import build_own_metrics
from mmemo.runs.preprocessing import Preprocessing
from mmemo.runs.run_folder import RunFolder
from mmemo.runs.run_protocol import run_protocol
from mmemo.runs.settings_check import check_settings
from mmemo.runs.trainer import (
    build_answering_trainer,
    build_one_process_trainer,
    build_trainer,
)
from mmemo.training.interruption import Interruption
from mmemo.training.module import EmotionModule

DENOISER = "denoiser"

USUAL_TARGETS = {
    "subgroups": "mmemo.evaluation.subgroups.Subgroups",
    "abstention": "mmemo.evaluation.abstention.Abstention",
}
"""Parts that runs of an earlier mmemo lack."""


class Experiment:
    """What a run is made of, built from its config part by part.

    Args:
        cfg: Composed by Hydra, or read from a run's folder; its paths are absolute.
    """

    def __init__(self, cfg: DictConfig) -> None:
        self._cfg = cfg

    @property
    def name(self) -> str:
        """First part of the run folder's path."""
        return str(self._cfg.name)

    @property
    def label(self) -> str | None:
        """What the user calls the run; None where it has no name of its own."""
        label = self._cfg.get("label")
        return str(label) if label else None

    @property
    def seed(self) -> int:
        """Of weights, order and dropout."""
        return cast(int, self._cfg.seed)

    @property
    def output_dir(self) -> Path:
        """The folder that all runs lie in."""
        return Path(self._cfg.output_dir)

    @property
    def max_duration_s(self) -> float:
        """Where sound is cut in training."""
        return float(self._cfg.data.max_duration_s)

    @cached_property
    def labels(self) -> LabelSet:
        """The classes."""
        labels: LabelSet = instantiate(self._cfg.labels, _convert_="all")
        return labels

    @property
    def reads_text(self) -> bool:
        """Whether the model has a text encoder: utterances need a transcript then."""
        return self._cfg.text_encoder is not None

    @property
    def has_strategy(self) -> bool:
        """Whether a way for several devices to train together was chosen."""
        return bool(self._cfg.trainer.get("strategy", "auto") != "auto")

    def begins_pretrained(self, encoder: str) -> bool:
        """Whether "audio_encoder" or "text_encoder" begins with a checkpoint's weights."""
        return bool(self._cfg[encoder].get("pretrained", True))

    def build_corpus(self) -> Corpus:
        """The corpus of the training; nothing of it is read yet."""
        corpus: Corpus = instantiate(self._cfg.corpus, _convert_="all")
        return corpus

    def build_split(self) -> SplitProtocol:
        """How utterances are split."""
        split: SplitProtocol = instantiate(self._cfg.split, _convert_="all")
        return split

    def build_encoders(
        self, run: RunFolder | None = None, taken: Mapping[str, RunFolder] | None = None
    ) -> Encoders:
        """Both encoders; with a run, from what it saved beside its weights.

        Args:
            run: The run itself, where it has saved something.
            taken: By modality another run that has saved its encoder.
        """
        taken = taken or {}
        audio = saved_part(self._cfg, "audio_encoder", run or taken.get("audio"))
        return Encoders(audio, saved_part(self._cfg, "text_encoder", run or taken.get("text")))

    def build_preprocessing(self, run: RunFolder) -> Preprocessing:
        """What a run's sound and words went through, from what the run has saved."""
        uses_audio = self._cfg.audio_encoder is not None
        denoiser = saved_part(self._cfg, DENOISER, run) if uses_audio else None
        return Preprocessing.of(self._cfg, denoiser)

    def build_module(self, encoders: Encoders) -> EmotionModule:
        """The classifier over the encoders, in its training module."""
        cfg = self._cfg
        context = instantiate(cfg.get("context"), _convert_="all")
        classifier = instantiate(
            cfg.classifier,
            _convert_="all",
            audio_encoder=encoders.audio,
            text_encoder=encoders.text,
            fusion=instantiate(cfg.fusion, _convert_="all"),
            num_classes=len(self.labels),
            # A classifier of the user's own need not take one.
            **({"context": context} if context is not None else {}),
        )
        initial: InitialEncoders | None = instantiate(cfg.get("initial"), _convert_="all")
        if initial is not None:
            initial.freeze(classifier)
        if cfg.compile:
            # In place: the names of the weights stay the same.
            classifier.compile(dynamic=True)
        callbacks = [one for one in (cfg.callbacks or {}).values() if one is not None]
        monitors = [callback.get("monitor") for callback in callbacks]
        logged = logged_metrics(self.own_metrics, monitors, self.labels.classes)
        module: EmotionModule = instantiate(
            cfg.module,
            _convert_="all",
            classifier=classifier,
            num_classes=len(self.labels),
            loss=build_loss(cfg.loss),
            optimizer=instantiate(cfg.optimizer, _convert_="all"),
            scheduler=instantiate(cfg.scheduler, _convert_="all"),
            # A module of the user's own need not take them.
            **({"metrics": logged} if logged else {}),
        )
        return module

    @cached_property
    def own_metrics(self) -> tuple[OwnMetric, ...]:
        """Metrics of the user's own.

        Raises:
            InputError: If one cannot be built.
        """
        return self.own_metrics_of(self.labels.classes)

    def own_metrics_of(self, classes: Sequence[str]) -> tuple[OwnMetric, ...]:
        """The same among some of the classes: those that another corpus has.

        Raises:
            InputError: If one cannot be built.
        """
        return build_own_metrics(self._cfg, classes)

    @cached_property
    def subgroups(self) -> Subgroups:
        """Groups that test is scored by; a run of an earlier mmemo has the usual ones."""
        found: Subgroups = self._part_or("subgroups", Subgroups())
        return found

    @cached_property
    def abstention(self) -> Abstention:
        """What a run is asked about abstaining; as ``subgroups``."""
        found: Abstention = self._part_or("abstention", Abstention())
        return found

    def _part_or(self, name: str, usual: Any) -> Any:  # noqa: ANN401
        part = self._cfg.get(name)
        return instantiate(part, _convert_="all") if part else usual

    def check_asked(self) -> None:
        """Find before anything is computed what cannot be asked of answers.

        Raises:
            InputError: If groups or abstention have a setting that is none.
        """
        self.subgroups, self.abstention  # noqa: B018 (kept for what comes)

    def with_changes(self, given: DictConfig, *names: str) -> Experiment:
        """The same with settings of some parts as they are given; None is as it was.

        Args:
            given: A command's config.
            names: Of the parts.
        """
        cfg = self._cfg.copy()
        OmegaConf.set_struct(cfg, False)
        for name in names:
            changed = {k: v for k, v in given[name].items() if v is not None}
            if changed:
                base = cfg.get(name) or {"_target_": USUAL_TARGETS[name]}
                cfg[name] = OmegaConf.merge(base, changed)
        return Experiment(cfg)

    def build_trainer(self) -> lightning.Trainer:
        """Lightning's trainer, with the callbacks that are not null.

        Raises:
            InputError: If it or a callback cannot be built, or its precision is unknown, cannot be
                trained in, or is not that device's.
        """
        chosen = (self._cfg.callbacks or {}).values()
        callbacks = [instantiate(c, _convert_="all") for c in chosen if c is not None]
        # The state that it saves is the one behind what all others do after a step.
        callbacks = sorted(callbacks, key=lambda callback: isinstance(callback, Interruption))
        return build_trainer(self._cfg.trainer, callbacks)

    def build_one_process_trainer(self) -> lightning.Trainer:
        """Lightning's trainer for one process, without callbacks; errors as ``build_trainer``."""
        return build_one_process_trainer(self._cfg.trainer)

    def build_answering_trainer(self, accelerator: str) -> lightning.Trainer:
        """The same on a device that may be another than in training: "auto", "cpu", "gpu"."""
        return build_answering_trainer(self._cfg.trainer, accelerator)

    def build_plain_datamodule(
        self, prepared: PreparedCorpus, encoders: Encoders
    ) -> EmotionDataModule:
        """Loaders that hand out sound and tokens, whether an encoder is frozen or not.

        The text encoder learns of the training split what it has to.
        """
        datamodule = self._datamodule(self._cfg.data, prepared, self.labels, encoders)
        if encoders.text is not None:
            encoders.text.fit(datamodule.datasets["train"].transcripts)
        return datamodule

    def build_test_datamodule(
        self, prepared: PreparedCorpus, labels: LabelSet, encoders: Encoders, split: SplitProtocol
    ) -> EmotionDataModule:
        """Loaders of test alone, of another corpus than that of the training.

        Args:
            prepared: That corpus.
            labels: The classes of its rows.
            encoders: Those of the run, as it has saved them.
            split: Which of its rows are tested.
        """
        settings = {key: value for key, value in self._cfg.data.items() if key != "split"}
        changes = {"split": split, "splits": ("test",)}
        return self._datamodule(OmegaConf.create(settings), prepared, labels, encoders, **changes)

    def _datamodule(
        self,
        settings: DictConfig,
        prepared: PreparedCorpus,
        labels: LabelSet,
        encoders: Encoders,
        **changes: Any,  # noqa: ANN401
    ) -> EmotionDataModule:
        # Loaders of the user's own need not know of dialogues.
        if "dialogue_batches" in settings or reads_dialogues(self._cfg):
            changes |= {"dialogue_batches": reads_dialogues(self._cfg)}
        datamodule: EmotionDataModule = instantiate(
            settings,
            _convert_="all",
            prepared=prepared,
            labels=labels,
            audio_encoder=encoders.audio,
            text_encoder=encoders.text,
            needs_transcript=self.reads_text,
            **changes,
        )
        return datamodule

    def build_datamodule(
        self,
        prepared: PreparedCorpus,
        encoders: Encoders,
        device: torch.device,
        module: EmotionModule,
    ) -> EmotionDataModule:
        """Loaders that hand out a frozen encoder's pooled features in place of what it encodes.

        Unless the module's fusion needs frames.
        """
        datamodule = self.build_plain_datamodule(prepared, encoders)
        needs_frames = cast(EmotionClassifier, module.classifier).fusion.needs_frames
        use_frozen_features(self._cfg, datamodule, encoders, device, needs_frames)
        return datamodule

    def check(self, annotations: Annotations, encoders: Encoders, preparer: Preparer) -> None:
        """Find settings that do not fit together; errors as of ``check_settings``."""
        self.check_transcripts(annotations)
        self.check_asked()
        split = self.build_split()
        check_settings(self._cfg, self.labels, split, annotations, encoders.audio, preparer)

    def check_transcripts(self, annotations: Annotations) -> None:
        """Raise an InputError if a corpus has no transcripts for a model that reads them."""
        if self.reads_text and annotations.no_transcripts:
            raise InputError(annotations.no_transcripts)

    def check_run_name(self, path: Path) -> None:
        """A run of a leaky split protocol says so in its folder's name.

        Raises:
            InputError: If it does not.
        """
        split = self.build_split()
        if split.leaky and LEAKY not in path.name:
            raise InputError(
                f"{path}: expected {LEAKY} in the name of a run with split={split.name}, got "
                f"'{path.name}'; name it {path.name}-{LEAKY}"
            )

    def check_missing(self, run: RunFolder, missing: str) -> None:
        """Check that a modality, "audio" or "text", can be left out of the run's batches.

        Raises:
            InputError: If it is neither, or the run was not trained to answer without it.
        """
        check_missing(run, self._cfg, missing)

    def build_source_of(
        self, corpus: DictConfig, preparer: DictConfig, denoiser: Denoiser | None
    ) -> DataSource:
        """Another corpus, to be prepared as that of the training was.

        Args:
            corpus: Config of the corpus.
            preparer: Settings of the preparer that change nothing of what it makes: where, and by
                how many processes.
            denoiser: The run's own, where its model hears something.
        """
        cfg = self._cfg.copy()
        cfg.corpus = OmegaConf.to_container(corpus, resolve=True)
        cfg.preparer.update(OmegaConf.to_container(preparer, resolve=True))
        if denoiser is None:
            return build_data_source(cfg)
        # What the run has kept of it, wherever its config says that it was.
        cfg.denoiser = None
        return replace(build_data_source(cfg), denoiser=denoiser)

    def trained_rows(self, prepared: PreparedCorpus) -> pd.DataFrame:
        """The rows of the corpus of the training, as the run has split them.

        Raises:
            InputError: As the split protocol does.
        """
        data, labels = self._cfg.data, self.labels
        states = utterance_states(
            prepared.manifest,
            labels,
            data.get("min_duration_s", 0.0),
            prepared.sample_rate,
            self.reads_text,
        )
        return self.build_split().assign(kept_rows(states), labels.column)

    def protocol(
        self, datamodule: EmotionDataModule, epoch: int, loss: str, unit: str, missing: str | None
    ) -> Protocol:
        """What has to be known to compare the run's numbers; arguments as of ``run_protocol``."""
        return run_protocol(self._cfg, datamodule, epoch, loss, unit, missing)
