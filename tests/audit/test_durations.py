import pandas as pd
import pytest

from mmemo.audit.durations import check_durations
from tests.audit.hand_made import table

ROWS = table(
    ("train", 0, 0, "joy", "It is!"),
    ("train", 0, 1, "joy", "What?"),
    ("train", 0, 2, "joy", "Ten letters."),
    ("train", 0, 3, "joy", "Hm."),
    ("train", 0, 4, "joy", "Hm."),
    ("test", 0, 0, "joy", "Hm."),
)


def test_durations_and_rates_by_hand() -> None:
    duration_s = pd.Series([1.0, 0.0, 0.2, 40.0, None, 0.05])
    found = check_durations(ROWS, duration_s, "sound")
    train, test = found.splits
    assert (train.num_rows, train.num_without, train.num_not_positive) == (4, 1, 1)
    assert (train.num_short, train.num_long) == (1, 1)
    assert train.hours == pytest.approx(41.2 / 3600)
    # Of 0, 0.2, 1 and 40 s the median lies halfway between 0.2 and 1 s.
    assert (train.quantiles_s["0.0"], train.quantiles_s["0.5"]) == (0.0, 0.6)
    assert train.quantiles_s["1.0"] == 40.0
    assert {i: n for i, n in enumerate(train.histogram) if n} == {0: 1, 4: 1, 48: 1}
    assert [row.key for row in found.not_positive] == ["train/dia0_utt1"]
    assert found.not_positive[0].letters_per_s is None
    assert [row.key for row in found.long] == ["train/dia0_utt3"]
    # 10 letters in 0.2 s are 50 a second, 2 in 0.05 s are 40, which is just not too fast.
    assert found.num_too_fast == {"train": 1, "test": 0}
    (fast,) = found.too_fast
    assert (fast.key, fast.duration_s, fast.letters_per_s) == ("train/dia0_utt2", 0.2, 50.0)
    assert (test.num_rows, test.num_short) == (1, 1)


def test_a_corpus_without_times_has_no_durations() -> None:
    found = check_durations(ROWS, pd.Series([None] * 6, dtype=float), "annotated span")
    assert [(s.num_rows, s.hours, s.quantiles_s) for s in found.splits] == [(0, 0.0, {})] * 2
    assert found.too_fast == ()
