"""Sweeps whose cells are jobs of the cluster."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.image import imsave

from mmemo.runs.run_folder import RunFolder
from tests.forking import IMPORTED
from tests.slurm.conftest import ON_CPUS, SMALL, Cluster, num_epochs
from tests.slurm.forked_python import serve, write_client
from tests.slurm.held_epochs import go_on, held

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


def cells(folder: Path) -> dict[str, RunFolder]:
    """By what varies."""
    found = sorted((folder / "outputs").glob("*/sweep/[!.]*"))
    return {path.name.partition("-")[0]: RunFolder(path) for path in found if path.is_dir()}


def test_cells_outlive_a_node_that_dies_and_a_preemption_but_no_cancelling(
    cluster: Cluster, tmp_path: Path
) -> None:
    sweep = cluster.mmemo(
        *("train", "-m", *SMALL, *ON_CPUS, "name=sweep"),
        *("trainer.max_epochs=5", "callbacks.early_stopping.patience=5"),
        *("fusion.bottleneck_dim=8,16,24", *held([1], tmp_path / "held")),
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
    go_on(1, tmp_path / "held")

    said, problems = sweep.communicate(timeout=200)
    assert sweep.returncode == 1
    assert "3 cells: 2 finished, 1 waiting" in said
    assert f"job {third}: expected a result, it ended without one" in problems
    assert "ended before its time: bottleneck_dim_24-seed" in problems
    assert "sacct" not in problems + said
    assert len(cells(tmp_path)) == 2
    for run in cells(tmp_path).values():
        log = (run.path / "train.log").read_text()
        assert log.count("run folder: ") == 2
        assert log.count("Test split") == 1
        assert "auto-requeueing" not in log
        assert num_epochs(run) == 5
    logs = [(run.path / "train.log").read_text() for run in cells(tmp_path).values()]
    assert sum("stopping after this step" in log for log in logs) == 1, "the preempted one"


def blank_figures() -> None:
    """A report's figures take as long as so small a training."""
    from mmemo.reporting import run_report

    def save(figure: Figure, *paths: Path) -> None:
        for path in paths:
            imsave(path, np.zeros((1, 1)))

    run_report.save_figure = save
    run_report.inline_svg = lambda figure, name, title: Markup()


@pytest.fixture
def forked_python(tmp_path: Path) -> Iterator[Path]:
    """Stands for ``python`` in jobs."""
    place = tmp_path / "server"
    spawning = multiprocessing.get_context("spawn")
    server = spawning.Process(target=serve, args=(place, IMPORTED, blank_figures))
    server.start()
    while not place.exists():
        assert server.is_alive()
        time.sleep(0.1)
    yield write_client(tmp_path / "python", place)
    server.kill()
    server.join()


def test_of_a_hundred_cells_four_fail_and_are_run_again_alone(
    cluster: Cluster, forked_python: Path, tmp_path: Path
) -> None:
    seeds = [*range(24), -1]
    command = [
        *("train", "-m", *SMALL, *ON_CPUS, "name=sweep", "modality=text"),
        *("trainer.max_epochs=1", "data.batch_size=32", "hydra.launcher.cpus_per_task=1"),
        *("fusion.bottleneck_dim=8,16,24,32", f"seed={','.join(map(str, seeds))}"),
    ]
    sweep = cluster.mmemo(*command, python=forked_python)
    said, problems = sweep.communicate(timeout=900)
    ended = time.time()
    assert sweep.returncode == 1, problems
    assert "100 cells: 96 finished, 4 failed" in said
    assert problems.count("failed: bottleneck_dim_") == 4
    assert problems.count("seed: expected") == 4
    assert "sacct" not in problems + said
    runs = [path.parent for path in tmp_path.glob("outputs/*/sweep/*/run.json")]
    assert len(runs) == 100
    results = list(tmp_path.glob("outputs/*/sweep/.submitit/*/*_result.pkl"))
    last_s = max(path.stat().st_mtime for path in results)
    assert ended - last_s < 20, "noticed when the last had ended, and shown"

    again = cluster.mmemo(*command, python=forked_python)
    said, problems = again.communicate(timeout=240)
    assert again.returncode == 1
    assert said.count("passed over: ") == 96
    assert "100 cells: 96 finished, 4 failed" in said
