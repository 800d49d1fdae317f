"""How much of a corpus a label set knows."""

import pandas as pd
import pytest

from mmemo.corpora.utterance import LabelSet
from mmemo.errors import InputError
from mmemo.runs.label_coverage import check_labels, check_trained_classes, suggested_table

FOUR = LabelSet("four", classes=["anger", "joy", "neutral", "sadness"])


def rows(names: str) -> pd.DataFrame:
    return pd.DataFrame({"emotion": names.split()})


@pytest.mark.parametrize(
    ("codes", "table"),
    [
        ("ang hap neu sad fea dis", "cremad"),
        ("ang hap neu sad exc fru", "iemocap"),
        ("w f t n l e a", "emodb"),
        ("a h n s u c x", "msp_podcast"),
        ("01 03 04 05 02 08", "ravdess"),
        ("rab gio neu tri", "emovo"),
        ("happy angry sad neutral", "common"),
    ],
)
def test_the_table_that_maps_most_is_suggested(codes: str, table: str) -> None:
    assert f"corpus/emotions={table} maps" in suggested_table(rows(codes)["emotion"], FOUR)


def test_nothing_is_suggested_where_no_table_helps() -> None:
    assert suggested_table(rows("anger joy sadness neutral xyz")["emotion"], FOUR) == ""
    assert suggested_table(rows("xyz abc")["emotion"], FOUR) == ""


def test_what_is_left_out_is_told_and_known_emotions_may_be_most(
    capsys: pytest.CaptureFixture[str],
) -> None:
    check_labels(rows("anger joy fear fear fear calm boredom"), "own", FOUR, has_tables=True)
    assert capsys.readouterr().err == (
        "mmemo: own: labels=four leaves out fear (3), calm (1), boredom (1)\n"
    )
    check_labels(rows("anger joy"), "own", FOUR, has_tables=True)
    assert capsys.readouterr().err == ""


def test_half_may_be_unknown_and_no_more() -> None:
    check_labels(rows("anger joy x1 x2"), "own", FOUR, has_tables=True)
    with pytest.raises(
        InputError, match=r"got 60% that nobody knows: x1 \(1\), x2 \(1\), x3 \(1\)"
    ):
        check_labels(rows("anger joy x1 x2 x3"), "own", FOUR, has_tables=True)
    with pytest.raises(InputError, match=r"x3 \(1\); choose other labels, or train on the rest wi"):
        check_labels(rows("anger joy x1 x2 x3"), "own", FOUR, has_tables=False)
    check_labels(rows("anger joy x1 x2 x3"), "own", FOUR, has_tables=True, allow_unknown=True)


def test_one_class_is_nothing_to_train_on() -> None:
    with pytest.raises(
        InputError, match=r"split=official: expected two or more of .*, got joy; ch"
    ):
        check_trained_classes(["joy", "joy"], FOUR, "official", "own")
    with pytest.raises(InputError, match=r"in the training split of own, got none"):
        check_trained_classes([], FOUR, "official", "own")
    check_trained_classes(["joy", "anger"], FOUR, "official", "own")
