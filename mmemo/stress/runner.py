"""Asks a model about every utterance under each condition; what is there already is read."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmemo.audio.denoisers import Samples
from mmemo.audio.media import resample
from mmemo.audio.recordings import SPEECH_RATE
from mmemo.errors import InputError
from mmemo.progress import progress_bar
from mmemo.runs.predictor import Predictor, Spoken
from mmemo.stress.answers import NOBODY, AnswerStore, StressAnswers
from mmemo.stress.conditions import CLEAN_CONDITION, TEXT, Condition
from mmemo.stress.sound_pool import SoundPool
from mmemo.stress.test_set import StressSet

BATCHES_IN_A_POOL = 16
"""So many batches of sound are prepared, then sorted by length, then answered."""

Recogniser = Callable[[Sequence[Samples]], Sequence[str]]
"""The words of each sound (T,) float32 at 16 kHz."""


@dataclass(frozen=True)
class Cost:
    """What conditions take.

    Args:
        num_conditions: How many there are.
        num_kept: How many of them are computed already.
        num_passes: Utterances that the model still has to be asked about, over all of them.
        num_prepared: Utterances whose sound has to be prepared anew for them.
        num_recognised: Utterances whose sound has to be decoded and written down for them.
    """

    num_conditions: int
    num_kept: int
    num_passes: int
    num_prepared: int
    num_recognised: int


@dataclass
class StressRunner:
    """One model and one test set.

    Args:
        predictor: The model.
        given: The utterances.
        pool: Prepares their sound; None for a model that hears nothing.
        store: Keeps answers.
        seed: Of all draws.
        recogniser: Writes down what is said; None for nobody.
    """

    predictor: Predictor
    given: StressSet
    pool: SoundPool | None
    store: AnswerStore
    seed: int
    recogniser: Recogniser | None = None

    def cost(self, conditions: Sequence[Condition]) -> Cost:
        """What is still to be done."""
        missing = self._missing(conditions)
        num = len(self.given.spoken)
        prepared = sum(num for one in missing if one.prepares_sound)
        recognised = sum(num for one in missing if one.recogniser is not None)
        num_all = len({self.store.path(one) for one in conditions})
        return Cost(num_all, num_all - len(missing), num * len(missing), prepared, recognised)

    def run(
        self, conditions: Sequence[Condition], tell: Callable[[str], object]
    ) -> dict[Condition, StressAnswers]:
        """The answers under each condition; each is kept as soon as it is complete.

        Args:
            conditions: Each once.
            tell: Called with a line on the time that is left, once it can be told.

        Raises:
            InputError: If a clip cannot be read, or a modality that the model needs is withheld.
        """
        missing = self._missing(conditions)
        computed: dict[Path, StressAnswers] = {}
        self._warm_up(missing)
        estimate = _Estimate(missing)
        num = len(self.given.spoken)
        with progress_bar(num * len(missing), "conditions", unit="utterance") as bar:
            for condition in missing:
                bar.set_postfix_str(condition.name, refresh=False)
                begun = time.perf_counter()
                answers = self._answers(condition, bar.update)
                seconds = time.perf_counter() - begun
                answers = replace(answers, seconds=seconds)
                self.store.write(condition, answers)
                computed[self.store.path(condition)] = answers
                line = estimate.after(condition, seconds)
                if line is not None:
                    tell(line)
        return {condition: self._known(condition, computed) for condition in conditions}

    def _warm_up(self, missing: Sequence[Condition]) -> None:
        """Let the processes start and load the denoiser, which is no condition's time."""
        is_heard = any(one.prepares_sound for one in missing)
        if is_heard and self.pool is not None and self.pool.executor is not None:
            first = self.given.originals[: self.pool.window]
            self.pool.prepare(first, CLEAN_CONDITION, self.seed)

    def _known(self, condition: Condition, computed: Mapping[Path, StressAnswers]) -> StressAnswers:
        path = self.store.path(condition)
        if path not in computed:
            kept = self.store.read(condition)
            if kept is None:
                raise InputError(
                    f"{path}: expected the answers that were there a moment ago, they are gone or "
                    "damaged; give the command again"
                )
            return kept
        return computed[path]

    def _missing(self, conditions: Sequence[Condition]) -> list[Condition]:
        """Those without kept answers; of several that have the same answers the first."""
        found: dict[Path, Condition] = {}
        for condition in conditions:
            if self.store.read(condition) is None:
                found.setdefault(self.store.path(condition), condition)
        return list(found.values())

    def _answers(self, condition: Condition, progress: Callable[[int], object]) -> StressAnswers:
        if condition.words_of is not None:
            return self._contradicted(condition.words_of, progress)
        read: list[str] | None = None
        if condition.recogniser is not None:
            read = self._recognised()
        elif condition.words is not None:
            # The curve's name: a rate has the errors of the lower one, and more.
            draws = np.random.default_rng([self.seed, zlib.crc32(condition.draws.encode())])
            read = condition.words(self.given.said, draws)
        asked = list(self.given.spoken)
        if read is not None:
            asked = self._reading(asked, read, condition)
        if condition.without is not None:
            asked = [self._without(one, condition.without) for one in asked]
        if condition.prepares_sound:
            probabilities = self._asked_with_sound(asked, condition, progress)
        else:
            probabilities = self._asked(asked, progress)
        num = len(self.given)
        return StressAnswers(probabilities[:num], None if read is None else tuple(read[:num]))

    def _asked_with_sound(
        self, asked: Sequence[Spoken], condition: Condition, progress: Callable[[int], object]
    ) -> NDArray[np.float64]:
        """Answers on sound that is prepared anew, some batches' at a time: it lies in memory."""
        if self.pool is None:
            raise ValueError(f"{condition.name}: expected a model that hears")
        size = BATCHES_IN_A_POOL * self.predictor.preprocessing.batch_size
        found = np.empty((len(asked), len(self.store.classes)))
        for part in self.given.parts(size):
            originals = [self.given.originals[place] for place in part]
            sounds = self.pool.prepare(originals, condition, self.seed)
            pairs = zip(part, sounds, strict=True)
            heard = [replace(asked[place], sound=sound) for place, sound in pairs]
            found[part] = self._asked(heard, progress)
        return found

    def _asked(
        self, asked: Sequence[Spoken], progress: Callable[[int], object]
    ) -> NDArray[np.float64]:
        def told(num: int) -> None:
            progress(num)

        answers = self.predictor.answer(asked, progress=told)
        return np.stack([answer.probabilities for answer in answers])

    def _recognised(self) -> list[str]:
        if self.recogniser is None or self.pool is None:
            raise InputError(
                "conditions.recognised: expected a recogniser of speech and a model that hears and "
                "reads; set asr=whisper, or leave it out"
            )
        words: list[str] = []
        size = BATCHES_IN_A_POOL * self.predictor.preprocessing.batch_size
        for start in range(0, len(self.given.originals), size):
            part = self.given.originals[start : start + size]
            sounds = [self.pool.recorded(original) for original in part]
            speech = [resample(s.waveform, s.sample_rate, SPEECH_RATE) for s in sounds]
            words += self.recogniser(speech)
        return words

    def _reading(
        self, asked: Sequence[Spoken], read: Sequence[str], condition: Condition
    ) -> list[Spoken]:
        """The utterances with other words, those of their context too where they are tried."""
        changed = dict(zip((one.key for one in asked), read, strict=True))
        own_only = bool(getattr(condition.words, "own_only", False))
        found = []
        for one, (before, after), words in zip(asked, self.given.context_keys, read, strict=True):
            if not own_only:
                one = replace(
                    one,
                    before=_changed(one.before, before, changed),
                    after=_changed(one.after, after, changed),
                )
            found.append(replace(one, transcript=words))
        return found

    def _without(self, spoken: Spoken, modality: str) -> Spoken:
        """An utterance without a modality: withheld where the model was trained so, else empty."""
        is_withheld = self.predictor.answers_without
        if modality == TEXT:
            words = None if is_withheld else ""
            speaker = spoken.speaker if spoken.dialogue else ""
            return replace(spoken, transcript=words, speaker=speaker, before=(), after=())
        sound = spoken.sound
        return replace(spoken, sound=None if is_withheld or sound is None else np.zeros_like(sound))

    def _contradicted(self, class_name: str, progress: Callable[[int], object]) -> StressAnswers:
        """Each sound with the words of another utterance of a class, and of their dialogue."""
        partners = drawn_partners(
            self.given.table["target"].astype(str).tolist(), class_name, self.seed
        )
        has_partner = partners != NOBODY
        spoken = self.given.spoken
        asked: dict[int, Spoken] = {}
        for place, one in enumerate(spoken):
            if place < len(partners) and has_partner[place]:
                asked[place] = _with_words_of(one, spoken[int(partners[place])])
            elif one.dialogue:
                asked[place] = one
        probabilities = np.full((len(spoken), len(self.store.classes)), np.nan)
        if asked:
            probabilities[list(asked)] = self._asked(list(asked.values()), progress)
        progress(len(spoken) - len(asked))
        probabilities = probabilities[: len(partners)]
        probabilities[~has_partner] = np.nan
        return StressAnswers(probabilities, partners=partners)


def _with_words_of(one: Spoken, other: Spoken) -> Spoken:
    """The sound of one with the words of another, the context that was read of it, and who spoke.

    In a dialogue that is read as a whole, the speakers stay who they were.
    """
    speaker = one.speaker if one.dialogue else other.speaker
    return replace(
        one,
        transcript=other.transcript,
        speaker=speaker,
        before=other.before,
        after=other.after,
    )


def drawn_partners(targets: Sequence[str], class_name: str, seed: int) -> NDArray[np.int64]:
    """For each utterance (N) the place of another one of a class; ``NOBODY`` where there is none.

    Args:
        targets: (N), class of each.
        class_name: Of the other.
        seed: Of the draws.
    """
    rng = np.random.default_rng([seed, zlib.crc32(class_name.encode())])
    of_class = np.flatnonzero(np.array(targets) == class_name)
    found = np.full(len(targets), NOBODY, dtype=np.int64)
    for place in range(len(targets)):
        others = of_class[of_class != place]
        if len(others):
            found[place] = int(rng.choice(others))
    return found


def _changed(
    said: tuple[tuple[str, str], ...], keys: Sequence[str], changed: dict[str, str]
) -> tuple[tuple[str, str], ...]:
    return tuple(
        (speaker, changed.get(key, words)) for (speaker, words), key in zip(said, keys, strict=True)
    )


class _Estimate:
    """The time that is left, by what conditions of a kind have taken.

    Args:
        conditions: All that are to be done.
    """

    def __init__(self, conditions: Sequence[Condition]) -> None:
        self.left = list(conditions)
        self.seconds: dict[bool, list[float]] = {True: [], False: []}
        self.is_told = False

    def after(self, condition: Condition, seconds: float) -> str | None:
        """A line, once: after the first condition that prepares sound, or the first of all."""
        self.left.remove(condition)
        if condition == CLEAN_CONDITION and any(one.prepares_sound for one in self.left):
            self.seconds[False].append(seconds)
            return None
        self.seconds[condition.prepares_sound].append(seconds)
        if self.is_told or not self.left:
            return None
        self.is_told = True
        known = [seconds for times in self.seconds.values() for seconds in times]
        total = 0.0
        for one in self.left:
            times = self.seconds[one.prepares_sound]
            total += float(np.mean(times)) if times else max(known)
        return (
            f"{condition.name}: {seconds:.1f} s; about {total / 60:.1f} min for the other "
            f"{len(self.left)} conditions"
        )
