"""The sweep that W&B steers, started as its agent starts it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from mmemo.cli import COMMANDS
from mmemo.commands.launch import config_dir


@pytest.fixture
def sweep(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("MELD_ROOT", "/data/MELD.Raw")
    loaded = yaml.safe_load((config_dir() / "wandb" / "sweep.yaml").read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def agents_command(sweep: dict[str, Any], chosen: dict[str, Any]) -> list[str]:
    """What the agent types for one choice of parameters."""
    arguments = {name: {"value": value} for name, value in chosen.items()}
    variables = create_sweep_command_args({"args": arguments})
    typed: list[str] = []
    for part in create_sweep_command(sweep["command"]):
        typed += variables["args_no_hyphens"] if part == "${args_no_hyphens}" else [part]
    return typed


def test_the_agent_calls_train(sweep: dict[str, Any]) -> None:
    chosen = {"optimizer.lr": 3e-5, "fusion.bottleneck_dim": 128, "classifier.dropout": 0.2}
    assert set(chosen) == set(sweep["parameters"])
    program, command, *overrides = agents_command(sweep, chosen)
    assert (program, command) == ("mmemo", "train")
    assert command in COMMANDS
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose("train", overrides)
    assert (cfg.optimizer.lr, cfg.fusion.bottleneck_dim, cfg.classifier.dropout) == (3e-5, 128, 0.2)
    assert cfg.corpus.root == "/data/MELD.Raw"
    assert cfg.logger._target_.endswith("WandbLogger")
    # What it looks at is what chooses the checkpoint, and is logged by that name each epoch.
    goal = {"min": "minimize", "max": "maximize"}[cfg.callbacks.checkpoint.mode]
    assert sweep["metric"] == {"name": cfg.callbacks.checkpoint.monitor, "goal": goal}
    assert sweep["early_terminate"]["min_iter"] < cfg.trainer.max_epochs


def test_two_agents_that_begin_in_the_same_second_have_a_folder_each(
    sweep: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, *overrides = agents_command(sweep, {})
    folders = set()
    for run_id in ("a1b2c3d4", "e5f6a7b8"):
        monkeypatch.setenv("WANDB_RUN_ID", run_id)
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            cfg = compose("train", overrides, return_hydra_config=True)
        folders.add(cfg.hydra.run.dir)
    assert folders == {f"outputs/paper/wandb/{name}" for name in ("a1b2c3d4", "e5f6a7b8")}
