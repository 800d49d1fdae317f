from pathlib import Path

import pytest

from mmemo.corpora.utterance import LabelSet, Utterance
from mmemo.errors import InputError


def test_key_names_split_dialogue_and_utterance() -> None:
    utterance = Utterance("meld", "val", 3, 7, "Ada", "Hi.", "joy", Path("x.mp4"))
    assert utterance.key == "val/dia3_utt7"


def test_label_order_follows_the_colours() -> None:
    labels = LabelSet("two", {"joy": "#111111", "anger": "#222222"})
    assert labels.classes == ("joy", "anger")
    assert [labels.index("joy"), labels.index("anger"), len(labels)] == [0, 1, 2]
    assert "fear" not in labels


@pytest.mark.parametrize("colours", [{"joy": "#111111"}, {"joy": "#1", "boredom": "#2"}])
def test_unusable_label_sets_are_refused(colours: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"labels 'odd': expected two or more of anger"):
        LabelSet("odd", colours)
