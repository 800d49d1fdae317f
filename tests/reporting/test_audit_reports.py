from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from mmemo.audit.clip_checks import check_clips
from mmemo.audit.figures import plot_classes, plot_durations, plot_speakers
from mmemo.audit.findings import Audit, audit_corpus
from mmemo.audit.page import write_audit_page
from mmemo.audit.text import format_audit
from mmemo.corpora.utterance import LabelSet
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


def document(corpus: str, rows: pd.DataFrame, **changed: object) -> dict[str, Any]:
    """What audit.json would hold."""
    limits = {
        "short_s": 0.3,
        "long_s": 30.0,
        "max_letters_per_s": 40.0,
        "span_tolerance_s": 0.5,
        "histogram_bin_s": 0.25,
        "max_listed": 1000,
    }
    protocol = {
        "mmemo_version": "0",
        "corpus": corpus,
        "source": "here",
        "is_prepared": False,
        "labels": LABELS.name,
        "label_column": "emotion",
        "classes": list(LABELS.classes),
        "colours": LABELS.colours,
        "limits": limits,
    }
    audit: Audit = replace(audit_corpus(corpus, rows, LABELS, {}), **changed)
    return json.loads(json.dumps({"protocol": protocol, **asdict(audit)}))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    figures: list[Figure] = []
    monkeypatch.setattr("mmemo.audit.figures.save_figure", lambda figure, _: figures.append(figure))
    return figures


def cells(text: str, name: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if line.startswith(f"{name}  "))
    return line.removeprefix(name).split()


def test_the_printed_table() -> None:
    text = format_audit(document("mine", ROWS))
    assert cells(text, "rows") == ["4", "1"]
    assert cells(text, "  fear") == ["1", "0"]
    assert cells(text, "in the label set 'two'") == ["3", "1"]
    assert cells(text, "utterances that they lack") == ["1", "0"]
    assert cells(text, "episodes") == ["1", "of", "1"]
    assert cells(text, "texts, exact, all rows") == ["0", "(0.0", "%)"]
    assert cells(text, "texts, normalised, 'two'") == ["1", "(100.0", "%)"]
    assert "  test/dia0 and train/dia0: texts in common 1, with different labels 1" in text
    # Always joy: in train 2 of 4 (F1 2/3 for 2 of 4 rows, of three classes), in test none.
    assert cells(text, "majority, 3 classes") == ["0.500", "0.333", "0.222"] + ["0.000"] * 3
    assert "published" not in text
    assert max(map(len, text.splitlines())) <= 100


def test_counts_that_are_not_the_published_ones_are_noted() -> None:
    text = format_audit(document("meld", ROWS))
    assert "published: 9989 in train, published: 1109 in val, published: 2610 in test" in text


def test_classes_have_their_colours_and_counts(drawn: list[Figure]) -> None:
    plot_classes(document("mine", ROWS), Path("unused"))
    train, test = drawn[0].axes
    assert [tick.get_text() for tick in test.get_xticklabels()] == ["joy", "anger", "fear"]
    assert [text.get_text() for text in train.texts] == ["50.0 %\n2", "25.0 %\n1", "25.0 %\n1"]
    assert [bar.get_height() for bar in test.patches] == [0, 100, 0]
    assert train.patches[0].get_facecolor()[:3] == pytest.approx((0xE6 / 255, 0x9F / 255, 0))


def test_speakers_are_shares_of_their_split(drawn: list[Figure]) -> None:
    plot_speakers(document("mine", ROWS), Path("unused"))
    (axes,) = drawn[0].axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["Ada", "Bo"]
    assert [bar.get_width() for bar in axes.patches] == [50, 50, 100, 0]


def test_durations_are_drawn_by_split(drawn: list[Figure]) -> None:
    plot_durations(document("mine", ROWS), Path("unused"))
    (axes,) = drawn[0].axes
    train, test = (stairs.get_data().values for stairs in axes.patches)
    # Spans of 2 s, thrice 1 s; and once 1 s. A bin is 0.25 s.
    assert {i: share for i, share in enumerate(train) if share} == {4: 75, 8: 25}
    assert {i: share for i, share in enumerate(test) if share} == {4: 100}


def test_a_corpus_with_one_split_and_no_times_has_a_page(tmp_path: Path) -> None:
    bare = document("mine", table(("val", 3, 1, "joy", "Hi")))
    (tmp_path / "audit.json").write_text(json.dumps(bare))
    write_audit_page(tmp_path)
    page = (tmp_path / "audit.html").read_text(encoding="utf-8")
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
    prepared = document("mine", rows, clips=check_clips(rows, 100, ["train/dia0_utt4"]))
    text = format_audit(prepared)
    assert cells(text, "  kept") == ["4", "0"]
    assert cells(text, "  missing clip") == ["0", "1"]
    assert cells(text, "sound: below 0.3 s") == ["1", "0"]
    assert cells(text, "sound over 0.5 s shorter than its span") == ["1", "0"]
    assert "groups of clips with identical sound: 1 (0 across splits)" in text
    assert "channels, season 1: mono 4" in text
    assert "damaged: 1 of the kept clips" in text
    (tmp_path / "audit.json").write_text(json.dumps(prepared))
    write_audit_page(tmp_path)
    assert "train/dia0_utt4" in (tmp_path / "audit.html").read_text(encoding="utf-8")
