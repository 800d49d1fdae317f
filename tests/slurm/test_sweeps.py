"""Sweeps whose cells are jobs of the cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmemo.runs.run_folder import RunFolder
from tests.slurm.conftest import ON_CPUS, SMALL, Cluster, num_epochs

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


def cells(folder: Path) -> dict[str, RunFolder]:
    """By what varies."""
    found = sorted((folder / "outputs").glob("*/sweep/*"))
    return {path.name.partition("-")[0]: RunFolder(path) for path in found if path.is_dir()}


def test_cells_outlive_a_node_that_dies_and_a_preemption_but_no_cancelling(
    cluster: Cluster, tmp_path: Path
) -> None:
    sweep = cluster.mmemo(
        *("train", "-m", *SMALL, *ON_CPUS, "name=sweep"),
        *("trainer.max_epochs=30", "callbacks.early_stopping.patience=30"),
        "fusion.bottleneck_dim=8,16,24",
    )

    def trains(varied: str) -> bool:
        return varied in cells(tmp_path) and num_epochs(cells(tmp_path)[varied]) >= 1

    cluster.wait(lambda: trains("bottleneck_dim_8") and trains("bottleneck_dim_16"), 120)
    (third,) = set(cluster.jobs()) - set(cluster.nodes())
    on_node = {node: job for job, node in cluster.nodes().items()}
    cluster.cancel(third)
    cluster.preempt("--nodelist=n1")
    cluster.node("down", "n2")
    cluster.wait(lambda: cluster.facts(on_node["n2"])["Restarts"] == "1", 60)
    cluster.node("up", "n2")

    said, problems = sweep.communicate(timeout=200)
    assert sweep.returncode == 1
    assert "3 cells: 2 finished, 1 waiting" in said
    assert f"job {third}: expected a result, it ended without one" in problems
    assert "ended before its time: bottleneck_dim_24-seed" in problems
    assert "sacct" not in problems + said
    for varied in ("bottleneck_dim_8", "bottleneck_dim_16"):
        run = cells(tmp_path)[varied]
        log = (run.path / "train.log").read_text()
        assert log.count("run folder: ") == 2
        assert log.count("Test split") == 1
        assert "auto-requeueing" not in log
        assert num_epochs(run) == 30
    printed = (tmp_path / "outputs").glob(f"*/sweep/.submitit/*/{on_node['n1']}_*.err")
    assert sum("Requeued job" in path.read_text() for path in printed) == 1, "the preempted one"
