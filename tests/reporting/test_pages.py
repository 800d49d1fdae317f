"""The report of a hand-written run folder: every number and text in it is known."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from mmemo.documents import write_document
from mmemo.evaluation.calibration import calibration_summary
from mmemo.evaluation.intervals import run_intervals
from mmemo.evaluation.metrics import compute_metrics
from mmemo.evaluation.run_metrics import RunMetrics
from mmemo.reporting.run_report import write_report
from mmemo.runs.run_folder import RunFolder
from tests.run_documents import protocol

HOSTILE = "<script>alert('x')</script> & co"


class Text(HTMLParser):
    """Collects what a reader sees, and the tags."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.seen.append(data)


@pytest.fixture
def page(tmp_path: Path) -> str:
    return write_page(tmp_path / "run", leaky=False)


def write_page(path: Path, leaky: bool) -> str:
    path.mkdir()
    run = RunFolder.create(path)
    table = pd.DataFrame(
        {
            "key": ["test/dia0_utt0", "test/dia0_utt1", "val/dia0_utt0"],
            "split": ["test", "test", "val"],
            "corpus_split": ["test", "test", "val"],
            "split_protocol": "by hand",
            "dialogue_id": [0, 0, 0],
            "utterance_id": [0, 1, 0],
            "speaker": ["Ada", HOSTILE, "Ada"],
            "transcript": ["Fine.", HOSTILE, "Fine."],
            "target": ["joy", "anger", "joy"],
            "pred": ["joy", "joy", "joy"],
            "prob_joy": [0.9, 0.8, 0.6],
            "prob_anger": [0.1, 0.2, 0.4],
        }
    )
    table.to_parquet(run.predictions_file)
    splits = {
        split: compute_metrics(table[table["split"] == split], "joy") for split in ("val", "test")
    }
    val, test = (table[table["split"] == split] for split in ("val", "test"))
    made = protocol(
        name="by hand",
        seed=7,
        split="copied" if leaky else "official",
        leaky=leaky,
        leak_shares={"val": 1.0, "test": 0.5} if leaky else {"val": 0.0, "test": 0.0},
        num_utterances={"train": 2, "val": 1, "test": 2},
        classes=("joy", "anger"),
    )
    intervals = run_intervals(test.assign(unit="test/0"), "dialogue")
    calibration = calibration_summary([(val, test)])
    write_document(run.metrics_file, RunMetrics(made, splits, intervals, calibration))
    counts = {"rows": 3, "kept": 2, "class excluded": 0, "truncated": 1}
    data = {
        "prepared": {"name": "by-hand", "folder": "/prepared/by-hand", "digest": "d1"},
        "columns": list(counts),
        "counts": {"train": counts, "all": counts},
        "classes": {"train": {"joy": 1, "anger": 1}},
        "split": {
            "name": "official",
            "leaky": False,
            "leak_shares": {},
            "num_kept_unused": 5,
            "digest": "d2",
        },
        "colours": {"joy": "#e69f00", "anger": "#d55e00"},
        "max_duration_s": 8.0,
        "num_cut": {"train": 1},
        "skipped": [{"key": "train/dia0_utt9", "reason": "truncated", "detail": HOSTILE}],
    }
    run.data_file.write_text(json.dumps(data))
    run.config_file.write_text(f"name: {HOSTILE}\n")
    columns = [f"{split}/{metric}" for split in ("train", "val") for metric in ("loss", "accuracy")]
    history = pd.DataFrame([dict.fromkeys(columns, 0.5) | {"epoch": epoch} for epoch in range(2)])
    history.to_csv(run.history_file, index=False)
    write_report(run)
    assert run.confusion_file.is_file()
    assert run.curves_file.is_file()
    assert run.reliability_file.is_file()
    return run.report_file.read_text(encoding="utf-8")


def test_text_of_the_corpus_is_shown_and_never_run(page: str) -> None:
    parser = Text()
    parser.feed(page)
    assert "script" not in parser.tags
    # As transcript and speaker of the error, detail of the skip, and in the config.
    assert "".join(parser.seen).count(HOSTILE) == 4


def test_the_page_needs_nothing_but_itself(page: str) -> None:
    assert page.count("<svg ") == 3
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)|@import|url\((?!#)""", page)


def test_numbers_stand_in_the_page(page: str) -> None:
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))
    assert "test accuracy (WA) 0.500 always joy: 0.500" in text
    assert "No interval and no bootstrap p of 1 dialogue: at least 5 are needed" in text
    # joy: precision 1/2, recall 1, F1 2/3; anger never predicted.
    assert "joy 0.500 1.000 0.667" in text
    assert "anger 0.000 0.000 0.000" in text
    assert "test macro F1 0.333" in text
    assert "train 3 2 0 1" in text
    assert "Metrics: test (N = 2, split official)" in text
    assert "5 kept rows are left out by the split protocol" in text
    assert "LEAKY" not in text
    assert "test/dia0_utt1" in text
    assert "0.80" in text
    # Confidences 0.9, right, and 0.8, wrong; 0.01 * 2 and 0.64 * 2. The only row of validation is
    # right, so that any temperature below is likelier still.
    assert "expected calibration error (15 bins) 0.450" in text
    assert "Brier score (0 to 2) 0.650" in text
    assert "Temperature 0.05, fitted on validation (an end of the range that was tried" in text


def test_a_leaky_protocol_is_told_before_any_number(tmp_path: Path) -> None:
    page = write_page(tmp_path / "run", leaky=True)
    text = re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL))
    warning = (
        "LEAKY: 100.0 % of the 1 rows of val and 50.0 % of the 2 rows of test have a copy in "
        "training (split protocol copied)."
    )
    assert text.index(warning) < text.index("test accuracy")
    assert "<title>mmemo report: by hand, seed 7, split copied (LEAKY)</title>" in page
    assert text.count("split copied (LEAKY)") == 8, "title, heading, counts, figures, tables"
