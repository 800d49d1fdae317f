from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from mmemo.comparison.comparison import Comparison
from mmemo.comparison.document import ComparisonDocument
from mmemo.comparison.exports import markdown, terminal_text
from mmemo.comparison.page import write_comparison_page
from mmemo.comparison.runs import find_runs, read_runs
from mmemo.comparison.stressed_groups import stress_tables
from mmemo.documents import write_document
from mmemo.stress.document import STRESS_FILE, STRESS_FOLDER, StressDocument
from tests.comparison.run_folders import predictions, write_run
from tests.stress.made_document import document, result


def stressed(run: Path, made: StressDocument) -> None:
    (run / STRESS_FOLDER).mkdir()
    write_document(run / STRESS_FOLDER / STRESS_FILE, made)


def test_groups_that_were_tried_stand_side_by_side(tmp_path: Path) -> None:
    test = predictions("test", "ajnajn", "ajnaan", "001122")
    for seed in (1, 2):
        run = write_run(tmp_path / f"plain{seed}", test, seed=seed)
        noisy = result("white noise", "0", -0.1 * seed, 0.0)
        stressed(run, document(conditions=(noisy,)))
    dropout = {"fusion.modality_dropout": 0.3}
    run = write_run(tmp_path / "dropout", test, settings=dropout)
    stressed(run, document(conditions=(result("one modality", "sound alone", -0.2),)))
    write_run(tmp_path / "untried", test, settings={"fusion.bottleneck_dim": 8})
    damaged = write_run(tmp_path / "damaged", test, settings={"fusion.bottleneck_dim": 16})
    (damaged / STRESS_FOLDER).mkdir()
    (damaged / STRESS_FOLDER / STRESS_FILE).write_text("{")
    results, left_out = read_runs(find_runs([tmp_path]))
    made = Comparison(metric="weighted_f1", num_resamples=10).compare(results, left_out)
    assert left_out == []
    assert len(made.stressed) == 2
    assert {one.metric for one in made.stressed} == {"macro_f1"}
    (table,) = stress_tables(made)
    places = {text: place for place, text in enumerate(table.texts.iloc[:, 0])}
    noise, alone = (
        table.texts.iloc[places[name]].tolist() for name in ("white noise", "one modality")
    )
    assert sorted(noise[1:]) == sorted(["0 dB", "0.650 ± 0.071 (−0.150)", "–"])
    assert sorted(alone[1:]) == sorted(["sound alone", "0.600 (−0.200)", "–"])
    (note,) = made.stress_notes
    assert "write it again with `mmemo stress run=DIR`" in note
    for text in (terminal_text(made), markdown(made)):
        assert "Under stress, table 1" in text
    write_comparison_page(made, tmp_path / "comparison.html")
    assert "Under stress, table 1" in (tmp_path / "comparison.html").read_text()


def stressed_runs(folder: Path, made: Sequence[StressDocument]) -> ComparisonDocument:
    """Seeds of one setting, each with results of a stress test."""
    test = predictions("test", "ajnajn", "ajnaan", "001122")
    for seed, one in enumerate(made, 1):
        stressed(write_run(folder / f"run{seed}", test, seed=seed), one)
    return Comparison(num_resamples=10).compare(*read_runs(find_runs([folder])))


def test_runs_that_were_tried_on_other_utterances_are_in_no_mean(tmp_path: Path) -> None:
    whole = {"num_utterances": 6, "num_of_test": 6}
    few = {"num_utterances": 2, "num_of_test": 6}
    noisy = [result("white noise", "0", difference, 0.0) for difference in (-0.1, -0.3, -0.7)]
    given = [{**whole, "seed": 0}, {**whole, "seed": 5}, {**few, "seed": 3}]
    documents = [
        document(conditions=(one,), **told) for one, told in zip(noisy, given, strict=True)
    ]
    made = stressed_runs(tmp_path / "whole", documents)
    (group,) = made.stressed
    assert (group.num_utterances, len(group.clean.values)) == (6, 2)
    assert sorted(group.conditions[0].to_clean.values) == pytest.approx([-0.3, -0.1])
    (note,) = made.stress_notes
    assert "run3: tried on 2 of 6 test utterances (seed=3), others of its group on all test" in note
    assert "(2 runs on 6 utterances)" in stress_tables(made)[0].note
    # As many, but drawn by another seed.
    documents = [replace(one, num_utterances=2) for one in documents[:2]]
    made = stressed_runs(tmp_path / "drawn", documents)
    (note,) = made.stress_notes
    assert "run2: tried on 2 of 6 test utterances (seed=5), others" in note


def test_folds_have_each_a_test_split_of_its_own(tmp_path: Path) -> None:
    made = stressed_runs(
        tmp_path, [document(num_utterances=num, num_of_test=num) for num in (5, 6)]
    )
    assert made.stress_notes == ()
    assert (made.stressed[0].num_utterances, len(made.stressed[0].clean.values)) == (5, 2)


def test_a_condition_of_some_runs_tells_of_how_many(tmp_path: Path) -> None:
    both, once = result("gain", "10", -0.1, 10.0), result("gain", "20", -0.2, 20.0)
    made = stressed_runs(tmp_path, [document(conditions=c) for c in ((both,), (both, once))])
    rows = {row[1]: row[2] for row in stress_tables(made)[0].texts.itertuples(index=False)}
    assert rows["10 dB"] == "0.700 ± 0.000 (−0.100)"
    assert rows["20 dB"] == "0.600 (−0.200), 1 of 2 runs"
