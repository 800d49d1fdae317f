"""Explains and checks a set: what is there is kept, what fails does not stop the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from tqdm import tqdm

from mmemo.documents import write_document
from mmemo.errors import InputError
from mmemo.explanation.checks import CHECKS_FILE, CheckSettings, ExplanationChecks, read_checks
from mmemo.explanation.explainer import Explainer, PassTimes, time_passes
from mmemo.explanation.explanation import MODALITIES, Explanation
from mmemo.explanation.faithfulness import Faithfulness
from mmemo.explanation.inputs import UtteranceInput
from mmemo.explanation.passes import ExplanationError, Passes, is_out_of_memory
from mmemo.explanation.perturbation import freeze_classifier
from mmemo.explanation.set_folder import SetFolder
from mmemo.models.classifier import EmotionClassifier
from mmemo.progress import progress_bar

Result = TypeVar("Result")


@dataclass
class ExplanationRunner:
    """One run's utterances, and their explanations as they are made.

    Args:
        explainer: How they are explained.
        classifier: The run's model.
        load: An utterance of the run by its key.
        failures: By key, what happened to those that could not be explained or checked.
        done: Keys of which all that was asked for is there.
    """

    explainer: Explainer
    classifier: EmotionClassifier
    load: Callable[[str], UtteranceInput]
    failures: dict[str, str] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)

    def cost(self, keys: Sequence[str], target: str) -> tuple[Passes, float]:
        """Passes that explaining utterances takes, and a rough time in s.

        A few passes of the utterance of middle length are timed for it. They are of both
        modalities; those that replace the words alone are faster.

        Args:
            keys: Utterances; at least one.
            target: Their target.
        """
        freeze_classifier(self.classifier)
        middle, times, reasons = self._timed(keys, target)
        total, seconds = Passes(0, 0), 0.0
        for key in keys:
            inputs = self.load(key)
            passes = self.explainer.cost(inputs, set(MODALITIES) - reasons)
            total += passes
            seconds += times.total_s(passes) * _length(inputs) / middle
        return total, seconds

    def _timed(self, keys: Sequence[str], target: str) -> tuple[int, PassTimes, set[str]]:
        """Length of the middle one of some utterances, its times, and what has no gradient."""
        ordered = sorted(keys, key=lambda key: (_length(self.load(key)), key))
        for key in [ordered[len(ordered) // 2], *ordered]:
            inputs = self.load(key)
            try:
                utterance = self.explainer.prepare(self.classifier, inputs, target)
                return _length(inputs), time_passes(utterance), set(utterance.no_gradient)
            except (RuntimeError, MemoryError) as error:
                # Another one is timed: this one is told about when it is its turn.
                _check_its_own(error)
        return 1, PassTimes(0.0, 0.0), set()

    def explain(self, folder: SetFolder, targets: Mapping[str, str], description: str) -> None:
        """Print what it costs, then explain what has no complete explanation, and write each one.

        Args:
            folder: Where they are written.
            targets: By key.
            description: What is done, in a word.
        """
        missing = folder.missing(list(targets))
        num_there = len(targets) - len(missing)
        if not missing:
            print(f"{description}: all {num_there} explanations are there")
            return
        passes, seconds = self.cost(missing, targets[missing[0]])
        there = f" ({num_there} are there)" if num_there else ""
        print(
            f"{description}: {len(missing)} utterances{there}, {passes.forward} forward and "
            f"{passes.backward} backward passes, about {_duration(seconds)}"
        )
        with progress_bar(passes.forward + passes.backward, description, unit="pass") as bar:
            for key in missing:
                work = partial(self._explained, key, targets[key], _advance(bar))
                explanation = self._try(key, work)
                if explanation is not None:
                    explanation.save(folder.place(key))
                    self.done.add(key)

    def _explained(self, key: str, target: str, progress: Callable[[int], None]) -> Explanation:
        return self.explainer.explain(self.classifier, self.load(key), target, progress)

    def check(
        self,
        folder: SetFolder,
        keys: Sequence[str],
        faithfulness: Faithfulness,
        seeds: Sequence[SetFolder],
    ) -> None:
        """Check the explanations that are there, and write ``checks.json`` beside each.

        Args:
            folder: Of the explanations.
            keys: Of the utterances; the first of them are checked with random parameters too.
            faithfulness: How.
            seeds: Explanations of the same utterances by runs of other seeds.
        """
        there = [key for key in keys if folder.is_finished(key)]
        randomised = set(there[: faithfulness.num_randomised])
        wanted = {
            key: CheckSettings(
                faithfulness=asdict(faithfulness),
                is_randomised=key in randomised,
                seeds=tuple(place.path.name for place in seeds if place.is_finished(key)),
            )
            for key in there
        }
        missing = [key for key in there if _checked_with(folder, key) != wanted[key]]
        self.done.update(set(there) - set(missing))
        total = sum((passes for _, passes in self._checked(missing, faithfulness)), Passes(0, 0))
        with progress_bar(total.forward + total.backward, "checking", unit="pass") as bar:
            for key in missing:
                (folder.place(key) / CHECKS_FILE).unlink(missing_ok=True)
                work = partial(
                    self._checks, folder, key, faithfulness, key in randomised, seeds, _advance(bar)
                )
                checks = self._try(key, work)
                if checks is not None:
                    # What failed is noted as not done, and tried again by the next command.
                    is_whole = key not in self.failures
                    made = replace(wanted[key], is_randomised=key in randomised and is_whole)
                    write_document(folder.place(key) / CHECKS_FILE, checks.document(made))
                    self.done |= {key} if is_whole else set()
            # Some masks were the same: what was told was the most it could take.
            bar.total = bar.n

    def print_check_cost(
        self,
        folder: SetFolder,
        targets: Mapping[str, str],
        faithfulness: Faithfulness,
        num_seeds: int,
    ) -> None:
        """Print what checking costs at most; explaining by other seeds tells of its own time.

        Args:
            folder: Of the explanations.
            targets: By key.
            faithfulness: How they are checked.
            num_seeds: Runs of other seeds that explain the same first.
        """
        there = [key for key in targets if folder.is_finished(key)]
        if not there:
            return
        middle, times, _ = self._timed(there, targets[there[0]])
        total, seconds = Passes(0, 0), 0.0
        for inputs, passes in self._checked(there, faithfulness):
            total += passes
            seconds += times.total_s(passes) * _length(inputs) / middle
        others = f", after {num_seeds} of other seeds have explained the same" if num_seeds else ""
        print(
            f"checks: at most {total.forward} forward and {total.backward} backward passes, "
            f"about {_duration(seconds)}{others}"
        )

    def _checked(
        self, keys: Sequence[str], faithfulness: Faithfulness
    ) -> Iterator[tuple[UtteranceInput, Passes]]:
        """Utterances with the passes of their checks; the first ones are randomised too."""
        for place, key in enumerate(keys):
            inputs, is_randomised = self.load(key), place < faithfulness.num_randomised
            most = faithfulness.max_passes(self.explainer, self.classifier, inputs, is_randomised)
            yield inputs, most

    def _checks(
        self,
        folder: SetFolder,
        key: str,
        faithfulness: Faithfulness,
        is_randomised: bool,
        seeds: Sequence[SetFolder],
        progress: Callable[[int], None],
    ) -> ExplanationChecks:
        explanation = Explanation.load(folder.place(key))
        inputs = self.load(key)
        utterance = self.explainer.prepare(self.classifier, inputs, explanation.target, progress)
        checks = faithfulness.check(utterance, explanation)
        others = [Explanation.load(one.place(key)) for one in seeds if one.is_finished(key)]
        faithfulness.add_seeds(checks, explanation, others)
        if is_randomised:
            random = partial(faithfulness.add_randomised, checks, explanation, self.explainer)
            # What was found before stays, whatever a random model does.
            self._try(key, partial(random, self.classifier, inputs, progress))
        return checks

    def _try(self, key: str, work: Callable[[], Result]) -> Result | None:
        """The result, or None where the utterance fails, which is noted."""
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            _check_its_own(error)
            self.failures[key] = str(error)
            return None


def _advance(bar: tqdm[Any]) -> Callable[[int], None]:
    def advance(num_passes: int) -> None:
        bar.update(num_passes)

    return advance


def _checked_with(folder: SetFolder, key: str) -> CheckSettings | None:
    """Settings of the checks of an explanation; None where there are none that can be read."""
    try:
        checks = read_checks(folder.place(key))
    except InputError:
        return None
    return None if checks is None else checks.settings


def _check_its_own(error: Exception) -> None:
    """Go on only if the error is one utterance's."""
    if not isinstance(error, ExplanationError) and not is_out_of_memory(error):
        raise error


def _length(inputs: UtteranceInput) -> int:
    """Samples, or tokens where there is no sound; at least 1."""
    return max(1, len(inputs.token_words) if inputs.sound is None else len(inputs.sound))


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
