import pandas as pd

from mmemo.audit.overlaps import (
    SharedRow,
    SharedTranscripts,
    shared_episodes,
    shared_rows,
    shared_speakers,
    shared_transcripts,
)
from tests.audit.hand_made import table

ROWS = table(
    ("train", 0, 0, "joy", "Hi!"),
    ("train", 0, 1, "joy", "hi"),
    ("train", 0, 2, "anger", "Hi."),
    ("train", 0, 3, "anger", "What?"),
    ("test", 0, 0, "joy", "Hi!"),
    ("test", 0, 1, "joy", "what"),
    ("test", 0, 2, "joy", "Hi!!"),
    ("test", 0, 3, "joy", "New."),
    speaker=["Ada", "Bo", "Bo", "Bo", "Ada", "Ada", "Cy", "Di"],
    season=[1, 1, 2, None, 1, 2, 2, None],
    episode=[1, 2, 1, None, 2, 2, 1, None],
)


def test_shared_transcripts_with_and_without_the_same_label() -> None:
    exact, normalised = shared_transcripts(ROWS, "all")
    # "Hi!" alone is exact; its one exact copy is joy too.
    assert exact == SharedTranscripts("test", "train", "all", False, 4, 1, 1, 1, 0, 0)
    # Three rows, two texts: "hi" twice with joy and anger in train, "what" with anger alone.
    assert normalised == SharedTranscripts("test", "train", "all", True, 4, 3, 2, 2, 1, 3)


def test_shared_rows_tell_the_labels_of_the_copies() -> None:
    first, second, third = shared_rows(ROWS)
    assert first == SharedRow(
        "test/dia0_utt0", "train", "Hi!", "joy", {"joy": 2, "anger": 1}, "train/dia0_utt0"
    )
    assert (second.key, second.copies) == ("test/dia0_utt1", {"anger": 1})
    assert third.transcript == "Hi!!"


def test_shared_speakers_and_episodes() -> None:
    (speakers,) = shared_speakers(ROWS)
    assert (speakers.num_shared_values, speakers.num_values) == (1, 3)
    assert (speakers.num_shared_rows, speakers.num_rows) == (2, 4)
    assert speakers.unshared == ("Cy", "Di")
    (episodes,) = shared_episodes(ROWS)
    assert (episodes.num_shared_values, episodes.num_values) == (2, 3)
    assert (episodes.num_shared_rows, episodes.num_rows) == (2, 3)
    assert episodes.unshared == ("season 2, episode 2",)


def test_a_corpus_without_episodes_shares_none() -> None:
    assert shared_episodes(table(("train", 0, 0, "joy", "a"), ("val", 0, 0, "joy", "a"))) == ()


def test_all_three_pairs_are_compared() -> None:
    rows = pd.concat([ROWS, ROWS[ROWS["split"] == "test"].assign(split="val")])
    pairs = [(shared.split, shared.other) for shared in shared_speakers(rows)]
    assert pairs == [("val", "train"), ("test", "train"), ("test", "val")]
