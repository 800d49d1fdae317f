import pytest

from mmemo.corpora.utterance import LabelSet
from mmemo.errors import InputError


def test_label_order_follows_the_colours() -> None:
    labels = LabelSet("two", {"joy": "#111111", "anger": "#222222"})
    assert labels.classes == ("joy", "anger")
    assert [labels.index("joy"), labels.index("anger"), len(labels)] == [0, 1, 2]


def test_unusable_label_sets_are_refused() -> None:
    with pytest.raises(InputError, match=r"labels 'odd': expected two or more classes"):
        LabelSet("odd", {"joy": "#111111"})
    with pytest.raises(InputError, match=r"expected column to be one of emotion, sentiment"):
        LabelSet("odd", {"joy": "#111111", "anger": "#222222"}, column="mood")


def test_colours_are_chosen_and_the_same_class_keeps_its_own() -> None:
    labels = LabelSet("own", {"calm": "#123456"}, classes=["joy", "calm", "bored", "tense"])
    assert labels.classes == ("joy", "calm", "bored", "tense")
    assert (labels.colours["joy"], labels.colours["calm"]) == ("#e69f00", "#123456")
    many = LabelSet("many", classes=[f"c{number}" for number in range(40)])
    assert len(set(many.colours.values())) == 40
    assert many.colours["c0"] == "#56b4e9"
