"""What ``mmemo explain`` is asked about: utterances of a run's corpus, or what the user gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import cast

import pandas as pd
from hydra.utils import instantiate
from omegaconf import DictConfig

from mmemo.commands.early_checks import selection_of, target_of
from mmemo.commands.prepared_inputs import Inputs, prepared_inputs
from mmemo.data.datamodule import EmotionDataModule
from mmemo.errors import InputError
from mmemo.evaluation.predictions import read_predictions
from mmemo.evaluation.protocol import Protocol
from mmemo.evaluation.units import KeyUnits
from mmemo.explanation.explainer import Explainer
from mmemo.explanation.inputs import UtteranceInput, predictor_input, utterance_input
from mmemo.explanation.runner import ExplanationRunner
from mmemo.explanation.selection import most_confident
from mmemo.explanation.set_folder import SetSettings
from mmemo.models.classifier import EmotionClassifier
from mmemo.prediction.ensemble import Ensemble
from mmemo.runs.data_card import check_same_split
from mmemo.runs.predictor import Predictor
from mmemo.runs.rebuilt_run import RebuiltRun, rebuild_run, saved_parts
from mmemo.runs.run_folder import RunFolder, chosen_checkpoint, file_digest
from mmemo.runs.saved_config import trusted_names
from mmemo.version import __version__

INPUT = "input"


class Explained(ABC):
    """Utterances with the model of one run.

    Args:
        cfg: The command's config.
        classes: Of the model.
        classifier: The model.
    """

    def __init__(
        self, cfg: DictConfig, classes: Sequence[str], classifier: EmotionClassifier
    ) -> None:
        self.cfg = cfg
        explainer: Explainer = instantiate(cfg.explainer, _convert_="all", classes=list(classes))
        self.runner = ExplanationRunner(explainer, classifier, self.load)

    @property
    @abstractmethod
    def folder(self) -> RunFolder:
        """The run's."""

    @property
    @abstractmethod
    def seed(self) -> int:
        """That the run was trained with."""

    @property
    @abstractmethod
    def colours(self) -> Mapping[str, str]:
        """Of classes, by name."""

    @property
    @abstractmethod
    def keys(self) -> list[str]:
        """Of the utterances."""

    @property
    @abstractmethod
    def failures(self) -> Mapping[str, str]:
        """By key, why something that was asked about is no utterance."""

    @property
    @abstractmethod
    def protocol(self) -> Protocol | None:
        """How the run's numbers came about; None where it was not evaluated."""

    @property
    @abstractmethod
    def units(self) -> KeyUnits:
        """Which utterances belong together."""

    @property
    @abstractmethod
    def split(self) -> str:
        """That the utterances are from; empty for what the user has given."""

    @abstractmethod
    def sample(self, num: int, seed: int) -> list[str]:
        """Keys of so many utterances, at random, that numbers over the split are made of."""

    @abstractmethod
    def load(self, key: str) -> UtteranceInput:
        """An utterance as the model is given it."""

    @abstractmethod
    def settings(self) -> SetSettings:
        """All that decides the explanations."""

    def _settings(
        self, selection: str, keys: Sequence[str], split: str, inputs: Sequence[str] = ()
    ) -> SetSettings:
        return SetSettings(
            selection=selection,
            keys=tuple(keys),
            split=split,
            target=target_of(self.cfg),
            seed=self.cfg.seed,
            checkpoint=file_digest(chosen_checkpoint(self.folder)),
            mmemo_version=__version__,
            explainer=self.runner.explainer.settings(),
            inputs=tuple(inputs),
        )

    @abstractmethod
    def by_other(self, run: Path) -> Explained:
        """The same utterances with the model of a run of another seed."""

    @abstractmethod
    def first_shown(self, keys: Sequence[str]) -> list[str]:
        """Those of some utterances that have a page before the others."""

    @property
    def targets(self) -> dict[str, str]:
        """What is explained, by key."""
        return dict.fromkeys(self.keys, target_of(self.cfg))


class CorpusUtterances(Explained):
    """Utterances of the corpus that a run was trained on.

    Args:
        cfg: The command's config.
        run: The run.

    Raises:
        InputError: If the run or its corpus cannot be read, or nothing is chosen.
    """

    def __init__(self, cfg: DictConfig, run: str | Path) -> None:
        self.rebuilt: RebuiltRun = rebuild_run(run, cfg.prepared, trusted_names(cfg.trust))
        rebuilt = self.rebuilt
        with saved_parts(rebuilt.folder):
            self.datamodule: EmotionDataModule = rebuilt.experiment.build_plain_datamodule(
                rebuilt.prepared, rebuilt.encoders
            )
        check_same_split(rebuilt.folder, self.datamodule)
        rebuilt.module.to(rebuilt.device)
        classifier = cast(EmotionClassifier, rebuilt.module.classifier)
        if classifier.context is not None:
            raise InputError(
                f"{rebuilt.folder.path}: expected a model that answers each utterance by itself, "
                "this one reads the whole dialogue (context), which no explanation goes through; "
                "name a run of context=none, or explain an utterance that stands alone with "
                "input=FILE"
            )
        super().__init__(cfg, rebuilt.labels.classes, classifier)
        self.selection = selection_of(cfg)

    @property
    def folder(self) -> RunFolder:
        """The run's."""
        return self.rebuilt.folder

    @property
    def seed(self) -> int:
        """That the run was trained with."""
        return self.rebuilt.experiment.seed

    @property
    def colours(self) -> Mapping[str, str]:
        """Of classes, by name."""
        return self.rebuilt.labels.colours

    @cached_property
    def table(self) -> pd.DataFrame:
        """The run's predictions."""
        return read_predictions(self.folder.predictions_file)

    @cached_property
    def keys(self) -> list[str]:
        """Of the chosen utterances."""
        return self.selection.choose(self.table)

    @property
    def failures(self) -> Mapping[str, str]:
        """None: all of a run's corpus was read when it was prepared."""
        return {}

    @cached_property
    def protocol(self) -> Protocol:
        """How the run's numbers came about."""
        return self.folder.read_metrics().protocol

    @property
    def units(self) -> KeyUnits:
        """What the split keeps together."""
        return KeyUnits.of(self.table, self.protocol)

    @property
    def split(self) -> str:
        """Whose utterances are chosen, but for those by their keys."""
        return self.selection.split

    def sample(self, num: int, seed: int) -> list[str]:
        """From the split, in its order."""
        keys = self.table["key"][self.table["split"] == self.split]
        return keys.sample(min(num, len(keys)), random_state=seed).sort_index().tolist()

    def load(self, key: str) -> UtteranceInput:
        """An utterance through the run's own data set."""
        return utterance_input(self.datamodule, key, self.rebuilt.encoders.text)

    def settings(self) -> SetSettings:
        """All that decides the explanations."""
        chosen = self.selection
        return self._settings(chosen.name, chosen.keys, chosen.split)

    def by_other(self, run: Path) -> CorpusUtterances:
        """The same utterances with the model of another run of this corpus."""
        return CorpusUtterances(self.cfg, run)

    def first_shown(self, keys: Sequence[str]) -> list[str]:
        """The most confident one of each class."""
        return most_confident(self.table[self.table["key"].isin(keys)])


class UserInputs(Explained):
    """Files, stretches of files or words of a user's, with the model of a run folder alone.

    Args:
        cfg: The command's config.
        run: The run.
        inputs: What was prepared for another run; None to prepare it.

    Raises:
        InputError: If the run or what is given cannot be read, or the model needs what it lacks.
    """

    def __init__(self, cfg: DictConfig, run: str | Path, inputs: Inputs | None = None) -> None:
        self.predictor = Predictor.open(run, trusted_names(cfg.trust), cfg.accelerator)
        super().__init__(cfg, self.predictor.labels.classes, self.predictor.classifier)
        self.inputs = inputs or prepared_inputs(cfg, self.predictor)
        dialogues = [s.dialogue for s in self.inputs.spoken.values() if s.dialogue]
        if self.predictor.reads_dialogues and len(set(dialogues)) < len(dialogues):
            raise InputError(
                f"input: expected utterances that stand alone for {self.folder.path}, whose model "
                "reads whole dialogues (context), which no explanation goes through, got several "
                "of one dialogue; leave the column dialogue out to explain each by itself"
            )

    @property
    def folder(self) -> RunFolder:
        """The run's."""
        return self.predictor.folder

    @property
    def seed(self) -> int:
        """That the run was trained with."""
        return self.predictor.seed

    @property
    def colours(self) -> Mapping[str, str]:
        """Of classes, by name."""
        return self.predictor.labels.colours

    @property
    def keys(self) -> list[str]:
        """Names of what can be asked about."""
        return list(self.inputs.spoken)

    @property
    def failures(self) -> Mapping[str, str]:
        """By name, why something cannot be asked about."""
        return self.inputs.failures

    @property
    def protocol(self) -> Protocol | None:
        """How the run's numbers came about; None where it was not evaluated."""
        return self.predictor.protocol if self.folder.metrics_file.is_file() else None

    @property
    def units(self) -> KeyUnits:
        """Each input is a unit of its own."""
        return KeyUnits("input")

    @property
    def split(self) -> str:
        """None."""
        return ""

    def sample(self, num: int, seed: int) -> list[str]:
        """All inputs: they are what is asked about."""
        return self.keys

    def load(self, key: str) -> UtteranceInput:
        """An input, prepared as in training."""
        times = [(word.start_s, word.end_s) for word in self.inputs.words.get(key, ())]
        return predictor_input(self.predictor, self.inputs.spoken[key], times)

    def settings(self) -> SetSettings:
        """All that decides the explanations."""
        return self._settings(INPUT, self.keys, "", self.inputs.digests)

    def by_other(self, run: Path) -> UserInputs:
        """The same inputs with the model of a run that hears the same sound."""
        other = UserInputs(self.cfg, run, self.inputs)
        Ensemble([self.predictor, other.predictor])
        return other

    def first_shown(self, keys: Sequence[str]) -> list[str]:
        """As they were given."""
        return list(keys)
