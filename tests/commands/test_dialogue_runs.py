"""Runs whose models read whole dialogues: trained, evaluated, continued, asked, and refused."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mmemo.corpora.meld_raw import LAYOUT
from mmemo.runs.run_folder import RunFolder
from mmemo.stress.document import read_stress
from tests.commands.conftest import Cli, only_run
from tests.commands.hostile_runs import without_digests
from tests.commands.interruptions import SignalAt, befalls
from tests.commands.test_interruption import assert_same_run
from tests.conftest import FIVE, meld_row, write_csv

pytestmark = pytest.mark.usefixtures("blank_figures")

ONE = f"line 2 of {FIVE[2]} in test5"

NO_DROPOUT = ["classifier.dropout=0", "text_encoder.dropout=0", "context.dropout=0"]


@pytest.fixture
def spoken(tmp_path: Path) -> list[str]:
    """MELD's three tables with six dialogues each, of three to five lines; words alone are read."""
    (tmp_path / "talks").mkdir()
    for split, layout in LAYOUT.items():
        rows = []
        for dialogue in range(6):
            for order in range(3 + dialogue % 3):
                label = FIVE[(dialogue + order) % 5]
                text = f"line {order} of {label} in {split}{dialogue}"
                row = meld_row(dialogue, order, label, text)
                rows.append(row | {"Speaker": "AB"[order % 2]})
        write_csv(tmp_path / "talks" / layout.annotations, rows)
    return [
        *("logger=none", "trainer=cpu", "corpus=meld", f"corpus.annotations={tmp_path}/talks"),
        *("audio_encoder=none", "text_encoder=scratch", "labels=five", "name=talks"),
        *("text_encoder.width=8", "text_encoder.num_heads=2", "text_encoder.num_layers=1"),
        *("trainer.max_epochs=3", "data.batch_size=2", "data.eval_batch_size=3"),
    ]


def probabilities(table: pd.DataFrame) -> np.ndarray:
    return table.filter(like="prob_").to_numpy()


@pytest.mark.slow
@pytest.mark.parametrize("context", ["recurrent", "graph"])
def test_a_run_of_dialogues_is_evaluated_and_asked(
    cli: Cli, spoken: list[str], tmp_path: Path, context: str
) -> None:
    cli("train", *spoken, f"context={context}")
    run = only_run(tmp_path, "talks")
    table = pd.read_parquet(run.predictions_file)
    assert len(table) == 2 * 24
    assert not table["key"].duplicated().any()
    document = json.loads(run.metrics_file.read_text())
    assert document["shift"] is not None
    protocol = document["protocol"]
    assert protocol["context"] == {"recurrent": "DialogueRNN", "graph": "DialogueGCN"}[context]
    assert f"{context} (Dialogue" in run.report_file.read_text()

    cli("evaluate", f"run={run.path}")
    again = pd.read_parquet(run.predictions_file)
    np.testing.assert_allclose(probabilities(again), probabilities(table), atol=1e-6)

    # A table of the test split, upside down, is answered as in evaluation.
    test = table[table["split"] == "test"].iloc[::-1].assign(path="")
    test = test.rename(columns={"dialogue_id": "dialogue", "utterance_id": "order"})
    test = test[["path", "transcript", "speaker", "dialogue", "order"]]
    test.to_csv(tmp_path / "test.csv", index=False)
    ask = (f"run={run.path}", "accelerator=cpu", "calibrated=false")
    said = cli("predict", *ask, "input=test.csv", "output=answers.csv").stdout
    assert "No context was given" not in said
    answers = pd.read_csv(tmp_path / "answers.csv")
    evaluated = table[table["split"] == "test"].set_index("transcript")
    expected = probabilities(evaluated.loc[answers["transcript"]])
    np.testing.assert_allclose(probabilities(answers), expected, atol=1e-5)

    # One utterance is a dialogue of its own, whatever it is asked beside.
    said = cli("predict", *ask, f"text={ONE}", "output=one.csv").stdout
    assert "No context was given" in said
    alone = probabilities(pd.read_csv(tmp_path / "one.csv"))
    test.drop(columns=["dialogue"]).to_csv(tmp_path / "loose.csv", index=False)
    cli("predict", *ask, "input=loose.csv", "output=loose-answers.csv")
    loose = pd.read_csv(tmp_path / "loose-answers.csv").set_index("transcript")
    np.testing.assert_allclose(probabilities(loose.loc[[ONE]]), alone, atol=1e-5)

    said = cli("explain", f"run={run.path}", expect=1).stderr
    assert "this one reads the whole dialogue (context)" in said
    said = cli("explain", f"run={run.path}", "input=test.csv", expect=1).stderr
    assert "got several of one dialogue" in said
    said = cli("export", f"run={run.path}", "format=huggingface", expect=1).stderr
    assert "reads the whole dialogue (context), for which no format has a place" in said


@pytest.mark.slow
def test_under_stress_dialogues_are_whole_with_what_is_not_answered(
    cli: Cli, spoken: list[str], tmp_path: Path
) -> None:
    for layout in LAYOUT.values():
        path = tmp_path / "talks" / layout.annotations
        rows = pd.read_csv(path)
        # Of a class that is left out: an utterance that others of its dialogue are answered by.
        silent = rows.groupby("Dialogue_ID").tail(1).assign(Emotion="fear", Utterance="Oh no!")
        silent["Utterance_ID"] += 1
        pd.concat([rows, silent]).to_csv(path, index=False)
    cli("train", *spoken, "context=recurrent")
    run = only_run(tmp_path, "talks")
    only = [f"~conditions.{name}" for name in ("substitutions", "deletions", "insertions")]
    given = ("stress", f"run={run.path}", "conditions=[words]", *only, "~conditions.all_errors")
    # 24 utterances and 6 that are not answered, clean and under two conditions.
    assert "24 of 24 test utterances under 3 conditions, 0 of them known already: 90" in (
        cli(*given).stdout
    )
    found = read_stress(run.path)
    assert found.largest_difference < 1e-5
    assert found.num_passes == 3 * 24
    said = cli(*given, "num_utterances=4").stdout
    # Whole dialogues of three to five.
    assert re.search("[4-8] of 24 test utterances under 3 conditions, 0 of them known", said)


@pytest.mark.slow
def test_an_interrupted_run_goes_on_with_its_dialogues(
    cli: Cli, spoken: list[str], tmp_path: Path
) -> None:
    options = [*spoken, "context=recurrent"]
    cli("train", *options, "name=whole")
    stops = befalls(SignalAt, signum=15, epoch=1, batch=1, rank=0)
    cli("train", *options, *stops, "name=stopped", expect=143)
    run = only_run(tmp_path, "stopped")
    cli("train", f"resume={run.path}", "trust=[tests]")
    assert_same_run(run, only_run(tmp_path, "whole"))


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(
    cli: Cli, spoken: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    options = [*spoken, *NO_DROPOUT, "context=graph", "trainer.max_epochs=2"]
    two = ["trainer=ddp_cpu", "data.batch_size=1", "data.eval_batch_size=2"]
    cli("train", *[o for o in options if o not in ("trainer=cpu",)], *two, "name=two")
    cli("train", *options, "data.eval_batch_size=4", "name=one")
    runs = [only_run(tmp_path, name) for name in ("two", "one")]
    assert runs[0].read_info().num_processes == 2
    tables = [pd.read_parquet(run.predictions_file) for run in runs]
    pd.testing.assert_frame_equal(*tables, check_exact=False, rtol=0, atol=1e-4)


def test_what_does_not_fit_together_is_told_at_once(
    cli: Cli, spoken: list[str], tmp_path: Path
) -> None:
    said = cli("train", *spoken, "context=graph", "data.dialogue_batches=false", expect=1).stderr
    assert "expected true or null for a context model" in said
    said = cli("train", *spoken, "context=graph", "sampling=balanced", expect=1).stderr
    assert "sampling: expected natural with data.dialogue_batches=true" in said
    said = cli("train", *spoken, "context=graph", "fusion=late", expect=1).stderr
    assert "context: expected a fusion that makes one vector of an utterance" in said
    said = cli("train", *spoken, "context=graph", "context.past=-1", expect=1).stderr
    assert "context.past: expected at least 0, got -1" in said
    plain = [o for o in spoken if not o.startswith(("text_encoder", "audio_encoder"))]
    for option in ("context=graph", "data.dialogue_batches=true"):
        said = cli("train", *plain, "classifier=svm", "features=tfidf", option, expect=1).stderr
        name = option.partition("=")[0]
        assert f"{name}: expected" in said and "for a classical classifier" in said
    assert not list(tmp_path.glob("outputs/*/*/checkpoints/*.ckpt"))


def test_a_run_of_before_has_no_context(cli: Cli, spoken: list[str], tmp_path: Path) -> None:
    cli("train", *spoken, "trainer.max_epochs=1")
    run = only_run(tmp_path, "talks")
    before = pd.read_parquet(run.predictions_file)
    composed = run.path / "composed.yaml"
    lines = composed.read_text().splitlines()
    kept = [line for line in lines if not line.strip().startswith(("context:", "dialogue_batches"))]
    assert len(kept) == len(lines) - 2
    moved = shutil.copytree(run.path, tmp_path / "moved")
    without_digests(moved)
    (moved / "composed.yaml").write_text("\n".join(kept))
    cli("evaluate", f"run={moved}")
    again = pd.read_parquet(RunFolder(moved).predictions_file)
    pd.testing.assert_frame_equal(again, before)
