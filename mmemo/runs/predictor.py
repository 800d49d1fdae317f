"""A trained model that answers on sound and words of anybody's, from its run folder alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmemo.audio.clip_worker import ClipWorker, Quantised
from mmemo.audio.prepared import FULL_SCALE
from mmemo.corpora.utterance import LabelSet
from mmemo.data.batch import Batch, Collator, Example
from mmemo.data.dialogues import Turn
from mmemo.data.sampling import EvaluationSampler
from mmemo.errors import InputError
from mmemo.evaluation.calibration import scaled, table_temperature
from mmemo.evaluation.predictions import read_predictions
from mmemo.evaluation.protocol import Protocol, without_modality
from mmemo.models.classifier import EmotionClassifier
from mmemo.models.fusion import embedding_of
from mmemo.runs.rebuilt_run import RebuiltModel, rebuild_model
from mmemo.runs.run_folder import RunFolder

NO_TARGET = 0
"""Stands for the class of what nobody has annotated; a model that answers does not look at it."""

FUSED = "fused"


@dataclass(frozen=True)
class Spoken:
    """What a model is asked about.

    Args:
        key: Names it.
        sound: (T,) int16 as ``ClipWorker`` prepares it; None where there is none.
        transcript: The words; None where they are not known.
        speaker: Their speaker's name, if it is known.
        before: Earlier utterances of the dialogue with their speakers, oldest first.
        after: Later ones.
        dialogue: Names the dialogue that it is of, among all that is asked at once; nothing for
            one of its own.
        order: When it is said in the dialogue.
    """

    key: str
    sound: Quantised | None
    transcript: str | None
    speaker: str = ""
    before: tuple[tuple[str, str], ...] = ()
    after: tuple[tuple[str, str], ...] = ()
    dialogue: str = ""
    order: float = 0.0


@dataclass(frozen=True)
class Answer:
    """What a model says.

    Args:
        probabilities: (C,) float64, in label order, as the model gives them.
        missing: The modality that it did without, "audio" or "text"; None where it had all.
        embeddings: By "fused", and by modality, a vector (D,) float32; empty unless asked for.
        farther_than: Share of validation that lies nearer to the training split, as the model sees
            it; None where the run does not tell, or a modality is missing.
    """

    probabilities: NDArray[np.float64]
    missing: str | None
    embeddings: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    farther_than: float | None = None


@dataclass(frozen=True)
class Temperature:
    """What calibrates a model's probabilities.

    Args:
        value: T of softmax(log p / T); 1 where nothing was fitted.
        fitted_on: What it was fitted on, in words; None where nothing was.
    """

    value: float
    fitted_on: str | None

    def calibrated(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """(C,) to (C,)."""
        after: NDArray[np.float64] = scaled(probabilities[None], self.value)[0]
        return after


class Predictor:
    """A run's model, loaded once, with all that happens to sound and words before it.

    Args:
        model: Of the run.
    """

    def __init__(self, model: RebuiltModel) -> None:
        self.folder = model.folder
        self.seed = model.experiment.seed
        self.labels: LabelSet = model.experiment.labels
        self.preprocessing = model.preprocessing
        self.encoders = model.encoders
        self._trainer = model.trainer
        self.device: torch.device = model.trainer.strategy.root_device
        module = model.trainer.precision_plugin.convert_module(model.module)
        self.classifier = cast(EmotionClassifier, module.eval().to(self.device).classifier)
        audio, text = self.encoders.audio, self.encoders.text
        self._preprocess = audio.preprocess if audio else None
        self._tokenize = text.tokenize if text else None
        self.collator = Collator(
            min_samples=audio.min_samples if audio else 1,
            fixed_samples=audio.fixed_samples if audio else None,
            pad_token_id=text.pad_token_id if text else 0,
        )
        self._temperatures: dict[str | None, Temperature] = {}
        self._training = model.folder.read_training_embeddings()

    @classmethod
    def open(
        cls, run: str | Path, trusted: Sequence[str] = (), accelerator: str = "auto"
    ) -> Predictor:
        """Load a run from its folder; arguments and errors as of ``rebuild_model``."""
        return cls(rebuild_model(run, trusted, accelerator))

    @property
    def modalities(self) -> tuple[str, ...]:
        """What the model was trained on: of "audio" and "text" one or both."""
        return self.classifier.fusion.modalities

    @property
    def reads_dialogues(self) -> bool:
        """Whether its answer on an utterance depends on the others of the dialogue."""
        return self.classifier.context is not None

    @property
    def answers_without(self) -> bool:
        """Whether it was trained to do without one of its two modalities."""
        return len(self.modalities) > 1 and self.classifier.fusion.modality_dropout > 0

    @property
    def protocol(self) -> Protocol:
        """How the run's numbers came about.

        Raises:
            InputError: If it was not evaluated.
        """
        return self.folder.read_metrics().protocol

    def clip_worker(self, audio_track: int | str | None = None) -> ClipWorker:
        """What prepares sound as it was prepared in training.

        Args:
            audio_track: Of a file's sound tracks the one that is heard; None for its default.
        """
        before = self.preprocessing
        reading = replace(before.reading, audio_track=audio_track)
        return ClipWorker(before.denoiser, before.sample_rate, before.prepared_duration_s, reading)

    def missing(self, has_sound: bool, has_words: bool) -> str | None:
        """The modality that an answer would do without; None for none.

        Raises:
            InputError: If the model was not trained to.
        """
        there = {"audio": has_sound, "text": has_words}
        lacking = [name for name in self.modalities if not there[name]]
        if not lacking:
            return None
        if len(lacking) == len(self.modalities) or not self.answers_without:
            name = " and ".join("sound" if n == "audio" else "words" for n in lacking)
            remedy = (
                'give them: text="…", a column transcript, or asr=whisper'
                if "text" in lacking
                else "give a file with sound"
            )
            raise InputError(
                f"expected {name}, which the model of {self.folder.path.name} needs, got none; "
                f"{remedy}. One that was trained with fusion.modality_dropout above 0 answers "
                "from sound or words alone"
            )
        return lacking[0]

    def temperature(self, missing: str | None = None) -> Temperature:
        """What validation fitted, with that modality missing where the run was evaluated so."""
        if missing not in self._temperatures:
            self._temperatures[missing] = self._fitted(missing)
        return self._temperatures[missing]

    def _fitted(self, missing: str | None) -> Temperature:
        folder = RunFolder(self.folder.path, missing)
        if missing is not None and not folder.metrics_file.is_file():
            own = self.temperature()
            if own.fitted_on is None:
                return own
            return Temperature(own.value, f"{own.fitted_on} with sound and words")
        fitted_on = f"validation{without_modality(missing)}"
        with suppress(InputError):
            calibration = folder.read_metrics().calibration
            if calibration is not None:
                return Temperature(calibration.temperature.values[0], fitted_on)
        with suppress(InputError):
            table = read_predictions(folder.predictions_file)
            return Temperature(table_temperature(table[table["split"] == "val"]), fitted_on)
        return Temperature(1.0, None)

    def example(self, spoken: Spoken) -> Example:
        """What the loader of a training would hand out of it."""
        waveform = input_ids = own = None
        if spoken.sound is not None and self._preprocess is not None:
            waveform = self._preprocess(self.used_sound(spoken.sound))
        if spoken.transcript is not None and self._tokenize is not None:
            tokens = self._tokenize(
                self.read(spoken.speaker, spoken.transcript),
                [self.read(*text) for text in self._nearest(spoken.before, from_end=True)],
                [self.read(*text) for text in self._nearest(spoken.after, from_end=False)],
            )
            input_ids, own = torch.tensor(tokens.ids), tokens.own
        return Example(spoken.key, NO_TARGET, waveform, input_ids, own_tokens=own)

    def used_sound(self, sound: Quantised) -> Tensor:
        """As much of prepared sound (T,) as is heard, float32 in [-1, 1]."""
        kept = sound[: self.preprocessing.max_samples]
        return torch.from_numpy(kept.astype(np.float32)) / FULL_SCALE

    def read(self, speaker: str, transcript: str) -> str:
        """A transcript as it is read: cleaned, with the speaker's name in front where known."""
        cleaning = self.preprocessing.text_cleaning
        text = cleaning(transcript) if cleaning else transcript
        return f"{speaker}: {text}" if self.preprocessing.speaker_names and speaker else text

    def _nearest(
        self, utterances: tuple[tuple[str, str], ...], from_end: bool
    ) -> tuple[tuple[str, str], ...]:
        before = self.preprocessing
        if from_end:
            return utterances[max(len(utterances) - before.context_utterances, 0) :]
        return utterances[: before.future_utterances]

    def answer(
        self,
        spoken: Sequence[Spoken],
        embeddings: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> list[Answer]:
        """Answer on each, in batches of similar length.

        Args:
            spoken: What is asked about. A model that reads dialogues is given the utterances of
                each together; those that lack a modality, which it does without, apart.
            embeddings: Whether to give the vectors too.
            progress: Called with the number of answers that were just given.

        Raises:
            InputError: If one lacks what the model needs.
        """
        answers: list[Answer | None] = [None] * len(spoken)
        missing = [
            self.missing(one.sound is not None, one.transcript is not None) for one in spoken
        ]
        for kind in dict.fromkeys(missing):
            places = [place for place, found in enumerate(missing) if found == kind]
            for batch in self._batches([spoken[place] for place in places]):
                chosen = [places[index] for index in batch]
                answered = self._answer_batch([spoken[place] for place in chosen], kind, embeddings)
                for place, answer in zip(chosen, answered, strict=True):
                    answers[place] = answer
                if progress is not None:
                    progress(len(chosen))
        return [answer for answer in answers if answer is not None]

    def _batches(self, spoken: Sequence[Spoken]) -> Iterator[list[int]]:
        lengths = [self._length(one) for one in spoken]
        batch_size = self.preprocessing.batch_size
        if not self.reads_dialogues:
            yield from EvaluationSampler(lengths, batch_size)
            return
        dialogues = _dialogues(spoken)
        whole = [sum(lengths[place] for place in members) for members in dialogues]
        for chosen in EvaluationSampler(whole, batch_size):
            yield [place for number in chosen for place in dialogues[number]]

    def _length(self, spoken: Spoken) -> int:
        """What it costs, as in evaluation."""
        is_padded = self.encoders.audio is not None and self.encoders.audio.fixed_samples is None
        if spoken.sound is not None and is_padded:
            return min(len(spoken.sound), self.preprocessing.max_samples)
        return len(spoken.transcript or "")

    def _answer_batch(
        self, spoken: Sequence[Spoken], missing: str | None, embeddings: bool
    ) -> list[Answer]:
        examples = [self.example(one) for one in spoken]
        if self.reads_dialogues:
            examples = [
                # What is of no dialogue is named by its place, as no dialogue of a table is.
                replace(e, turn=Turn(f"/{one.dialogue}" if one.dialogue else str(n), one.speaker))
                for n, (e, one) in enumerate(zip(examples, spoken, strict=True))
            ]
        batch: Batch = self.collator(examples).to(self.device)
        with torch.inference_mode(), self._trainer.precision_plugin.predict_step_context():
            features = self.classifier.encode(batch)
            logits = self.classifier.classify(features, batch.dialogues)
            probabilities = torch.softmax(logits.float(), dim=1).cpu().double().numpy()
            fused = embedding_of(self.classifier.fuse(features))
            vectors: dict[str, Tensor] = {}
            if embeddings:
                vectors = {FUSED: fused, **{name: part.pooled for name, part in features.items()}}
        farther: list[float | None] = [None] * len(spoken)
        # Without a modality every input is unlike those of the training.
        if self._training is not None and missing is None:
            distances = self._training.distances(fused.float().cpu().double().numpy())
            farther = list(map(float, self._training.farther_than(distances)))
        kept = {name: vector.float().cpu().numpy() for name, vector in vectors.items()}
        return [
            Answer(
                row, missing, {name: vector[index] for name, vector in kept.items()}, farther[index]
            )
            for index, row in enumerate(probabilities)
        ]


def _dialogues(spoken: Sequence[Spoken]) -> list[list[int]]:
    """The places of each dialogue's utterances, in order; what is of none is alone."""
    found: dict[str, list[int]] = {}
    alone: list[list[int]] = []
    for place, one in enumerate(spoken):
        if one.dialogue:
            found.setdefault(one.dialogue, []).append(place)
        else:
            alone.append([place])
    ordered = [sorted(members, key=lambda p: spoken[p].order) for members in found.values()]
    return [*ordered, *alone]
