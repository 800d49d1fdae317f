"""From answers under each condition to the document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmemo.evaluation.confusion_scores import class_numbers
from mmemo.evaluation.predictions import PROBABILITY_PREFIX
from mmemo.evaluation.units import plural
from mmemo.runs.predictor import Predictor
from mmemo.stress.answers import StressAnswers
from mmemo.stress.conditions import CLEAN_CONDITION, OTHERWISE, Condition
from mmemo.stress.document import (
    ConditionResult,
    Conflict,
    ConflictCell,
    DenoisingGain,
    StressDocument,
    StressScore,
    WinningShare,
)
from mmemo.stress.scores import Floats, PairedScores, only_where
from mmemo.stress.test_set import StressSet
from mmemo.stress.words import word_error_rate
from mmemo.version import __version__

ANOTHERS_SAME = "words of another utterance of its class"
ANOTHERS_OTHER = "words of another class"


@dataclass(frozen=True)
class StressFindings:
    """Turns answers into scores.

    Args:
        given: The utterances.
        classes: In label order.
        answers: By condition; clean is one of them.
        scores: Of the utterances.
        denoiser: The run's own; None for none.
        other_denoiser: What takes its place; None for none.
    """

    given: StressSet
    classes: tuple[str, ...]
    answers: Mapping[Condition, StressAnswers]
    scores: PairedScores
    denoiser: str | None
    other_denoiser: str | None

    @classmethod
    def of(
        cls,
        given: StressSet,
        classes: Sequence[str],
        answers: Mapping[Condition, StressAnswers],
        denoiser: str | None,
        other_denoiser: str | None,
    ) -> StressFindings:
        """Findings with the intervals that a run's own metrics have."""
        target = class_numbers(given.table["target"], classes)
        scores = PairedScores(target, len(classes), given.units)
        return cls(given, tuple(classes), answers, scores, denoiser, other_denoiser)

    @property
    def clean(self) -> Floats:
        """Probabilities (N, C)."""
        return self.answers[CLEAN_CONDITION].probabilities

    def document(self, predictor: Predictor, num_of_test: int, seed: int) -> StressDocument:
        """All of it.

        Args:
            predictor: The model.
            num_of_test: Utterances of the whole test split.
            seed: Of all draws.
        """
        columns = [PROBABILITY_PREFIX + name for name in self.classes]
        evaluated = self.given.table[columns].to_numpy(dtype=np.float64)
        own = predictor.folder.read_metrics().splits["test"].majority_baseline
        always = np.zeros_like(self.clean)
        always[:, self.classes.index(own.majority_class)] = 1.0
        units = self.given.units
        # Clean sound that is denoised otherwise stands in several panels.
        computed = {one.identity(): answers for one, answers in self.answers.items()}.values()
        return StressDocument(
            run=predictor.folder.path.name,
            protocol=predictor.protocol,
            mmemo_version=__version__,
            seed=seed,
            num_utterances=len(self.given),
            num_of_test=num_of_test,
            num_decoded=self.given.num_decoded,
            hears=bool(self.given.originals),
            denoiser=self.denoiser,
            other_denoiser=self.other_denoiser,
            unit=units.name,
            num_units=units.num,
            confidence=self.scores.confidence,
            interval_kind=self._interval_kind(),
            withheld=predictor.answers_without,
            majority=self.scores.values(always),
            largest_difference=float(np.abs(self.clean - evaluated).max()),
            clean=self.scores.values(self.clean),
            conditions=tuple(self._results()),
            denoising=tuple(self._denoising()),
            conflict=self._conflict(),
            num_passes=sum(int(one.is_there.sum()) for one in computed),
            seconds=sum(one.seconds for one in computed),
        )

    def _interval_kind(self) -> str:
        units = self.given.units
        if units.has_jackknife:
            return f"one {units.name} left out at a time ({units.jackknife_text})"
        return units.few_note or f"{plural(units.name)} drawn anew"

    def _results(self) -> list[ConditionResult]:
        found = []
        for condition, answers in self.answers.items():
            if condition == CLEAN_CONDITION or condition.words_of is not None:
                continue
            rate = None
            if answers.read is not None:
                rate = word_error_rate(self.given.transcripts, answers.read)
            scores = self.scores.of(answers.probabilities, self.clean)
            found.append(self._result(condition, scores, len(self.given), rate))
        return found + self._contradicted_results()

    def _result(
        self,
        condition: Condition,
        scores: Mapping[str, StressScore],
        num: int,
        rate: float | None = None,
    ) -> ConditionResult:
        is_otherwise = condition.denoising == OTHERWISE
        return ConditionResult(
            panel=condition.panel,
            curve=condition.curve,
            level=condition.level,
            value=condition.value,
            axis=condition.axis,
            denoiser=self.other_denoiser if is_otherwise else self.denoiser,
            as_trained=not is_otherwise,
            num_utterances=num,
            word_error_rate=rate,
            scores=scores,
            neutral=condition.neutral,
        )

    def _denoising(self) -> list[DenoisingGain]:
        """With denoising against without, where both were tried."""
        found = []
        as_trained = {
            (one.panel, one.curve, one.level): answers.probabilities
            for one, answers in self.answers.items()
            if one.sound is not None and one.denoising != OTHERWISE
        }
        of_clean = [
            self._with_and_without(self.clean, answers.probabilities)
            for one, answers in self.answers.items()
            if one.denoising == OTHERWISE and one.sound is None
        ]
        for one, answers in self.answers.items():
            if one.denoising != OTHERWISE:
                continue
            usual = as_trained.get((one.panel, one.curve, one.level))
            usual = self.clean if one.sound is None else usual
            if usual is None:
                continue
            pair = self._with_and_without(usual, answers.probabilities)
            beyond = None
            if one.sound is not None and of_clean:
                beyond = self.scores.beyond(pair, of_clean[0])
            gains = self.scores.of(*pair)
            found.append(
                DenoisingGain(one.panel, one.curve, one.level, one.value, one.axis, gains, beyond)
            )
        return found

    def _with_and_without(self, usual: Floats, otherwise: Floats) -> tuple[Floats, Floats]:
        """Probabilities with denoising, then without: of as in training, and of the other way."""
        return (usual, otherwise) if self.denoiser else (otherwise, usual)

    def _by_words(self) -> dict[int, StressAnswers]:
        """Answers on contradictions by the class of the words."""
        return {
            self.classes.index(one.words_of): answers
            for one, answers in self.answers.items()
            if one.words_of is not None
        }

    def _conflict(self) -> Conflict | None:
        by_words = self._by_words()
        if not by_words:
            return None
        target, num = self.scores.target, len(self.classes)
        cells = []
        for sound in range(num):
            for words, answers in sorted(by_words.items()):
                rows = answers.is_there & (target == sound)
                counts = np.bincount(answers.preds[rows], minlength=num)
                cells.append(
                    ConflictCell(
                        self.classes[sound],
                        self.classes[words],
                        int(rows.sum()),
                        tuple(map(int, counts)),
                    )
                )
        differ = np.stack([a.is_there & (target != w) for w, a in by_words.items()])
        as_sound = np.stack([a.preds == target for a in by_words.values()]) & differ
        as_words = np.stack([a.preds == w for w, a in by_words.items()]) & differ
        neither = differ & ~as_sound & ~as_words
        return Conflict(
            tuple(cells),
            int(differ.sum()),
            *(self._share(part, differ) for part in (as_sound, as_words, neither)),
        )

    def _share(self, part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> WinningShare:
        """Of pairs (K, N), by the units of the sounds."""
        number = np.tile(self.given.units.number, len(part))
        drawn = [
            self.scores.weights
            @ np.bincount(number, weights=one.ravel(), minlength=self.given.units.num)
            for one in (part, whole)
        ]
        total = int(whole.sum())
        if total == 0:
            return WinningShare(0.0, None)
        share = float(part.sum() / total)
        if (drawn[1] == 0).any():
            return WinningShare(share, None)
        return WinningShare(share, self.scores.interval(share, drawn[0] / drawn[1], (0.0, 1.0)))

    def _contradicted_results(self) -> list[ConditionResult]:
        """The words of another utterance of its class, and of the class behind it in label order.

        Scored by the class of the sound.
        """
        by_words = self._by_words()
        panels = [one.panel for one in self.answers if one.words_of is not None]
        found = []
        for level, step in ((ANOTHERS_SAME, 0), (ANOTHERS_OTHER, 1)):
            probabilities = np.full_like(self.clean, np.nan)
            for words, answers in by_words.items():
                rows = self.scores.target == (words - step) % len(self.classes)
                probabilities[rows] = answers.probabilities[rows]
            is_there = np.isfinite(probabilities.sum(axis=1))
            if not by_words or not is_there.any():
                continue
            scores, parts = only_where(self.scores, is_there, (probabilities, self.clean))
            condition = Condition(panels[0], "", level)
            num = int(is_there.sum())
            found.append(self._result(condition, scores.of(*parts), num))
        return found
