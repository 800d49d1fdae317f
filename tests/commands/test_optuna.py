"""A search by Optuna on the validation score, which gives hopeless cells up."""

from __future__ import annotations

import csv
import json
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from mmemo.commands import train
from mmemo.commands.launch import config_dir
from mmemo.runs.run_folder import RunFolder
from tests.commands.conftest import Cli

pytestmark = pytest.mark.usefixtures("blank_figures")


@pytest.mark.parametrize(
    ("score", "mode", "direction"),
    [("loss", "min", "minimize"), ("accuracy", "max", "maximize")],
)
def test_the_search_goes_where_the_checkpoint_is_chosen(
    score: str, mode: str, direction: str
) -> None:
    overrides = ["experiment=demo", "+sweep=optuna", f"callbacks.checkpoint.monitor=val/{score}"]
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose("train", overrides, return_hydra_config=True)
    assert cfg.hydra.sweeper.direction == direction
    assert cfg.callbacks.pruning.mode == mode
    assert cfg.callbacks.pruning.monitor == cfg.callbacks.checkpoint.monitor


QUICK = [
    "+sweep=optuna",
    "logger=none",
    "hydra.sweeper.params={optimizer.lr: 'tag(log, interval(1e-7, 1e-2))'}",
    "callbacks.pruning.pruner.n_startup_trials=1",
    "callbacks.pruning.pruner.n_warmup_steps=0",
    "trainer.max_epochs=2",
]


def scores(cell: RunFolder) -> list[float]:
    with cell.history_file.open(newline="", encoding="utf-8") as file:
        return [float(row["val/loss"]) for row in csv.DictReader(file)]


def test_hopeless_cells_are_given_up_and_the_search_goes_on(
    cli: Cli, small: list[str], tmp_path: Path
) -> None:
    command = ["train", *small, *QUICK, "hydra.sweeper.n_trials=5"]
    said = cli(*command).stdout
    sweep = tmp_path / "outputs" / "train" / "sweep-optuna"
    cells = [RunFolder(path.parent) for path in sweep.glob("*/run.json")]
    cells.sort(key=lambda cell: cell.info_file.stat().st_mtime)
    states = [cell.read_info().status for cell in cells]
    assert states[0] == "finished"
    assert {*states} == {"finished", "pruned"}
    for number, cell in enumerate(cells[1:], start=1):
        found = scores(cell)
        others = [scores(other) for other in cells[:number]]
        # Optuna's median pruner: the best so far against the median of those that came as far.
        hopeless = [
            min(found[: e + 1]) > statistics.median([o[e] for o in others if len(o) > e])
            for e in range(len(found))
            if any(len(o) > e for o in others)
        ]
        assert hopeless[-1] == (states[number] == "pruned")
        assert not any(hopeless[:-1])
    assert f"{states.count('finished')} finished" in said
    results = OmegaConf.load(sweep / "optimization_results.yaml")
    assert results.best_value == min(cell.read_info().best_score for cell in cells)

    before = {cell.info_file: cell.info_file.read_bytes() for cell in cells}
    cli(*command)
    assert {path: path.read_bytes() for path in sweep.glob("*/run.json")} == before


@pytest.mark.parametrize("seeds", ["+sweep=[optuna,seeds]", "seed=1,2"])
def test_a_search_has_the_mean_over_seeds_and_none_of_them_as_an_axis(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seeds: str
) -> None:
    def train_alone(cfg: DictConfig) -> float:
        folder = RunFolder.create(Path(cfg.run_dir))
        with folder.working():
            # The luckiest seed has the dropout that is worst on the whole.
            rate = cfg.classifier.dropout or 0.0
            score = -0.1 if rate == 0.5 and cfg.seed in (1, 42) else rate
            folder.write_info(best_score=score)
        return score

    monkeypatch.setattr(train, "run", train_alone)
    axes = "hydra.sweeper.params={classifier.dropout: 'choice(null, 0.5)'}"
    if "sweep=" in seeds:
        axes = "hydra.sweeper.params={classifier.dropout: 'choice(null, 0.5)', seed: '42,123,2025'}"
    given = [seeds] if "sweep=" in seeds else ["+sweep=optuna", seeds]
    cli("train", "experiment=demo", "logger=none", *given, axes, "hydra.sweeper.n_trials=4")
    (results,) = tmp_path.glob("outputs/demo/*/optimization_results.yaml")
    found = OmegaConf.load(results)
    assert "seed" not in found.best_params
    assert (found.best_params["classifier.dropout"], found.best_value) == ("null", 0.0)
    cells = [RunFolder(path.parent) for path in results.parent.glob("*/run.json")]
    assert len(cells) == 4 * (3 if "sweep=" in seeds else 2)
    best = [cell.read_info().best_score for cell in cells]
    assert min(best) < 0 < max(best), "the lucky seed has been seen"


def test_two_processes_give_up_together(
    cli: Cli, fork_followers: Callable[[], None], small: list[str], tmp_path: Path
) -> None:
    fork_followers()
    sweep = tmp_path / "outputs" / "train" / "sweep-optuna"
    perfect = sweep / "perfect"
    perfect.mkdir(parents=True)
    (perfect / "run.json").write_text(json.dumps({"status": "finished"}))
    (perfect / "history.csv").write_text("epoch,val/loss\n0,0.0\n")
    cli("train", *small, *QUICK, "hydra.sweeper.n_trials=1", "trainer=ddp_cpu")
    (cell,) = [RunFolder(p.parent) for p in sweep.glob("*/run.json") if p.parent != perfect]
    info = cell.read_info()
    assert (info.status, info.num_processes) == ("pruned", 2)
    assert [info.best_score] == pytest.approx(scores(cell), rel=1e-5)
    log = (cell.path / "train.log").read_text()
    assert f"pruned: val/loss {info.best_score:.4g} after epoch 0, worse than others" in log
    assert "error" not in log
