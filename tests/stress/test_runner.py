from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from mmemo.audio.clip_worker import ClipWorker
from mmemo.audio.perturbations import Gain
from mmemo.audio.prepared import FULL_SCALE
from mmemo.audio.synthetic_noise import WhiteNoise
from mmemo.corpora.clips import Clip
from mmemo.errors import InputError
from mmemo.evaluation.units import Units
from mmemo.runs.predictor import Answer, Spoken
from mmemo.stress.answers import NOBODY
from mmemo.stress.conditions import CLEAN_CONDITION, OTHERWISE, Condition
from mmemo.stress.findings import StressFindings
from mmemo.stress.runner import drawn_partners
from mmemo.stress.series import Contradiction, OneModality, SoundSeries, chosen_conditions
from mmemo.stress.sound_pool import Original, SoundPool, SoundWorker
from mmemo.stress.test_set import StressSet
from mmemo.stress.words import PlainWords, WordErrors
from tests.stress.stub_model import (
    CLASSES,
    TARGETS,
    StubModel,
    by_sound,
    by_words,
    runner_of,
    stub_set,
)


def quiet(line: str) -> None:
    pass


def contradictions() -> list[Condition]:
    return chosen_conditions([Contradiction("both")], ("audio", "text"), CLASSES, None, False)


def mixed(spoken: Spoken) -> int:
    """Trusts its ears where it hears anger, else the words."""
    return by_sound(spoken) if by_sound(spoken) == 0 else by_words(spoken)


def found_by(model: StubModel, folder: Path, conditions: list[Condition]) -> StressFindings:
    runner = runner_of(model, folder)
    answers = runner.run(conditions, quiet)
    return StressFindings.of(runner.given, CLASSES, answers, None, None)


def test_the_matrix_of_a_model_that_trusts_its_ears_where_it_hears_anger(tmp_path: Path) -> None:
    conflict = found_by(StubModel(mixed), tmp_path, contradictions())._conflict()
    assert conflict is not None
    answers = {(cell.sound, cell.words): (cell.num, cell.answers) for cell in conflict.cells}
    anger, joy, neutral = CLASSES
    assert answers == {
        (anger, anger): (3, (3, 0, 0)),
        (anger, joy): (3, (3, 0, 0)),
        (anger, neutral): (3, (3, 0, 0)),
        (joy, anger): (3, (3, 0, 0)),
        (joy, joy): (3, (0, 3, 0)),
        (joy, neutral): (3, (0, 0, 3)),
        (neutral, anger): (3, (3, 0, 0)),
        (neutral, joy): (3, (0, 3, 0)),
        (neutral, neutral): (3, (0, 0, 3)),
    }
    assert conflict.num == 18
    assert conflict.sound_wins.share == pytest.approx(6 / 18)
    assert conflict.words_win.share == pytest.approx(12 / 18)
    assert conflict.neither.share == 0.0


def test_contradictions_are_scored_by_the_class_of_the_sound(tmp_path: Path) -> None:
    same, other = found_by(StubModel(by_words), tmp_path, contradictions())._results()
    assert same.scores["accuracy"].value == 1.0
    assert other.scores["accuracy"].value == 0.0
    assert other.scores["accuracy"].difference == -1.0


def test_a_class_of_one_utterance_has_no_partner_for_itself(tmp_path: Path) -> None:
    partners = drawn_partners(["joy", "anger", "anger"], "joy", 0)
    assert partners.tolist() == [NOBODY, 0, 0]
    model = StubModel(by_words)
    runner = runner_of(model, tmp_path, stub_set((1, 0, 0)))
    answers = runner.run(contradictions(), quiet)
    found = StressFindings.of(runner.given, CLASSES, answers, None, None)
    conflict = found._conflict()
    assert conflict is not None
    assert {(c.sound, c.words): c.num for c in conflict.cells}["joy", "joy"] == 0
    # Each of the others, and of neutral there is nobody.
    assert conflict.num == 1 + 2


def test_partners_are_others_of_the_class() -> None:
    names = [CLASSES[number] for number in TARGETS]
    for name in CLASSES:
        partners = drawn_partners(names, name, 5)
        assert all(names[partner] == name for partner in partners)
        assert all(partner != place for place, partner in enumerate(partners))


def test_what_is_there_is_not_computed_again(tmp_path: Path) -> None:
    conditions = [
        CLEAN_CONDITION,
        Condition("words", level="plain", words=PlainWords()),
        Condition("words", level="10", words=WordErrors(0.1, ("deletion",))),
    ]
    rule = StubModel(lambda spoken: 0, stop_after=18)
    with pytest.raises(KeyboardInterrupt):
        runner_of(rule, tmp_path).run(conditions, quiet)
    again = StubModel(lambda spoken: 0)
    runner = runner_of(again, tmp_path)
    cost = runner.cost(conditions)
    assert (cost.num_conditions, cost.num_kept, cost.num_passes) == (3, 2, 9)
    first = runner.run(conditions, quiet)
    assert len(again.asked) == 9
    second = runner.run(conditions, quiet)
    assert len(again.asked) == 9
    for condition in conditions:
        np.testing.assert_array_equal(
            first[condition].probabilities, second[condition].probabilities
        )
        assert first[condition].read == second[condition].read


def test_another_seed_and_another_rate_are_other_answers(tmp_path: Path) -> None:
    store = runner_of(StubModel(by_words), tmp_path).store
    one, other = (Condition("w", words=WordErrors(rate)) for rate in (0.1, 0.2))
    assert store.path(one) != store.path(other)
    assert store.path(one) == store.path(Condition("w", words=WordErrors(0.1)))
    before = store.path(one)
    store.seed = 1
    assert store.path(one) != before


def test_damaged_answers_are_computed_again(tmp_path: Path) -> None:
    runner = runner_of(StubModel(by_words), tmp_path)
    runner.run([CLEAN_CONDITION], quiet)
    runner.store.path(CLEAN_CONDITION).write_bytes(b"damaged")
    assert runner.cost([CLEAN_CONDITION]).num_passes == 9
    assert runner.run([CLEAN_CONDITION], quiet)[CLEAN_CONDITION].preds.tolist() == list(TARGETS)


def test_a_modality_is_withheld_where_the_model_was_trained_so(tmp_path: Path) -> None:
    conditions = OneModality("one").conditions()
    model = StubModel(lambda spoken: 0)
    runner_of(model, tmp_path / "a").run(conditions, quiet)
    assert [one.transcript for one in model.asked[:9]] == [None] * 9
    assert [one.sound for one in model.asked[9:]] == [None] * 9
    model = StubModel(lambda spoken: 0, answers_without=False)
    runner_of(model, tmp_path / "b").run(conditions, quiet)
    assert [one.transcript for one in model.asked[:9]] == [""] * 9
    for one, own in zip(model.asked[9:], stub_set().spoken, strict=True):
        assert one.sound is not None
        assert own.sound is not None
        assert len(one.sound) == len(own.sound)
        assert not one.sound.any()
        assert one.transcript == own.transcript


class Halving:
    """A denoiser of which one can tell that it was there."""

    name, version, sample_rate = "halving", "1", 16_000

    def check(self) -> None:
        pass

    def __call__(self, waveform: np.ndarray) -> np.ndarray:
        return waveform / 2


def original(level: int = 8000) -> Original:
    return Original("test/a", None, np.full(16_000, level, np.int16))


def test_noise_is_added_before_denoising_at_the_ratio_that_was_asked_for() -> None:
    worker = SoundWorker(ClipWorker(Halving(), 16_000, 30.0), None, ())
    noise = WhiteNoise(min_snr_db=10.0, max_snr_db=10.0)
    denoised = worker.prepare(original(), noise, "as trained", (0, 1, 2))
    without = worker.prepare(original(), noise, OTHERWISE, (0, 1, 2))
    added = without.astype(np.float64) - 8000
    assert 10 * np.log10(8000**2 * 16_000 / np.sum(added**2)) == pytest.approx(10.0, abs=1e-3)
    np.testing.assert_allclose(denoised, without / 2, atol=1)


def test_conditions_of_a_run_without_denoiser_are_denoised_by_the_other() -> None:
    worker = SoundWorker(ClipWorker(None, 16_000, 30.0), Halving(), ())
    as_trained = worker.prepare(original(), None, "as trained", (0,))
    np.testing.assert_array_equal(as_trained, original().prepared)
    otherwise = worker.prepare(original(), None, OTHERWISE, (0,))
    np.testing.assert_array_equal(otherwise, np.full(16_000, 4000))


def test_noise_at_two_levels_is_the_same_noise(tmp_path: Path) -> None:
    series = SoundSeries(
        "white",
        "SNR, dB",
        WhiteNoise,
        ("min_snr_db", "max_snr_db"),
        (20.0, 0.0),
    )
    pool = SoundPool(SoundWorker(ClipWorker(None, 16_000, 30.0), None, ()), None, 1)
    few, much = (
        pool.prepare([original(2000)], condition, 0)[0].astype(np.float64) - 2000
        for condition in series.conditions()
    )
    np.testing.assert_allclose(few * 10, much, atol=6)


def test_sound_is_changed_on_its_way_to_the_model(tmp_path: Path) -> None:
    louder = Condition("gain", sound=Gain(min_gain_db=20.0, max_gain_db=20.0))
    model = StubModel(lambda spoken: 0)
    pool = SoundPool(SoundWorker(ClipWorker(None, 16_000, 30.0), None, ()), None, 1)
    runner_of(model, tmp_path, pool=pool).run([louder], quiet)
    heard = [int(one.sound[0]) for one in model.asked if one.sound is not None]
    assert heard == [10 * number for number in TARGETS]
    assert 10 * max(TARGETS) < FULL_SCALE


def test_sound_is_prepared_some_batches_at_a_time_and_answered_in_order(tmp_path: Path) -> None:
    targets = [number % 3 for number in range(40)]
    pool = SoundPool(SoundWorker(ClipWorker(None, 16_000, 30.0), None, ()), None, 1)
    runner = runner_of(StubModel(by_sound), tmp_path, stub_set(targets), pool)
    condition = Condition("gain", sound=Gain(min_gain_db=0.0, max_gain_db=0.0))
    assert runner.run([condition], quiet)[condition].preds.tolist() == targets


def test_a_recognisers_words_are_read(tmp_path: Path) -> None:
    model = StubModel(by_words)
    pool = SoundPool(SoundWorker(ClipWorker(None, 16_000, 30.0), None, ()), None, 1)
    runner = runner_of(model, tmp_path, pool=pool, recogniser=lambda speech: ["joy"] * len(speech))
    condition = Condition("words", level="recognised", recogniser="tiny")
    answers = runner.run([condition], quiet)[condition]
    assert answers.preds.tolist() == [1] * 9
    assert answers.read == ("joy",) * 9


def test_a_recogniser_of_a_clip_that_cannot_be_read_tells_which(tmp_path: Path) -> None:
    damaged = tmp_path / "a.wav"
    damaged.write_bytes(b"RIFF")
    given = stub_set((0, 1))
    first, second = given.originals
    clip = Clip(second.key, str(damaged), 4)
    given = replace(given, originals=(first, replace(second, clip=clip)))
    pool = SoundPool(SoundWorker(ClipWorker(None, 16_000, 30.0), None, ()), None, 1)
    runner = runner_of(StubModel(by_words), tmp_path, given, pool, lambda speech: ["joy"])
    condition = Condition("words", level="recognised", recogniser="tiny")
    cost = runner.cost([condition])
    assert (cost.num_prepared, cost.num_recognised) == (0, 2)
    with pytest.raises(InputError, match=rf"{second.key}: .*a\.wav.*restore its clip"):
        runner.run([condition], quiet)


class DialogueModel(StubModel):
    """Answers with the number of utterances that it is asked about together in a dialogue."""

    def answer(
        self,
        spoken: Sequence[Spoken],
        embeddings: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> list[Answer]:
        together = Counter(one.dialogue for one in spoken)
        self.rule = lambda one: together[one.dialogue] - 1
        return super().answer(spoken, embeddings, progress)


def in_dialogues(names: str, num_answered: int) -> StressSet:
    """A dialogue for each letter, its utterances in order; those at the end are not answered."""
    whole = stub_set([n % 3 for n in range(len(names))])
    orders = [names[:n].count(name) for n, name in enumerate(names)]
    told = zip(whole.spoken, names, orders, strict=True)
    return replace(
        whole,
        table=whole.table.iloc[:num_answered],
        spoken=tuple(replace(s, dialogue=d, order=float(o), speaker=d) for s, d, o in told),
        said=replace(whole.said, dialogues=tuple(names), orders=tuple(map(float, orders))),
        units=Units("utterance", np.arange(num_answered)),
    )


def test_dialogues_are_asked_whole_with_what_is_not_answered_in_them(tmp_path: Path) -> None:
    # 25 dialogues of two, of which some are mixed; one of three whose last one is not answered.
    names = "abcdefghijklmnopqrstuvwxyzzyxwvutsrqponmlkjihgfedcba" + "a"
    given = in_dialogues(names, len(names) - 1)
    pool = SoundPool(SoundWorker(ClipWorker(None, 16_000, 30.0), None, ()), None, 1)
    runner = runner_of(DialogueModel(by_sound), tmp_path, given, pool)
    sound = Condition("gain", sound=Gain(min_gain_db=0.0, max_gain_db=0.0))
    conditions = [
        CLEAN_CONDITION,
        sound,
        *(Condition("one", level=name, without=name) for name in ("audio", "text")),
        *contradictions()[1:],
    ]
    expected = [2 if name == "a" else 1 for name in names[:-1]]
    for condition, answers in runner.run(conditions, quiet).items():
        assert answers.preds.tolist() == expected, condition.name
    # Speakers stay who they were, whose words they are given.
    asked = cast(StubModel, runner.predictor).asked
    assert all(one.speaker == one.dialogue for one in asked)


def test_some_of_the_utterances_are_whole_dialogues() -> None:
    given = in_dialogues("abcabcabcc", 9)
    some = given.drawn(4, 0)
    assert len(some) == 6
    kept = {one.dialogue for one in some.spoken}
    assert [one for one in given.spoken if one.dialogue in kept] == list(some.spoken)
    assert some.table["key"].tolist() == [one.key for one in some.spoken[:6]]
    assert some.transcripts == some.said.texts[:6]
    assert some.said.orders == tuple(one.order for one in some.spoken)
    assert len(stub_set().drawn(4, 0)) == 4
    assert len(stub_set().drawn(9, 0)) == 9


def test_the_processes_that_prepare_sound_load_no_torch() -> None:
    code = "import sys, mmemo.stress.sound_pool; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
