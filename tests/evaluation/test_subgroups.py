from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from mmemo.errors import InputError
from mmemo.evaluation.group_metrics import MISJUDGED
from mmemo.evaluation.grouping import Grouping
from mmemo.evaluation.subgroups import Subgroups

CLASSES = ("anger", "joy")


def table(rows: list[tuple[str, str, str, str]], **traits: list[object]) -> pd.DataFrame:
    """A prediction table of rows (speaker, dialogue number, target, pred)."""
    frame = pd.DataFrame(rows, columns=["speaker", "dialogue_id", "target", "pred"])
    frame["key"] = [f"test/{place}" for place in range(len(frame))]
    frame = frame.assign(split="test", corpus_split="test", corpus="c", unit=frame["speaker"])
    for name in CLASSES:
        frame[f"prob_{name}"] = np.where(frame["pred"] == name, 0.9, 0.1)
    return frame.assign(**{f"trait_{name}": values for name, values in traits.items()})


def by_sex() -> pd.DataFrame:
    """Four speakers of four rows; both women are right in 4, the men in 2 and 0."""
    rows = []
    for speaker, right in (("ann", 4), ("bea", 4), ("carl", 2), ("dan", 0)):
        for place in range(4):
            target = CLASSES[place % 2]
            other = CLASSES[1 - place % 2]
            rows.append((speaker, "0", target, target if place < right else other))
    return table(rows, sex=["female"] * 8 + ["male"] * 8)


def test_scores_of_groups_by_hand() -> None:
    found = Subgroups(columns=["sex"], min_utterances=4).scores(by_sex(), "speaker")
    column = found.columns["sex"]
    assert column.unit == "speaker"
    women, men = column.groups["female"], column.groups["male"]
    assert (women.num_utterances, women.num_units) == (8, 2)
    assert women.scores["uar"] == 1.0
    # Of four rows of each class one is right.
    assert men.scores["uar"] == men.scores["accuracy"] == 0.25
    # Three of the men's four joyful rows are taken for anger, of the women's none.
    assert (women.scores[MISJUDGED], men.scores[MISJUDGED]) == (0.0, 0.75)
    assert men.intervals["uar"] is None
    assert column.gap is not None
    assert (column.gap.lowest, column.gap.highest, column.gap.value) == ("male", "female", 0.75)


@pytest.mark.parametrize("num", [8, 24])
def test_no_interval_of_what_one_speaker_alone_can_be_misjudged_in(num: int) -> None:
    """All joy is the first speaker's: a draw without that one has nobody to take for angry."""
    rows = []
    for sex in ("f", "m"):
        for place in range(num):
            for utterance in range(4):
                target = "joy" if place == 0 else "anger"
                pred = "joy" if utterance < 1 + place % 3 else "anger"
                rows.append((f"{sex}{place}", "0", target, pred))
    given = table(rows, sex=["f"] * 4 * num + ["m"] * 4 * num)
    for group in Subgroups(columns=["sex"]).scores(given, "speaker").columns["sex"].groups.values():
        assert group.scores[MISJUDGED] == 0.75
        assert group.intervals[MISJUDGED] is None
        assert group.intervals["accuracy"] is not None


def test_the_gap_is_tested_over_speakers() -> None:
    """Of the six ways to deal four speakers to two groups, two have so large a gap."""
    found = Subgroups(columns=["sex"], min_utterances=4, num_permutations=5999)
    gap = found.scores(by_sex(), "speaker").columns["sex"].gap
    assert gap is not None
    assert gap.p is not None
    means = {"ann": 1.0, "bea": 1.0, "carl": 0.5, "dan": 0.0}
    gaps = [
        abs(sum(means[n] for n in p[:2]) - sum(means[n] for n in p[2:])) / 2
        for p in permutations(means)
    ]
    assert np.mean(np.array(gaps) >= 0.75 - 1e-9) == pytest.approx(2 / 6)
    assert gap.p == pytest.approx(2 / 6, abs=0.03)
    assert gap.smallest_p == pytest.approx(1 / 6)
    assert gap.holm_p == pytest.approx(min(1.0, 2 * gap.p), abs=0.1)


def test_what_is_alike_in_a_speaker_cancels_where_groups_cross() -> None:
    """Each of eight speakers is right on long rows alone, however good the speaker is."""
    rows, length = [], []
    for speaker in "abcdefgh":
        for place in range(8):
            is_long = place < 4
            target = CLASSES[place % 2]
            rows.append((speaker, "0", target, target if is_long else CLASSES[1 - place % 2]))
            length.append("long" if is_long else "short")
    column = Subgroups(columns=["length"], min_utterances=4, num_permutations=1999)
    gap = column.scores(table(rows, length=length), "speaker").columns["length"].gap
    assert gap is not None
    assert gap.value == 1.0
    # Of 2**8 ways to swap both groups of a speaker, the seen one and its mirror.
    assert gap.smallest_p == pytest.approx(1 / 2**8)
    assert gap.p == pytest.approx(2 / 2**8, abs=0.005)


def test_groups_without_meaning_have_p_values_as_they_should() -> None:
    random = np.random.default_rng(1)
    p_values = []
    for _ in range(120):
        rows = []
        for speaker in range(16):
            share = random.random()
            for _ in range(6):
                target = CLASSES[random.integers(2)]
                is_right = random.random() < share
                pred = target if is_right else CLASSES[1 - CLASSES.index(target)]
                rows.append((f"s{speaker}", "0", target, pred))
        sex = [("f", "m")[number % 2] for number in range(16) for _ in range(6)]
        found = Subgroups(columns=["sex"], metric="accuracy", num_permutations=99)
        gap = found.scores(table(rows, sex=sex), "speaker").columns["sex"].gap
        p_values.append(1.0 if gap is None or gap.p is None else gap.p)
    # Rows as units would be wrong several times as often.
    assert np.mean(np.array(p_values) <= 0.1) <= 0.2
    assert np.mean(np.array(p_values) <= 0.5) >= 0.3


def test_small_groups_are_counted_and_unknown_rows_are_told() -> None:
    frame = by_sex().assign(trait_age=["20", "20", "30", None] + ["30"] * 6 + ["40"] * 6)
    found = Subgroups(columns=["age", "corpus"], min_utterances=6).scores(frame, "speaker")
    column = found.columns["age"]
    assert list(column.groups) == ["30", "40"]
    assert column.too_small == {"20": 2}
    assert column.num_unknown == 1
    assert found.left_out == {"corpus": "all are c"}


def test_a_group_of_one_speaker_says_so() -> None:
    frame = by_sex()
    frame["trait_sex"] = ["female"] * 12 + ["male"] * 4
    notes = (
        Subgroups(columns=["sex"], min_utterances=4).scores(frame, "speaker").columns["sex"].notes
    )
    assert any("one speaker" in note for note in notes)
    assert any("no p below 0.25 is possible" in note for note in notes)


def test_speakers_are_compared_on_their_utterances() -> None:
    frame = by_sex()
    column = Subgroups(columns=["speaker"], min_utterances=4).scores(frame, "speaker")
    assert column.columns["speaker"].unit == "dialogue"
    frame["dialogue_id"] = range(len(frame))
    column = Subgroups(columns=["speaker"], min_utterances=4).scores(frame, "speaker")
    assert column.columns["speaker"].unit == "utterance"
    assert column.columns["speaker"].groups["dan"].scores["uar"] == 0.0


def test_bands_of_numbers() -> None:
    values = pd.Series([float(n) for n in range(1, 13)] + [np.nan])
    found = Grouping.of(values, 4)
    assert found.names == ("below 3.75", "3.75 to 6.5", "6.5 to 9.25", "from 9.25")
    assert found.of_rows.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, -1]
    few = Grouping.of(pd.Series([10, 9, 10, None]), 4)
    assert (few.names, few.of_rows.tolist()) == (("9", "10"), [1, 0, 1, -1])
    assert Grouping.of(pd.Series(["b", "a", "", None]), 4).of_rows.tolist() == [1, 0, -1, -1]


def test_speakers_that_are_named_by_numbers_are_no_bands() -> None:
    """As the actors of RAVDESS and CREMA-D are."""
    names = [f"{number:02d}" for number in range(1, 25)]
    frame = table([(name, "0", "joy", "joy") for name in names for _ in range(2)])
    frame["trait_session"] = frame["speaker"]
    frame["trait_age"] = frame["speaker"]
    settings = Subgroups(columns=["speaker", "session", "age"], min_utterances=2)
    found = settings.scores(frame, "speaker").columns
    assert list(found["speaker"].groups) == list(found["session"].groups) == names
    assert len(found["age"].groups) == 4
    assert settings.groupings(frame)["speaker"].names == tuple(names)


def test_large_whole_numbers_stay_apart() -> None:
    """Numbers are floats where some are missing."""
    found = Grouping.of(pd.Series([1000001.0, 1000002.0, np.nan]), 4)
    assert (found.names, found.of_rows.tolist()) == (("1000001", "1000002"), [0, 1, -1])


def test_a_column_that_is_not_there_is_told_and_ends_no_training() -> None:
    found = Subgroups(columns=["height", "sex"], min_utterances=4).scores(by_sex(), "speaker")
    assert found.left_out == {"height": "the corpus does not tell it"}
    assert list(found.columns) == ["sex"]
    with pytest.raises(InputError, match=r"subgroups\.metric: expected one of accuracy"):
        Subgroups(metric="loss")


def test_settings_are_checked() -> None:
    with pytest.raises(InputError, match=r"subgroups\.columns: expected names of columns, got sex"):
        Subgroups(columns="sex")
    with pytest.raises(InputError, match=r"subgroups\.min_utterances: expected"):
        Subgroups(min_utterances=0)


def test_a_class_that_a_run_lacks_harms_nobody() -> None:
    found = Subgroups(columns=["sex"], harmful_class="fear", min_utterances=4)
    scores = found.scores(by_sex(), "speaker")
    assert scores.harmful_class is None
    assert scores.columns["sex"].misjudged_gap is None
    assert MISJUDGED not in scores.columns["sex"].groups["male"].scores
