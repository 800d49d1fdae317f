from __future__ import annotations

from pathlib import Path

from mmemo.comparison.comparison import Comparison
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
