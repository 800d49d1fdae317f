from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from joblib import Parallel, delayed
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from mmemo.commands.launch import config_dir
from tests.commands.conftest import Cli


def threads() -> str | None:
    return os.environ.get("OMP_NUM_THREADS")


def test_cells_side_by_side_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "6")
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        overrides = ["experiment=demo", "hydra/launcher=parallel"]
        launcher = compose("train", overrides, return_hydra_config=True).hydra.launcher
    settings = {"n_jobs": launcher.n_jobs, "backend": launcher.backend, "prefer": launcher.prefer}
    assert launcher.n_jobs == 2
    shares = Parallel(**settings)(delayed(threads)() for _ in range(2))
    assert shares == [str(len(os.sched_getaffinity(0)) // 2 or 1)] * 2


def test_a_gpu_cluster_gets_a_cell_on_each_gpu() -> None:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        overrides = ["experiment=demo", "hydra/launcher=slurm_gpu", "hydra.launcher.partition=gpu"]
        launcher = compose("train", overrides, return_hydra_config=True).hydra.launcher
    assert launcher._target_.endswith("SlurmLauncher")
    assert (launcher.partition, launcher.gpus_per_node, launcher.tasks_per_node) == ("gpu", 1, 1)


def test_wandbs_agent_calls_train() -> None:
    sweep = yaml.safe_load((config_dir() / "wandb" / "sweep.yaml").read_text())
    chosen = {"optimizer.lr": 3e-5, "fusion.bottleneck_dim": 128, "classifier.dropout": 0.2}
    assert set(chosen) == set(sweep["parameters"])
    arguments = {name: {"value": value} for name, value in chosen.items()}
    variables = create_sweep_command_args({"args": arguments})
    command = create_sweep_command(sweep["command"])
    typed: list[str] = []
    for part in command:
        typed += variables["args_no_hyphens"] if part == "${args_no_hyphens}" else [part]
    assert typed[:2] == ["mmemo", "train"]
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose("train", [*typed[2:], "corpus.root=/data"])
    assert (cfg.optimizer.lr, cfg.fusion.bottleneck_dim, cfg.classifier.dropout) == (3e-5, 128, 0.2)
    # What it looks at is logged by that name.
    assert sweep["metric"] == {"name": cfg.callbacks.checkpoint.monitor, "goal": "minimize"}


def test_optuna_searches_on_validation_and_goes_on(
    cli: Cli, small: list[str], tmp_path: Path
) -> None:
    command = [
        "train",
        *small,
        "+sweep=optuna",
        "hydra.sweeper.n_trials=3",
        "callbacks.pruning.pruner.n_startup_trials=1",
        "callbacks.pruning.pruner.n_warmup_steps=0",
        "trainer.max_epochs=2",
    ]
    cli(*command)
    cells = sorted((tmp_path / "outputs").glob("*/sweep-optuna/*/run.json"))
    states = {path: path.read_text() for path in cells}
    assert len(cells) == 3
    assert all('"status": "finished"' in s or '"status": "pruned"' in s for s in states.values())
    cli(*command)
    assert {path: path.read_text() for path in cells} == states
