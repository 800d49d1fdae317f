"""What two corpora of one run have in common is counted by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from mmemo.corpora.corpus_overlaps import CorpusOverlap, corpus_overlaps
from mmemo.corpora.leaks import check_disjoint
from mmemo.corpora.splits import OfficialSplit
from mmemo.errors import InputError

COLUMNS = ["corpus", "key", "split", "speaker", "transcript", "media_path", "crc32", "num_samples"]
ROWS = [
    ["own", "own/0", "train", "own/Ada", "It is  so.", "/own/0.wav", 11, 500],
    ["own", "own/1", "test", "own/Bo", "No.", "/own/1.wav", 12, 500],
    ["own", "own/2", "val", "own/Ada", "Yes.", "/own/2.wav", 13, 500],
    ["theirs", "theirs/0", "train", "theirs/bo", "Never.", "/theirs/0.wav", 21, 500],
    ["theirs", "theirs/1", "test", "theirs/ADA", "it is so.", "/theirs/1.wav", 22, 500],
    ["theirs", "theirs/2", "train", "", "", "/theirs/2.wav", 11, 500],
    ["theirs", "theirs/3", "train", "theirs/Cy", "Yes.", "/theirs/3.wav", 11, 501],
]


def table(rows: list[list[object]] = ROWS) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.assign(source_key=frame["key"])


def test_names_words_and_sounds_that_two_corpora_share() -> None:
    pair = ("own", "theirs")
    assert corpus_overlaps(table()) == (
        # Ada and Bo, of five rows; Bo is tested in one and trained in the other, and so is Ada,
        # who is validated in own as well but not trained in theirs.
        CorpusOverlap("speakers", pair, 2, 5, 2),
        # "it is so." and "yes."; tested in theirs, and validated in own.
        CorpusOverlap("transcripts", pair, 2, 4, 2),
        CorpusOverlap("speakers with transcripts", pair, 1, 2, 1),
        # Of equal checksum and length; both are trained.
        CorpusOverlap("clips", pair, 2, 2, 0),
    )


def test_one_corpus_shares_nothing_with_itself() -> None:
    assert corpus_overlaps(table(ROWS[:3])) == ()


def test_corpora_apart_have_nothing_to_tell() -> None:
    assert corpus_overlaps(table([ROWS[1], ROWS[4]])) == ()


def test_a_sound_that_one_trains_and_another_tests_is_refused() -> None:
    rows = [*ROWS[:5], [*ROWS[5][:2], "test", *ROWS[5][3:]]]
    with pytest.raises(InputError, match=r"train \(own/0\), test \(theirs/2\).*the same sound"):
        check_disjoint(OfficialSplit().assign(table(rows), "emotion"), OfficialSplit())


def test_sentences_tell_numbers_and_corpora() -> None:
    found = {overlap.what: overlap.sentence for overlap in corpus_overlaps(table())}
    end = "rows of validation and test are of one that is trained in the other corpus"
    assert found["clips"] == f"own and theirs have clips in common: 2 rows; 0 {end}"
    assert found["speakers"] == (
        f"own and theirs have names of speakers in common: 2, of 5 rows; 2 {end}"
    )
