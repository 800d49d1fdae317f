import pandas as pd
import pytest

from mmemo.audit.baselines import lookup_answers
from mmemo.audit.findings import normalise_transcript
from mmemo.audit.overlaps import shared_rows, shared_transcripts


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("I’m  FINE!", "im fine"),
        ("Uh-huh…", "uhhuh"),
        ("\tNo.  No way?\n", "no no way"),
        ("Straße, ﬁne ２", "strasse fine 2"),
        ("No\u00a0way", "no way"),
        ("?!", ""),
    ],
)
def test_case_punctuation_and_spacing_are_taken_away(text: str, normalised: str) -> None:
    assert normalise_transcript(text) == normalised


def test_rows_without_a_transcript_share_none() -> None:
    rows = pd.DataFrame(
        {
            "key": ["a", "b", "c", "d"],
            "split": ["train", "train", "test", "test"],
            "transcript": ["", "Yes.", "", "Yes."],
            "text": ["", "yes", "", "yes"],
            "label": ["joy", "anger", "joy", "anger"],
        }
    )
    shared = {(s.split, s.normalised): s for s in shared_transcripts(rows, "all rows")}
    assert {(s.num_rows, s.num_shared, s.num_texts) for s in shared.values()} == {(1, 1, 1)}
    assert [row.key for row in shared_rows(rows)] == ["d"]
    assert lookup_answers(rows[:2], ["anger", "joy"]) == {"yes": "anger"}
