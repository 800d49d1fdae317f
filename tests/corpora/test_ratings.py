"""Several raters' labels of one clip."""

import json
from pathlib import Path

import pandas as pd
import pytest

from mmemo.corpora.ratings import rate
from mmemo.corpora.table import TableCorpus
from mmemo.errors import InputError

FLEISS_1971 = [
    *((0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1)),
    *((7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7)),
]
"""The example with which Fleiss' kappa is mostly explained: 0.210."""


def write(folder: Path, text: str) -> Path:
    (folder / "own.csv").write_text(text)
    return folder / "own.csv"


def test_kappa_is_that_of_the_textbook() -> None:
    votes = [dict(zip("abcde", row, strict=True)) for row in FLEISS_1971]
    agreement = rate(votes, pd.RangeIndex(10), "skip").agreement
    assert (agreement.num_items, agreement.num_raters) == (10, 14)
    assert agreement.kappa == pytest.approx(0.210, abs=5e-4)


BY_COLUMN = """path,r1,r2,r3,split
a.wav,Happy,joy,anger,train
b.wav,anger,joy,neutral,train
c.wav,anger,,anger,val
d.wav,neutral,neutral,neutral,test
"""
BY_ROW = """path,label,annotator,split
a.wav,Happy,1,train
b.wav,anger,1,train
a.wav,joy,2,train
c.wav,anger,1,val
b.wav,joy,2,train
a.wav,anger,3,train
b.wav,neutral,3,train
c.wav,anger,3,val
d.wav,neutral,1,test
d.wav,neutral,2,test
d.wav,neutral,3,test
"""
BY_COUNT = """path,nang,njoy,nneu,split
a.wav,1,2,0,train
b.wav,1,1,1,train
c.wav,2,,0,val
d.wav,0,0.0,3,test
"""
COUNTS = {"anger": "nang", "joy": "njoy", "neutral": "nneu"}


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (BY_COLUMN, {"ratings": ["r1", "r2", "r3"]}),
        (BY_ROW, {}),
        (BY_COUNT, {"ratings": COUNTS}),
    ],
)
def test_the_majority_labels_a_clip_and_a_tie_is_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, options: dict
) -> None:
    corpus = TableCorpus(write(tmp_path, text), emotions={"happy": "joy"}, **options)
    annotations = corpus.read()
    found = {u.key: (u.emotion, u.split) for u in annotations.utterances}
    assert found == {
        "a.wav": ("joy", "train"),
        "c.wav": ("anger", "val"),
        "d.wav": ("neutral", "test"),
    }
    (skip,) = annotations.skips
    assert (skip.key, skip.reason) == ("b.wav", "tie of raters")
    assert '"anger": 1' in skip.detail
    # Of the three clips with three ratings: P = (1/3 + 0 + 1) / 3, and chance is
    # (2² + 3² + 4²) / 81 = 29/81, of 2 anger, 3 joy, 4 neutral.
    agreement = annotations.agreement
    assert agreement is not None
    assert (agreement.num_items, agreement.num_raters, agreement.num_ties) == (3, 3, 1)
    assert agreement.kappa == pytest.approx((4 / 9 - 29 / 81) / (1 - 29 / 81))
    told = capsys.readouterr().err
    assert "3 ratings of 3 clips: Fleiss' kappa 0.135; 1 ties" in told
    if text == BY_COUNT:
        assert "emotions as they are: anger (4), joy (3), neutral (4)" in told
    else:
        assert "emotions mapped: happy → joy (1)" in told
        assert "emotions as they are: anger (4), neutral (4), joy (2)" in told


def test_a_tie_is_the_first_that_was_named_where_that_is_the_rule(tmp_path: Path) -> None:
    path = write(tmp_path, BY_COLUMN)
    options = {"ratings": ["r1", "r2", "r3"], "emotions": {"happy": "joy"}}
    annotations = TableCorpus(path, ties="first", **options).read()
    assert [u.emotion for u in annotations.utterances] == ["joy", "anger", "anger", "neutral"]
    assert not annotations.skips
    with pytest.raises(InputError, match="corpus.ties: expected one of skip, first, got 'coin'"):
        TableCorpus(path, ties="coin", **options).read()


def test_counts_of_labels_that_mean_one_emotion_are_added(tmp_path: Path) -> None:
    text = "path,nhap,nexc,nang,split\na.wav,2,2,3,train\nb.wav,0,1,2,val\nc.wav,1,0,0,test\n"
    emotions = {"happy": "joy", "excited": "joy", "angry": "anger"}
    counts = {"Happy": "nhap", "excited": "nexc", "angry": "nang"}
    found = TableCorpus(write(tmp_path, text), ratings=counts, emotions=emotions).read().utterances
    assert [u.emotion for u in found] == ["joy", "anger", "joy"]
    votes = [json.loads(u.ratings or "") for u in found]
    assert votes == [{"joy": 4, "anger": 3}, {"joy": 1, "anger": 2}, {"joy": 1}]


def test_columns_that_are_not_there_and_counts_that_are_none_are_told(tmp_path: Path) -> None:
    path = write(tmp_path, BY_COLUMN)
    with pytest.raises(
        InputError, match="missing the columns r4, which corpus.ratings names; ther"
    ):
        TableCorpus(path, ratings=["r1", "r4"]).read()
    with pytest.raises(InputError, match="expected a number of votes in r1, got 'Happy' in the 1."):
        TableCorpus(path, ratings={"joy": "r1"}).read()


def test_one_rating_of_each_clip_agrees_with_nobody(tmp_path: Path) -> None:
    text = "path,label,rater,split\na,joy,1,train\nb,anger,2,val\n"
    agreement = TableCorpus(write(tmp_path, text)).read().agreement
    assert agreement is not None
    assert (agreement.num_raters, agreement.kappa) == (1, None)
