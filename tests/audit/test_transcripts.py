import pytest

from mmemo.audit.findings import normalise_transcript


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
