"""``mmemo evaluate run=RUN corpus=OTHER``, and the table of corpora that ``compare`` makes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from mmemo.runs.run_folder import RunFolder
from tests.commands.conftest import Cli, TrainedRun, only_run
from tests.commands.test_table_corpus import write_sound

COMMON = ["anger", "joy", "neutral", "sadness"]
"""Of the five classes of the run; the table has no surprise, and two rows of disgust."""

NUM_EACH = 5


@pytest.fixture
def table(trained: TrainedRun, tmp_path: Path) -> Path:
    """Twenty sounds of common classes, the first of them one that was trained on, and two more."""
    rows = []
    for place in range(len(COMMON) * NUM_EACH + 2):
        emotion = (COMMON * NUM_EACH + ["disgust"] * 2)[place]
        path = tmp_path / "sounds" / f"{place}.wav"
        path.parent.mkdir(exist_ok=True)
        if place:
            write_sound(path, 300.0 + 7 * place)
        else:
            path = path.with_suffix(".mp4")
            shutil.copy(trained.tones / "train_splits" / "dia0_utt0.mp4", path)
        # Ada says all of the tones, and is in two splits here; one sentence was trained on.
        who = "ada" if place in (1, 10, 20) else f"p{place}"
        text = "Sentence  1 of JOY." if place == 1 else f"Line {place}."
        split = "test" if place < 8 or place == 21 else "train"
        rows.append([f"sounds/{path.name}", text, emotion, who, split])
    frame = pd.DataFrame(rows, columns=["path", "transcript", "emotion", "speaker", "split"])
    frame.to_csv(tmp_path / "own.csv", index=False)
    return tmp_path / "own.csv"


Evaluate = Callable[..., RunFolder]


@pytest.fixture
def evaluate(cli: Cli, trained: TrainedRun, table: Path, tmp_path: Path) -> Evaluate:
    """Evaluates the trained run on the table; gives the results' place."""

    def run(*more: str) -> RunFolder:
        cli(
            *("evaluate", f"run={trained.run.path}", "corpus=table", f"corpus.csv={table}"),
            *(f"cache_dir={tmp_path / 'cache'}", "preparer.num_workers=0", *more),
        )
        newest = max(trained.run.path.glob("on_table-*"), key=lambda path: path.stat().st_mtime_ns)
        return RunFolder(trained.run.path, other=newest.name)

    return run


def test_classes_are_matched_by_name_and_those_of_one_side_are_left_out(
    evaluate: Evaluate, trained: TrainedRun
) -> None:
    before = {path: path.read_bytes() for path in trained.run.path.glob("*.*") if path.is_file()}
    results = evaluate()
    rows = pd.read_parquet(results.predictions_file)
    assert len(rows) == len(COMMON) * NUM_EACH
    probabilities = rows[[f"prob_{name}" for name in COMMON]]
    assert [c for c in rows if c.startswith("prob_")] == list(probabilities)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (rows["pred"] == [COMMON[i] for i in probabilities.to_numpy().argmax(axis=1)]).all()
    assert set(rows["split"]) == {"test"}
    assert rows["corpus_split"].value_counts().to_dict() == {"train": 12, "test": 8}
    metrics = results.read_metrics()
    protocol, other = metrics.protocol, metrics.protocol.evaluated_on
    assert other is not None
    assert (protocol.corpus, other.name, other.rows) == ("meld", "table", "all rows")
    assert protocol.classes == tuple(COMMON)
    assert other.left_out_classes == ("surprise",)
    assert other.left_out_rows == {"disgust": 2}
    assert protocol.num_utterances == {"train": 14, "test": 20}
    macro_f1 = f1_score(rows["target"], rows["pred"], average="macro", labels=COMMON)
    assert metrics.splits["test"].macro.f1 == pytest.approx(macro_f1)
    assert metrics.intervals is not None
    assert (metrics.intervals.unit, metrics.intervals.num_units) == ("utterance", 20)
    assert metrics.intervals.test["macro_f1"] is not None
    page = results.report_file.read_text()
    assert f"Trained on meld, evaluated on {other.stamp}: 20 rows." in page
    assert "Rows left out, of classes that the model lacks: disgust 2." in page
    assert json.loads(results.evaluated_data_file.read_text())["classes"]["test"]["joy"] == NUM_EACH
    # The run's own results are as they were; run.json notes a new digest.
    after = {path: path.read_bytes() for path in before}
    assert {path.name for path in before if after[path] != before[path]} == {"run.json"}


def test_what_both_share_is_found_and_told(evaluate: Evaluate) -> None:
    results = evaluate()
    other = results.read_metrics().protocol.evaluated_on
    assert other is not None
    assert other.unchecked is None
    found = {
        what: (one.num, one.num_rows, one.num_rows_trained) for what, one in other.shared.items()
    }
    # Ada's third row is of disgust, and left out.
    assert found == {"speakers": (1, 2, 2), "transcripts": (1, 1, 1), "clips": (1, 1, 1)}
    page = results.report_file.read_text()
    assert "LEAKY: the clips of 1 of the 20 rows" in page
    assert "Speakers in common with the corpus of the training: 1, of 2 of 20 rows" in page


def test_without_the_trainings_corpus_it_says_that_it_could_not_look(
    evaluate: Evaluate, trained: TrainedRun
) -> None:
    shutil.rmtree(trained.prepared)
    shutil.rmtree(trained.tones)
    results = evaluate()
    other = results.read_metrics().protocol.evaluated_on
    assert other is not None
    assert other.shared == {}
    assert other.unchecked is not None
    assert str(trained.prepared) in other.unchecked
    assert "Not checked: speakers, clips and transcripts" in results.report_file.read_text()


def test_one_of_its_own_splits_alone(evaluate: Evaluate) -> None:
    results = evaluate("split=test")
    rows = pd.read_parquet(results.predictions_file)
    assert (len(rows), set(rows["corpus_split"])) == (8, {"test"})
    other = results.read_metrics().protocol.evaluated_on
    assert other is not None
    assert (results.other, other.rows) == (f"on_table-{other.digest}-test", "its own test")
    assert other.left_out_rows == {"disgust": 1}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["split=dev"], "expected null (all rows of the corpus) or train, val, test, got 'dev'"),
        (["corpus.csv=nothing.csv"], "expected a table"),
        (["corpus.columns.emotion=speaker"], "expected at least two of the run's classes"),
    ],
)
def test_what_cannot_be_evaluated_is_told(
    more: list[str], told: str, cli: Cli, trained: TrainedRun, table: Path, tmp_path: Path
) -> None:
    typed = [f"run={trained.run.path}", "corpus=table", f"corpus.csv={table}", *more]
    printed = cli("evaluate", *typed, f"cache_dir={tmp_path / 'cache'}", expect=1)
    assert told in printed.stderr
    assert not list(trained.run.path.glob("on_*"))


def test_a_split_without_a_corpus_is_refused(cli: Cli, trained: TrainedRun) -> None:
    printed = cli("evaluate", f"run={trained.run.path}", "split=test", expect=1)
    assert "expected corpus=… beside it" in printed.stderr


def test_compare_shows_training_corpus_by_test_corpus(
    evaluate: Evaluate, trained: TrainedRun, cli: Cli, tmp_path: Path
) -> None:
    everything, of_test = evaluate(), evaluate("split=test")
    printed = cli("compare", str(trained.run.path), f"output={tmp_path / 'out'}").stdout
    assert "Training corpus by test corpus" in printed
    document = json.loads((tmp_path / "out" / "comparison.json").read_text())
    own, *others = document["cross_corpus"]
    assert (own["trained_on"], own["rows"]) == (own["evaluated_on"], "test of official")
    assert own["trained_on"].startswith("meld-")
    assert [one["num_utterances"] for one in others] == [20, 8]
    for one, results in zip(others, (everything, of_test), strict=True):
        scores = results.read_metrics().splits["test"]
        assert one["score"]["mean"] == pytest.approx(scores.weighted.f1)
        assert one["classes"] == COMMON
        other = results.read_metrics().protocol.evaluated_on
        assert other is not None
        assert one["evaluated_on"] == other.corpus
    # Of twenty units there is an interval for this model, and of eight, by jackknife.
    assert [bool(one["score"]["interval_models"]) for one in others] == [True, True]
    # Each is in a table of its own, and the ranked results are those of its own corpus.
    assert [table["protocol"]["evaluated_on"] is None for table in document["tables"]] == [
        *(True, False, False)
    ]
    for name in ("comparison.html", "comparison.md", "comparison.tex"):
        text = (tmp_path / "out" / name).read_text()
        assert "raining corpus by test corpus" in text
        assert others[0]["evaluated_on"] in text.replace(r"\_", "_")


@pytest.mark.slow
def test_the_demo_with_another_seed(cli: Cli, small: list[str], tmp_path: Path) -> None:
    kept = [o for o in small if not o.startswith("corpus")]
    demo = ["corpus=demo", "corpus.num_utterances=30"]
    cli("train", *kept, *demo, "corpus.seed=0")
    run = only_run(tmp_path)
    more = [*demo, f"cache_dir={tmp_path / 'cache'}", "preparer.num_workers=0"]
    printed = cli("evaluate", f"run={run.path}", *more, "corpus.seed=1").stdout
    (path,) = run.path.glob("on_demo-*")
    metrics = RunFolder(run.path, other=path.name).read_metrics()
    other = metrics.protocol.evaluated_on
    assert other is not None
    # The same four voices; other sounds.
    assert other.shared["speakers"].num == 4
    assert other.shared["clips"].num == 0
    assert f"Trained on demo, evaluated on {other.stamp}" in printed
    # On its own corpus every clip is known.
    cli("evaluate", f"run={run.path}", *more, "corpus.seed=0", "split=train")
    (same,) = run.path.glob("on_demo-*-train")
    metrics = RunFolder(run.path, other=same.name).read_metrics()
    assert metrics.protocol.evaluated_on is not None
    clips = metrics.protocol.evaluated_on.shared["clips"]
    assert clips.num_rows == clips.num_rows_trained == metrics.protocol.num_utterances["test"]
    assert "LEAKY" in (same / "report.html").read_text()
