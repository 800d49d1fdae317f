from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from mmemo.audit.clip_checks import ClipChecks, check_clips
from mmemo.audit.figures import classes_figure, durations_figure, speakers_figure
from mmemo.audit.findings import Audit, audit_corpus
from mmemo.audit.page import read_audit, write_audit_page
from mmemo.audit.terminal import format_audit
from mmemo.corpora.facts import CorpusFacts, ExpectedCounts
from mmemo.corpora.utterance import LabelSet
from mmemo.documents import write_document
from mmemo.errors import InputError
from tests.audit.hand_made import table

LABELS = LabelSet("two", {"joy": "#e69f00", "anger": "#d55e00"})
ROWS = table(
    ("train", 0, 0, "joy", "Hi, all of you!"),
    ("train", 0, 1, "joy", "Why?"),
    ("train", 0, 2, "fear", "No."),
    ("train", 0, 4, "anger", "No."),
    ("test", 0, 0, "anger", "Hi, all of you."),
    speaker=["Ada", "Ada", "Bo", "Bo", "Ada"],
    season=[1, 1, 1, 1, 1],
    episode=[1, 1, 1, 1, 1],
    start_s=[0, 3, 5, 7, 1],
    end_s=[2, 4, 6, 8, 2],
)


def audited(
    corpus: str,
    rows: pd.DataFrame,
    clips: ClipChecks | None = None,
    facts: CorpusFacts | None = None,
) -> Audit:
    return audit_corpus(corpus, "here", rows, LABELS, {}, None, clips, facts)


def written_page(audit: Audit, folder: Path) -> str:
    """Its page, by way of its ``audit.json``."""
    write_document(folder / "audit.json", audit)
    assert read_audit(folder) == audit
    write_audit_page(folder)
    return (folder / "audit.html").read_text(encoding="utf-8")


def cells(text: str, name: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if line.startswith(f"{name}  "))
    return line.removeprefix(name).split()


def test_the_printed_table() -> None:
    text = format_audit(audited("mine", ROWS))
    assert cells(text, "rows") == ["4", "1"]
    assert cells(text, "  fear") == ["1", "(25.0", "%)", "0", "(0.0", "%)"]
    assert cells(text, "in the label set 'two'") == ["3", "(75.0", "%)", "1", "(100.0", "%)"]
    assert cells(text, "utterances that they lack") == ["1", "0"]
    assert cells(text, "episodes") == ["1", "of", "1"]
    assert cells(text, "texts, exact, all rows") == ["0", "(0.0", "%)"]
    assert cells(text, "texts, normalised, 'two'") == ["1", "(100.0", "%)"]
    assert "  test/dia0 and train/dia0: texts in common 1, with different labels 1" in text
    # Always joy: in train 2 of 4 (F1 2/3 for 2 of 4 rows, of three classes), in test none.
    train, test, *_ = (
        line.split() for line in text.splitlines() if line.startswith("majority, all rows (3")
    )
    assert train[-5:] == ["train", "4", "0.500", "0.333", "0.222"]
    assert test[-5:] == ["test", "1", "0.000", "0.000", "0.000"]
    assert "published" not in text


def test_counts_that_are_not_the_published_ones_are_noted() -> None:
    expected = {"train": ExpectedCounts(9989), "val": ExpectedCounts(1109)}
    facts = CorpusFacts("CC0-1.0", "https://example.org", "Ada 2020", "by speaker", splits=expected)
    text = format_audit(audited("mine", ROWS, facts=facts))
    assert "9989 in train, 1109 in val" in " ".join(text.split())
    assert "not whole: expected 11098 rows, found 5: 4 of 9989 rows in train, 0 of 1109" in text
    assert "licence: CC0-1.0\nwhere to get it: https://example.org\nto cite: Ada 2020\n" in text


def test_a_corpus_as_it_was_published_is_told() -> None:
    train = ExpectedCounts(4, 1, 2, {"emotion": {"joy": 2, "fear": 1, "anger": 1}})
    test = ExpectedCounts(1, 1, 1, {"emotion": {"anger": 1}})
    facts = CorpusFacts("CC0-1.0", "", "", splits={"train": train, "test": test})
    text = format_audit(audited("mine", ROWS, facts=facts))
    assert "All counts are the published ones: results can be compared with published ones." in text
    assert "not whole" not in text


def test_classes_have_their_colours_and_counts() -> None:
    train, test = classes_figure(audited("mine", ROWS)).axes
    assert [tick.get_text() for tick in test.get_xticklabels()] == ["joy", "anger", "fear"]
    assert [text.get_text() for text in train.texts] == ["50.0 %\n2", "25.0 %\n1", "25.0 %\n1"]
    assert [bar.get_height() for bar in test.patches] == [0, 100, 0]
    assert train.patches[0].get_facecolor()[:3] == pytest.approx((0xE6 / 255, 0x9F / 255, 0))


def test_speakers_are_shares_of_their_split() -> None:
    (axes,) = speakers_figure(audited("mine", ROWS)).axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["Ada", "Bo"]
    assert [bar.get_width() for bar in axes.patches] == [50, 50, 100, 0]


def test_durations_are_drawn_by_split() -> None:
    (axes,) = durations_figure(audited("mine", ROWS)).axes
    train, test = (stairs.get_data().values for stairs in axes.patches)
    # Spans of 2 s, thrice 1 s; and once 1 s. A bin is 0.25 s.
    assert {i: share for i, share in enumerate(train) if share} == {4: 75, 8: 25}
    assert {i: share for i, share in enumerate(test) if share} == {4: 100}


def test_a_corpus_with_one_split_and_no_times_has_a_page(tmp_path: Path) -> None:
    bare = audited("mine", table(("val", 3, 1, "joy", "Hi")))
    page = written_page(bare, tmp_path)
    assert "episodes are not annotated" in page
    assert cells(format_audit(bare), "rows") == ["1"]


def test_a_split_without_any_clip_keeps_its_column(tmp_path: Path) -> None:
    rows = ROWS.assign(
        status=["kept"] * 4 + ["skipped"],
        reason=[""] * 4 + ["missing clip"],
        num_samples=[200, 100, 100, 10, 0],
        crc32=[1, 2, 2, 3, 0],
        channel_layout=["mono"] * 4 + [""],
    )
    prepared = audited("mine", rows, check_clips(rows, 100, ["train/dia0_utt4"]))
    text = format_audit(prepared)
    assert cells(text, "kept") == ["4", "0"]
    assert cells(text, "missing clip") == ["0", "1"]
    sound = text.partition("Durations by sound")[2]
    assert cells(sound, "above 0 and below 0.3 s") == ["1", "0"]
    assert cells(text, "sound over 0.5 s shorter than its span") == ["1", "0"]
    assert "groups of clips with identical sound: 1 (0 across splits)" in text
    assert cells(text, "season 1") == ["4"]
    assert "damaged: 1 of the kept clips" in text
    assert "train/dia0_utt4" in written_page(prepared, tmp_path)


def test_an_audit_of_another_version_is_refused(tmp_path: Path) -> None:
    write_document(tmp_path / "audit.json", audited("mine", ROWS))
    text = (tmp_path / "audit.json").read_text().replace('"version": 1', '"version": 99')
    (tmp_path / "audit.json").write_text(text)
    with pytest.raises(InputError, match="its version is 99, this mmemo reads 1; run `mmemo"):
        write_audit_page(tmp_path)
