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
