"""What ``mmemo explain`` is asked about: utterances of a run's corpus, or what the user gives."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import cast

import pandas as pd
from hydra.utils import instantiate
from omegaconf import DictConfig

from mmemo.commands.early_checks import selection_of, target_of
from mmemo.commands.requested_inputs import print_left_aside, requested_inputs
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
from mmemo.prediction.answers import SpokenWord
from mmemo.prediction.ensemble import Ensemble
from mmemo.prediction.options import PredictionOptions
from mmemo.prediction.requests import Request
from mmemo.runs.data_card import check_same_split
from mmemo.runs.predictor import Predictor, Spoken
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


@dataclass(frozen=True)
class Inputs:
    """What a user has given, prepared.

    Args:
        spoken: By key, what a model is asked about.
        words: By key, the words with their times, where these are known.
        failures: By key, why something cannot be asked about.
    """

    spoken: Mapping[str, Spoken]
    words: Mapping[str, tuple[SpokenWord, ...]]
    failures: Mapping[str, str]

    @property
    def digests(self) -> tuple[str, ...]:
        """Of each: of its samples, its words with their times, and its context."""
        return tuple(self._digest(key) for key in self.spoken)

    def _digest(self, key: str) -> str:
        spoken = self.spoken[key]
        content = [spoken.transcript, spoken.speaker, spoken.before, spoken.after]
        times = [asdict(word) for word in self.words.get(key, ())]
        digest = hashlib.sha256(json.dumps([content, times]).encode())
        if spoken.sound is not None:
            digest.update(spoken.sound.tobytes())
        return digest.hexdigest()


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
        self.inputs = inputs or _prepared(cfg, self.predictor)
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


def _prepared(cfg: DictConfig, predictor: Predictor) -> Inputs:
    ensemble = Ensemble([predictor])
    requests = requested_inputs(cfg, ensemble.num_before, ensemble.num_after)
    transcriber = instantiate(cfg.get("asr"), _convert_="all")
    options = PredictionOptions(transcriber=transcriber, audio_track=cfg.audio_track)
    ensemble.check(requests.rows, options)
    print_left_aside(requests)
    root = Path(str(cfg.input or "")).expanduser()
    spoken: dict[str, Spoken] = {}
    words: dict[str, tuple[SpokenWord, ...]] = {}
    failures: dict[str, str] = {}
    for request, pending in zip(
        requests.rows, ensemble.prepare(requests.rows, options), strict=True
    ):
        key = _free_key(request, root, {*spoken, *failures})
        if pending.spoken is None:
            failures[key] = f"{pending.row.reason}: {pending.row.detail}"
            continue
        spoken[key] = replace(pending.spoken, key=key)
        if pending.row.words:
            words[key] = pending.row.words
    if not spoken:
        key, reason = next(iter(failures.items()))
        raise InputError(
            f"input: expected at least one that can be read, got {len(failures)} that cannot; the "
            f"first: {key}: {reason}"
        )
    return Inputs(spoken, words, failures)


def _free_key(request: Request, root: Path, taken: set[str]) -> str:
    """A name that tells an input from the others: its path, and its times where it has any."""
    path = Path(request.name)
    if not request.name:
        key = "text"
    elif path == root:
        key = path.name
    else:
        key = path.relative_to(root).as_posix() if path.is_relative_to(root) else request.name
    recording = request.recording
    if recording is not None and (recording.start_s or recording.end_s is not None):
        end = "end" if recording.end_s is None else f"{recording.end_s:g}"
        key += f" {recording.start_s:g}-{end} s"
    free, number = key, 1
    while free in taken:
        number += 1
        free = f"{key}#{number}"
    return free
