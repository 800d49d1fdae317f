"""What a trained run tells of groups, abstention and shift, from its folder alone."""

import json

import numpy as np
import pandas as pd
import pytest

from mmemo.export.model_card import CardFacts, model_card
from tests.commands.conftest import Cli, TrainedRun


@pytest.mark.slow
def test_a_run_tells_for_whom_and_when_not(trained: TrainedRun, cli: Cli) -> None:
    run = trained.run
    before = run.read_metrics()
    table = pd.read_parquet(run.predictions_file)
    manifest = pd.read_parquet(trained.prepared / "manifest.parquet")
    levels = manifest.set_index("key")["level_before_db"]
    assert table["trait_level_db"].tolist() == levels[table["key"]].tolist()
    assert table["trait_snr_db"].between(-200, 40).all()
    assert before.abstention is not None
    test = table[table["split"] == "test"]
    errors = (test["target"] != test["pred"]).mean()
    assert before.abstention.selective.aurc_random == pytest.approx(errors)
    assert before.shift is not None
    assert before.shift.num_train == before.protocol.num_utterances["train"]
    assert "training_embeddings.npz" in run.read_info().digests
    # Of fifteen utterances no column has two groups of twenty.
    assert before.groups is not None
    assert before.groups.columns == {}
    assert "speaker" in before.groups.left_out

    changes = ("subgroups.min_utterances=2", "subgroups.columns=[level_db,speaker]")
    wished = "abstention.wished_error=0.5"
    cli("evaluate", f"run={run.path}", *changes, wished)
    after = run.read_metrics()
    assert after.splits == before.splits
    assert after.groups is not None
    assert after.abstention is not None
    assert after.abstention.selective.threshold.wished_error == 0.5
    # All tones are Ada's, and as loud as each other to a hundredth of a dB or so.
    assert {*after.groups.columns, *after.groups.left_out} == {"level_db", "speaker"}
    assert after.groups.left_out["speaker"] == "all are Ada"
    for column in after.groups.columns.values():
        sizes = [group.num_utterances for group in column.groups.values()]
        assert sum([*sizes, *column.too_small.values()]) == len(test)
    page = run.report_file.read_text(encoding="utf-8")
    assert "For whom, test" in page
    assert "Knowing when not to answer, test" in page
    assert "How far test lies from training" in page
    card = model_card(CardFacts.of(run, None, None))
    assert "## For whom" in card
    assert "## Knowing when not to answer" in card
    told = json.loads(run.metrics_file.read_text(encoding="utf-8"))
    assert told["version"] == 3
    with np.load(run.embeddings_file, allow_pickle=False) as arrays:
        assert arrays["val_distances"].shape == (before.protocol.num_utterances["val"],)
