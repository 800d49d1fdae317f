from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.commands.conftest import Cli
from tests.comparison.run_folders import CLASSES, predictions, write_run

TEST = predictions("test", "ajnajn", "ajnaan", "001122")
OTHER = predictions("test", "ajnajn", "ajjjaa", "001122")
FILES = ("comparison.json", "comparison.csv", "comparison.md", "comparison.tex", "comparison.html")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "outputs" / "sweep"
    for seed in (1, 2):
        write_run(folder / f"a{seed}", TEST, seed=seed, settings={"fusion.bottleneck_dim": 32})
        write_run(folder / f"b{seed}", OTHER, seed=seed, settings={"fusion.bottleneck_dim": 64})
    write_run(folder / "stopped", TEST, info={"status": "interrupted"})
    return folder


def test_run_folders_are_enough_and_torch_is_not_needed(
    fresh_cli: Cli, runs: Path, tmp_path: Path
) -> None:
    for name in ("torch", "lightning", "transformers"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('{name} is not needed')")
    printed = fresh_cli("compare", "outputs/sweep").stdout
    assert "bottleneck_dim=32" in printed
    assert "its status is interrupted" in " ".join(printed.split())
    output = runs / "comparison"
    for name in FILES:
        assert (output / name).stat().st_size > 0
        assert str(output / name) in printed
    document = json.loads((output / "comparison.json").read_text())
    (table,) = document["tables"]
    assert [group["name"] for group in table["groups"]] == [
        "bottleneck_dim=32",
        "bottleneck_dim=64",
    ]
    # 5 of 6 right.
    assert table["groups"][0]["test"]["accuracy"]["mean"] == pytest.approx(5 / 6)
    with (output / "comparison.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2


def test_the_page_of_an_earlier_comparison_is_no_run(cli: Cli, runs: Path) -> None:
    cli("compare", str(runs))
    again = cli("compare", str(runs), "metric=accuracy", "baseline=bottleneck_dim=64").stdout
    assert "Comparison by accuracy" in again
    document = json.loads((runs / "comparison" / "comparison.json").read_text())
    assert document["tables"][0]["baseline"] == "bottleneck_dim=64"


def test_several_folders_and_a_place_for_the_results(cli: Cli, runs: Path, tmp_path: Path) -> None:
    cli("compare", str(runs / "a1"), str(runs / "b1"), f"output={tmp_path / 'here'}")
    document = json.loads((tmp_path / "here" / "comparison.json").read_text())
    assert [group["seeds"] for group in document["tables"][0]["groups"]] == [[1], [1]]


def test_folders_may_be_a_pattern_that_the_shell_has_not_read(cli: Cli, runs: Path) -> None:
    (runs / "a1").rename(runs / "it's, here")
    cli("compare", "outputs/*/*s*", "comparison.all_pairs=true")
    document = json.loads((runs / "comparison" / "comparison.json").read_text())
    assert [run["run"] for run in document["left_out"]] == [str(runs / "stopped")]
    (table,) = document["tables"]
    assert table["groups"][0]["runs"] == [str(runs / "it's, here")]


def test_mistakes_are_told(cli: Cli, runs: Path) -> None:
    nowhere = cli("compare", str(runs / "nowhere"), expect=1).stderr
    assert "nowhere: expected a folder with runs, there is no such folder" in nowhere
    none = cli("compare", expect=1).stderr
    assert "folders: expected a value, got none" in none
    wrong = cli("compare", str(runs), "baseline=c", expect=1).stderr
    assert "one of bottleneck_dim=32; bottleneck_dim=64; got 'c'" in wrong


def test_results_published_on_the_corpus_stand_beside(cli: Cli, tmp_path: Path) -> None:
    seven = ["anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise"]
    test = TEST.assign(**{f"prob_{name}": 0.0 for name in set(seven) - set(CLASSES)})
    protocol = {"corpus": "meld", "classes": seven, "labels": "seven"}
    write_run(tmp_path / "meld", test, protocol=protocol)
    printed = cli("compare", str(tmp_path / "meld")).stdout
    assert "TelME" in printed
    assert "Published otherwise, not to be ranked" in printed


def test_labels_settings_and_reports(cli: Cli, tmp_path: Path) -> None:
    """Runs of one setting in two folders, as of two versions of the source."""
    for name in ("old", "new"):
        run = write_run(tmp_path / name / "a run & more", TEST)
        (run / "report.html").write_text("")
    printed = cli("compare", "old", "new", "label=[before,after]", "output=results")
    assert "What differs" in printed.stdout
    output = tmp_path / "results"
    (table,) = json.loads((output / "comparison.json").read_text())["tables"]
    assert {group["name"] for group in table["groups"]} == {"before", "after"}
    page = (output / "comparison.html").read_text()
    assert '<a href="../old/a%20run%20%26%20more/report.html">a run &amp; more</a>' in page
    with (output / "comparison.csv").open() as file:
        assert {row["setting label"] for row in csv.DictReader(file)} == {"before", "after"}
    printed = cli("compare", "old", "new", "label=[before]", expect=1)
    assert "label: expected one for each of the 2 folders, got 1 (before)" in printed.stderr
