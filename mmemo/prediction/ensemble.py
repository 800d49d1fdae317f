"""One model, or several that answer together, from what is asked to answers in its order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mmemo.audio.denoisers import Samples
from mmemo.audio.reading import Reading
from mmemo.audio.recordings import (
    FROM_HERE_ON_PARALLEL,
    PreparedRecording,
    Recording,
    RecordingWorker,
    Stretch,
    prepared_recordings,
)
from mmemo.cores import num_cores
from mmemo.corpora.utterance import LabelSet
from mmemo.data.selection import TOO_SHORT
from mmemo.errors import InputError
from mmemo.prediction.answers import Prediction
from mmemo.prediction.options import PredictionOptions, Transcriber
from mmemo.prediction.requests import Request
from mmemo.prediction.timed_words import check_times, untimed_words, words_within
from mmemo.runs.predictor import Answer, Predictor, Spoken

BATCHES_IN_A_POOL = 16
"""So many batches of stretches are prepared, then sorted by length, then answered."""

NEEDS = "missing modality"
UNTIMED = "words without times"


@dataclass(frozen=True)
class PendingAnswer:
    """A row that waits for its answer, or says why it has none.

    Args:
        row: Without probabilities.
        spoken: What the models are asked; None where ``row`` has a reason.
        speech: (T,) float32 at 16 kHz, whose words are still to be written down; else None.
    """

    row: Prediction
    spoken: Spoken | None = None
    speech: Samples | None = None


class Ensemble:
    """Models that answer together: the mean of what each says.

    Args:
        predictors: At least one; of the same classes, hearing sound that is prepared alike.

    Raises:
        InputError: If they are not.
    """

    def __init__(self, predictors: Sequence[Predictor]) -> None:
        self.predictors = tuple(predictors)
        first = self.predictors[0]
        for other in self.predictors[1:]:
            if other.labels.classes != first.labels.classes:
                raise _unlike(first, other, "classes", first.labels.classes, other.labels.classes)
        hearing = [p for p in self.predictors if "audio" in p.modalities]
        for other in hearing[1:]:
            one, two = _sound(hearing[0]), _sound(other)
            if one != two:
                raise _unlike(hearing[0], other, "preparation of sound", one, two)
        self.uses_audio = bool(hearing)
        self.uses_text = any("text" in p.modalities for p in self.predictors)
        self._preparing = hearing[0] if hearing else first

    @property
    def labels(self) -> LabelSet:
        """The classes."""
        return self.predictors[0].labels

    @property
    def num_before(self) -> int:
        """Earlier utterances that a model reads."""
        return max(p.preprocessing.context_utterances for p in self.predictors)

    @property
    def num_after(self) -> int:
        """Later utterances that a model reads."""
        return max(p.preprocessing.future_utterances for p in self.predictors)

    @property
    def reads_dialogues(self) -> bool:
        """Whether a model's answer depends on the others of the dialogue that are asked."""
        return any(predictor.reads_dialogues for predictor in self.predictors)

    @property
    def reads_context(self) -> bool:
        """Whether a model reads more of the dialogue than the utterance."""
        return self.num_before + self.num_after > 0 or self.reads_dialogues

    @property
    def max_duration_s(self) -> float | None:
        """What is longer is cut before it is heard; None where nothing is heard."""
        limits = [
            p.preprocessing.max_duration_s for p in self.predictors if "audio" in p.modalities
        ]
        return min(limits) if limits else None

    def reading(self, audio_track: int | str | None) -> Reading:
        """How files are read."""
        return self._preparing.clip_worker(audio_track).reading

    def check(self, requests: Sequence[Request], options: PredictionOptions) -> None:
        """Say at once what none of the requests has and a model needs.

        Raises:
            InputError: If there is no request that could be answered, or words are given of whole
                recordings whose stretches are asked about.
        """
        problem: InputError | None = None
        if options.transcriber is not None and not self.uses_text:
            raise InputError(
                f"asr: expected a model that reads words, {self.predictors[0].folder.path.name} "
                "hears alone; leave asr out"
            )
        has_transcriber = options.transcriber is not None
        if options.cutter is not None and not has_transcriber and self.uses_text:
            check_times(requests)
        for request in requests:
            has_sound = request.recording is not None
            has_words = request.transcript is not None or (has_transcriber and has_sound)
            try:
                for predictor in self.predictors:
                    predictor.missing(has_sound, has_words)
            except InputError as error:
                problem = problem or error
            else:
                return
        if problem is not None:
            raise problem

    def answer(
        self,
        requests: Sequence[Request],
        options: PredictionOptions,
        progress: Callable[[int], object] | None = None,
    ) -> Iterator[Prediction]:
        """Answer on each request, in order; on each of its stretches, where it is cut.

        What cannot be answered is a row with its reason.

        Args:
            requests: What is asked.
            options: How answers are made.
            progress: Called with the number of requests that were just prepared.

        Raises:
            InputError: If a process was ended from outside.
        """
        for pool in self._pools(requests, options, progress):
            yield from self._answered(pool, options)

    def prepare(
        self,
        requests: Sequence[Request],
        options: PredictionOptions,
        progress: Callable[[int], object] | None = None,
    ) -> Iterator[PendingAnswer]:
        """What the models would be asked of each request; arguments and errors as of ``answer``."""
        for pool in self._pools(requests, options, progress):
            yield from self._complete(pool, options)

    def _pools(
        self,
        requests: Sequence[Request],
        options: PredictionOptions,
        progress: Callable[[int], object] | None,
    ) -> Iterator[list[PendingAnswer]]:
        size = BATCHES_IN_A_POOL * min(p.preprocessing.batch_size for p in self.predictors)
        last = {r.dialogue: place for place, r in enumerate(requests) if r.dialogue}
        whole_at = 0
        pool: list[PendingAnswer] = []
        for place, (request, prepared) in enumerate(self._prepared(requests, options)):
            pool += self._rows(request, prepared, options)
            if progress is not None:
                progress(1)
            if self.reads_dialogues:
                # No dialogue is cut in two.
                whole_at = max(whole_at, last.get(request.dialogue, 0))
            if len(pool) >= size and place >= whole_at:
                yield pool
                pool = []
        yield pool

    def _prepared(
        self, requests: Sequence[Request], options: PredictionOptions
    ) -> Iterator[tuple[Request, PreparedRecording | None]]:
        needs_sound = (
            self.uses_audio or options.transcriber is not None or options.cutter is not None
        )
        worker = RecordingWorker(
            self._preparing.clip_worker(options.audio_track),
            options.cutter,
            options.transcriber is not None,
        )
        recorded = [r for r in requests if needs_sound and r.recording is not None and not r.reason]
        recordings: list[Recording] = [r.recording for r in recorded if r.recording is not None]
        num_workers = options.num_workers
        if num_workers is None:
            num_workers = min(num_cores(), len(recordings) // FROM_HERE_ON_PARALLEL)
        results = prepared_recordings(worker, recordings, num_workers)
        waiting = {id(request) for request in recorded}
        for request in requests:
            yield request, next(results) if id(request) in waiting else None

    def _rows(
        self, request: Request, prepared: PreparedRecording | None, options: PredictionOptions
    ) -> list[PendingAnswer]:
        """The rows of a request, each with what the models are asked, if anything is."""
        row = Prediction(request.name, self.labels.classes, None, transcript=request.transcript)
        if request.reason:
            return [PendingAnswer(replace(row, reason=request.reason, detail=request.detail))]
        if prepared is None:
            return [PendingAnswer(row, _spoken(request, None))]
        row = replace(
            row,
            duration_s=prepared.duration_s,
            time_s=prepared.prepare_s,
            num_bad_packets=prepared.num_bad_packets,
            note=prepared.note,
        )
        if prepared.reason:
            return [PendingAnswer(replace(row, reason=prepared.reason, detail=prepared.detail))]
        row = replace(row, time_s=prepared.prepare_s / len(prepared.stretches))
        is_cut = len(prepared.stretches) > 1
        if is_cut and self.uses_text and request.transcript is not None and request.words is None:
            if options.transcriber is None:
                return [PendingAnswer(replace(row, reason=UNTIMED, detail=untimed_words(request)))]
            request = replace(request, transcript=None)
        return [
            self._stretch(row, words_within(request, stretch) if is_cut else request, stretch)
            for stretch in prepared.stretches
        ]

    def _stretch(self, row: Prediction, request: Request, stretch: Stretch) -> PendingAnswer:
        """A row of a stretch; ``request`` has the words of that stretch alone."""
        row = replace(
            row,
            start_s=stretch.start_s,
            end_s=stretch.end_s,
            transcript=request.transcript,
            words=request.words,
        )
        if stretch.samples is None:
            return PendingAnswer(replace(row, reason=stretch.reason, detail=stretch.detail))
        before = self._preparing.preprocessing
        duration_s = len(stretch.samples) / before.sample_rate
        if self.uses_audio and duration_s < before.min_duration_s:
            detail = f"{duration_s:.3f} s, the least is {before.min_duration_s} s"
            return PendingAnswer(replace(row, reason=TOO_SHORT, detail=detail))
        used_duration_s = min(len(stretch.samples), before.max_samples) / before.sample_rate
        row = replace(row, used_duration_s=used_duration_s if self.uses_audio else None)
        is_unknown = request.transcript is None and request.words is None
        speech = stretch.speech if is_unknown else None
        return PendingAnswer(row, _spoken(request, stretch if self.uses_audio else None), speech)

    def _complete(
        self, pool: Sequence[PendingAnswer], options: PredictionOptions
    ) -> list[PendingAnswer]:
        """Rows whose words are written down, or that say what a model lacks."""
        if options.transcriber is not None:
            pool = _transcribed(pool, options.transcriber)
        return [self._with_all_it_needs(pending) for pending in pool]

    def _answered(
        self, pool: Sequence[PendingAnswer], options: PredictionOptions
    ) -> Iterator[Prediction]:
        begun = time.perf_counter()
        pool = self._complete(pool, options)
        spoken = [pending.spoken for pending in pool if pending.spoken is not None]
        answers = (
            [predictor.answer(spoken, options.embeddings) for predictor in self.predictors]
            if spoken
            else []
        )
        share_s = (time.perf_counter() - begun) / max(len(spoken), 1)
        by_row = iter(zip(*answers, strict=True))
        for pending in pool:
            row = pending.row
            if pending.spoken is not None:
                row = self._joined(row, next(by_row), options)
                row = replace(row, time_s=row.time_s + share_s)
            yield row

    def _with_all_it_needs(self, pending: PendingAnswer) -> PendingAnswer:
        """The row itself, or one that says what a model lacks."""
        if pending.spoken is None:
            return pending
        spoken = pending.spoken
        try:
            for predictor in self.predictors:
                predictor.missing(spoken.sound is not None, spoken.transcript is not None)
        except InputError as error:
            return PendingAnswer(replace(pending.row, reason=NEEDS, detail=str(error)))
        return pending

    def _joined(
        self, row: Prediction, answers: Sequence[Answer], options: PredictionOptions
    ) -> Prediction:
        probabilities = np.stack([answer.probabilities for answer in answers])
        if options.calibrated:
            pairs = zip(self.predictors, answers, strict=True)
            probabilities = np.stack(
                [p.temperature(a.missing).calibrated(a.probabilities) for p, a in pairs]
            )
        is_one = len(answers) == 1
        vectors = {
            name if is_one else f"{name}-{number}": vector
            for number, answer in enumerate(answers, 1)
            for name, vector in answer.embeddings.items()
        }
        farther = [a.farther_than for a in answers if a.farther_than is not None]
        lacking = [answer.missing for answer in answers if answer.missing is not None]
        return replace(
            row,
            probabilities=probabilities.mean(axis=0),
            spread=None if is_one else probabilities.std(axis=0, ddof=1),
            missing=lacking[0] if lacking else None,
            embeddings=vectors,
            farther_than=float(np.mean(farther)) if len(farther) == len(answers) else None,
        )


def _spoken(request: Request, stretch: Stretch | None) -> Spoken:
    return Spoken(
        request.name,
        None if stretch is None else stretch.samples,
        request.transcript,
        request.speaker,
        request.before,
        request.after,
        request.dialogue,
        request.order,
    )


def _transcribed(pool: Sequence[PendingAnswer], transcriber: Transcriber) -> list[PendingAnswer]:
    """The rows, with the words of those whose words are not given."""
    found = list(pool)
    places = [place for place, one in enumerate(pool) if one.speech is not None]
    speech = [one.speech for one in pool if one.speech is not None]
    if not speech:
        return found
    for place, words in zip(places, transcriber(speech), strict=True):
        pending = pool[place]
        text = " ".join(word.text for word in words) or None
        spoken = pending.spoken and replace(pending.spoken, transcript=text)
        found[place] = PendingAnswer(replace(pending.row, transcript=text, words=words), spoken)
    return found


def _sound(predictor: Predictor) -> str:
    """What happens to sound, in words."""
    before = predictor.preprocessing
    denoiser = before.denoiser
    called = "none" if denoiser is None else f"{denoiser.name} {denoiser.version}"
    return (
        f"denoiser {called}, {before.sample_rate} Hz, cut at {before.prepared_duration_s:g} s and "
        f"{before.max_duration_s:g} s, at least {before.min_duration_s:g} s"
    )


def _unlike(one: Predictor, other: Predictor, what: str, own: object, others: object) -> InputError:
    return InputError(
        f"run: expected models of the same {what}, {one.folder.path.name} has {own}, "
        f"{other.folder.path.name} has {others}; ask them one after the other"
    )
