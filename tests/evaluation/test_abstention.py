import numpy as np
import pandas as pd
import pytest
from scipy.stats import betabinom
from sklearn.metrics import auc

from mmemo.errors import InputError
from mmemo.evaluation.abstention import Abstention, Ranked, oracle_area
from mmemo.evaluation.calibration import scaled
from mmemo.evaluation.conformal import (
    aps_scores,
    conformal_quantile,
    conformal_sets,
    expected_coverage,
    lac_scores,
)
from mmemo.evaluation.own_metrics import Answers
from mmemo.evaluation.units import Units

CLASSES = ("anger", "joy", "neutral")


def table(split: str, probabilities: np.ndarray, target: np.ndarray) -> pd.DataFrame:
    frame = pd.DataFrame(probabilities, columns=[f"prob_{name}" for name in CLASSES])
    frame["target"] = [CLASSES[place] for place in target]
    frame["pred"] = [CLASSES[place] for place in probabilities.argmax(axis=1)]
    keys = [f"{split}/{place}" for place in range(len(frame))]
    return frame.assign(split=split, key=keys, unit=keys, speaker=f"{split} speaker")


def drawn(split: str, num: int, seed: int) -> pd.DataFrame:
    """Answers that are as sure as they are right: the class is drawn by the probabilities."""
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet([0.6] * 3, num)
    target = np.array([random.choice(3, p=row) for row in probabilities])
    return table(split, probabilities, target)


def test_risks_and_area_by_hand() -> None:
    ranked = Ranked.of(np.array([0.5, 0.9, 0.8, 0.6]), np.array([True, False, True, False]))
    # Surest first: right, wrong, right, wrong.
    assert ranked.risks.tolist() == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert ranked.area == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert ranked.threshold(0.4) == 0.6
    assert ranked.threshold(0.1) == 0.9
    point = ranked.at_least(0.7)
    assert point is not None
    assert (point.coverage, point.risk) == (0.5, 0.5)
    assert ranked.at_least(0.95) is None
    assert Ranked.of(np.array([0.9, 0.8]), np.array([True, True])).threshold(0.5) is None


def test_equally_sure_answers_have_no_order() -> None:
    confidence = np.array([0.9, 0.9, 0.9, 0.5])
    areas = {
        round(Ranked.of(confidence, np.array(wrong)).area, 12)
        for wrong in (
            [True, False, False, True],
            [False, True, False, True],
            [False, False, True, True],
        )
    }
    # A third of the first three is wrong, wherever it stands; then half of all.
    assert areas == {round((1 / 3 * 3 + 1 / 2) / 4, 12)}
    # No threshold parts what is equally sure.
    assert Ranked.of(confidence, np.array([False, False, True, False])).threshold(0.3) == 0.5
    assert Ranked.of(confidence, np.array([False, False, True, True])).threshold(0.3) is None


@pytest.mark.parametrize(("num", "wrong", "wished"), [(20, 2, 0.1), (30, 6, 0.2), (7, 7, 0.999)])
def test_exactly_the_wished_error_is_allowed(num: int, wrong: int, wished: float) -> None:
    """Of equally sure answers too, whose mean error is summed with rounding."""
    ranked = Ranked.of(np.ones(num), np.arange(num) < wrong)
    assert ranked.threshold(wished) == (1.0 if wrong / num <= wished else None)
    assert ranked.threshold(wrong / num - 0.001) is None


def test_the_oracle_and_the_area_under_the_drawn_curve() -> None:
    assert oracle_area(np.array([True, False, False, False])) == pytest.approx(1 / 4 / 4)
    assert oracle_area(np.array([False, False])) == 0
    assert oracle_area(np.array([True, True])) == 1
    test = drawn("test", 400, 3)
    found = Abstention().metrics(drawn("val", 400, 2), test, "utterance").selective
    assert found.aurc_oracle < found.aurc < found.aurc_random
    assert found.aurc_random == pytest.approx((test["target"] != test["pred"]).mean())
    coverage, risk = ([getattr(p, name) for p in found.curve] for name in ("coverage", "risk"))
    assert auc(coverage, risk) == pytest.approx(found.aurc, abs=0.01)
    assert found.aurc_interval is not None
    assert found.aurc_interval[0] < found.aurc < found.aurc_interval[1]
    assert found.at_coverage[-1].coverage == 1
    assert found.at_coverage[-1].risk == pytest.approx(found.aurc_random)


def test_the_threshold_of_validation_gives_about_the_wished_error() -> None:
    found = Abstention(wished_error=0.2).metrics(
        drawn("val", 2000, 4), drawn("test", 2000, 5), "utterance"
    )
    chosen = found.selective.threshold
    assert chosen.val is not None
    assert chosen.test is not None
    assert chosen.val.risk <= 0.2
    assert chosen.test.risk == pytest.approx(0.2, abs=0.03)
    assert chosen.threshold_interval is not None
    assert chosen.threshold is not None
    assert chosen.threshold_interval[0] <= chosen.threshold <= chosen.threshold_interval[1]
    assert chosen.notes == ()


def test_a_small_validation_says_that_its_threshold_is_uncertain() -> None:
    found = Abstention(wished_error=0.2).metrics(
        drawn("val", 15, 4), drawn("test", 100, 5), "utterance"
    )
    notes = " ".join(found.selective.threshold.notes)
    assert "uncertain: it rests on" in notes
    assert "not known of 15 utterances" in notes
    assert found.selective.threshold.threshold_interval is None


def test_no_threshold_where_none_has_so_few_errors() -> None:
    wrong = table("val", np.array([[0.9, 0.05, 0.05]] * 30), np.array([1] * 30))
    found = Abstention().metrics(wrong, drawn("test", 50, 1), "utterance").selective.threshold
    assert (found.threshold, found.val, found.test) == (None, None, None)
    assert "no threshold" in found.notes[0]


def test_conformal_scores_and_quantile_by_hand() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2], [0.4, 0.4, 0.2]])
    assert lac_scores(probabilities) == pytest.approx(1 - probabilities)
    assert aps_scores(probabilities) == pytest.approx(np.array([[0.5, 0.8, 1.0], [0.8, 0.8, 1.0]]))
    scores = np.arange(1.0, 10.0)
    # The ninth of nine: (9 + 1) * 0.9 is 9, whatever rounding adds.
    assert conformal_quantile(scores, 0.1) == 9.0
    assert conformal_quantile(scores, 0.2) == 8.0
    assert conformal_quantile(scores[:8], 0.1) is None


def test_a_model_that_knows_nothing_is_given_sets_of_all_classes() -> None:
    """All classes sum up to 1, by whatever rounding: none is left out for its last digit."""
    random = np.random.default_rng(0)
    classes = ("calm", "upset")

    def guessed(num: int) -> Answers:
        probabilities = scaled(random.dirichlet([5.0] * 2, num), 1.3)
        return Answers(probabilities.argmax(axis=1), random.integers(2, size=num), probabilities)

    val, test = guessed(200), guessed(300)
    # Half of the annotated classes are the less probable one, more than a tenth.
    units = Units("utterance", np.arange(300))
    found = conformal_sets("aps", val, test, units, classes, 0.1)
    assert found.score_quantile == 1.0
    assert (found.coverage, found.mean_size) == (1.0, 2.0)


@pytest.mark.parametrize("method", ["lac", "aps"])
def test_sets_hold_the_class_as_often_as_wished(method: str) -> None:
    """Over draws of validation and test, the mean coverage is between 1 − α and 1 − α + 1/(n+1)."""
    random = np.random.default_rng(0)
    score = {"lac": lac_scores, "aps": aps_scores}[method]
    covered = []
    for _ in range(1500):
        probabilities = random.dirichlet([0.6] * 3, 40)
        target = (probabilities.cumsum(axis=1) > random.random((40, 1))).argmax(axis=1)
        scores = score(probabilities)[np.arange(40), target]
        limit = conformal_quantile(scores[:39], 0.2)
        assert limit is not None
        covered.append(scores[39] <= limit)
    assert np.mean(covered) == pytest.approx(0.8, abs=0.025)


def test_coverage_overall_and_by_class() -> None:
    val, test = drawn("val", 300, 7), drawn("test", 300, 8)
    found = Abstention(miscoverage=0.2).metrics(val, test, "utterance").conformal
    for sets in found.values():
        low, high = sets.expected
        assert low <= sets.coverage <= high
        by_class = sets.by_class.values()
        assert sum(one.num_utterances for one in by_class) == 300
        assert sum(one.coverage * one.num_utterances for one in by_class) == pytest.approx(
            300 * sets.coverage
        )
    assert found["lac"].mean_size < found["aps"].mean_size
    few = Abstention(miscoverage=0.2).metrics(val[:3], test, "utterance").conformal["lac"]
    assert (few.score_quantile, few.coverage, few.mean_size) == (None, 1.0, 3.0)


def test_the_expected_coverage_is_beta_binomial() -> None:
    low, high = expected_coverage(99, 50, 0.1)
    spread = betabinom(50, 90, 10)
    assert spread.cdf(round(50 * high)) - spread.cdf(round(50 * low) - 1) >= 0.95
    assert low < 0.9 < high


def test_shared_speakers_are_warned_of() -> None:
    val, test = drawn("val", 30, 1), drawn("test", 30, 2)
    apart = Abstention().metrics(val, test, "utterance").notes
    assert "share no speaker" in apart[0]
    together = Abstention().metrics(val.assign(speaker="test speaker"), test, "utterance").notes
    assert together[0].startswith("1 of the 1 speakers of test speak in validation too")
    unknown = Abstention().metrics(val.assign(speaker=""), test, "utterance").notes
    assert "cannot be told" in unknown[0]


def test_no_speakers_are_called_apart_where_somebody_is_not_known() -> None:
    val, test = drawn("val", 30, 1), drawn("test", 30, 2)
    test.loc[0, "speaker"] = ""
    assert "cannot be told" in Abstention().metrics(val, test, "utterance").notes[0]
    test.loc[1, "speaker"] = "val speaker"
    assert Abstention().metrics(val, test, "utterance").notes[0].startswith("1 of the 2 speakers")


def test_a_speaker_of_one_of_several_corpora_is_known_again_in_it() -> None:
    val = drawn("val", 30, 1).assign(speaker="demo/Ann", corpus="demo")
    test = drawn("test", 30, 2).assign(speaker="Ann", corpus="demo")
    assert Abstention().metrics(val, test, "utterance").notes[0].startswith("1 of the 1 speakers")
    other = Abstention().metrics(val, test.assign(corpus="other"), "utterance").notes[0]
    assert "share no speaker" in other


def test_units_of_validation_are_called_by_their_own_name() -> None:
    val = drawn("val", 30, 1).assign(unit=["a"] * 15 + ["b"] * 15)
    found = Abstention().metrics(val, drawn("test", 30, 2), "utterance", "dialogue")
    assert "not known of 2 dialogues" in found.selective.threshold.notes[-1]


def test_what_else_validation_has_chosen_is_told_of_all() -> None:
    val, test = drawn("val", 30, 1), drawn("test", 30, 2)
    for part in (val, val.assign(speaker="test speaker"), val.assign(speaker="")):
        notes = Abstention().metrics(part, test, "utterance").notes
        assert len(notes) == 2
        assert notes[1].startswith(
            "The checkpoint and the temperature were chosen on the same validation split"
        )


def test_shares_are_checked() -> None:
    with pytest.raises(InputError, match=r"abstention\.wished_error: expected more than 0"):
        Abstention(wished_error=0)
    with pytest.raises(InputError, match=r"abstention\.miscoverage: .* below 1|less"):
        Abstention(miscoverage=1)
