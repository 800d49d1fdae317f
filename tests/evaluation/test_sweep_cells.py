import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from mmemo.runs.run_folder import RunFolder, RunTakenError
from mmemo.runs.settings import config_digest
from mmemo.sweep.cells import (
    CellState,
    cell_name,
    cell_state,
    named_folder,
    sweep_name,
)


def test_a_digest_is_that_of_what_changes_the_result() -> None:
    settings = {"seed": 1, "optimizer": {"lr": 2e-5, "betas": [0.9, 0.999]}}
    text = '{"optimizer": {"betas": [0.9, 0.999], "lr": 2e-05}, "seed": 1}'
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    assert config_digest(settings) == digest
    told_apart_by_place = {
        **settings,
        "name": "demo",
        "output_dir": "/out",
        "cache_dir": "/cache",
        "run_dir": "/out/demo/x",
        "logger": {"_target_": "Logger"},
        "feature_cache": {"folder": "/cache/features"},
        "run_mark": "-LEAKY",
    }
    assert config_digest(told_apart_by_place) == digest
    trainer = {"max_epochs": 3, "accelerator": "cpu"}
    watched = {**trainer, "enable_progress_bar": False, "log_every_n_steps": 1, "callbacks": [1]}
    assert config_digest({"trainer": watched}) == config_digest({"trainer": trainer})
    others = (
        {**settings, "seed": 2},
        {**settings, "seed": 1.5},
        {**settings, "optimizer": {"lr": 2e-5, "betas": [0.999, 0.9]}},
        {**settings, "denoiser": None},
    )
    assert len({digest, *(config_digest(other) for other in others)}) == 5


@pytest.mark.parametrize(
    ("varied", "mark", "name"),
    [
        ({}, "", "seed42-0a1b2c3d"),
        ({"seed": "42"}, "-LEAKY", "seed42-0a1b2c3d-LEAKY"),
        (
            {"fusion.bottleneck_dim": "128", "modality": "text", "seed": "42"},
            "",
            "bottleneck_dim_128-modality_text-seed42-0a1b2c3d",
        ),
        (
            {"audio_encoder.width": "8", "text_encoder.width": "16"},
            "",
            "audio_encoder.width_8-text_encoder.width_16-seed42-0a1b2c3d",
        ),
        (
            {"corpus.root": "'C:\\a b/<x>|\"y\"?*=z'"},
            "",
            "root_C_a_b_x_y_z-seed42-0a1b2c3d",
        ),
    ],
)
def test_a_cell_is_named_by_what_varies(varied: dict[str, str], mark: str, name: str) -> None:
    assert cell_name(varied, 42, "0a1b2c3d", mark) == name


def test_a_name_is_never_too_long() -> None:
    name = cell_name({f"key{i}": "x" * 300 for i in range(9)}, 42, "0a1b2c3d", "-LEAKY")
    assert len(name) == 150
    assert name.startswith(f"key0_{'x' * 35}-key1_")
    assert name.endswith("-seed42-0a1b2c3d-LEAKY")


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["seed=1,2"], "sweep"),
        (["experiment=demo", "+sweep=seeds"], "sweep-seeds"),
        (["+sweep=[bottleneck,seeds]", "seed=1"], "sweep-bottleneck-seeds"),
    ],
)
def test_a_sweep_is_named_by_its_files(overrides: list[str], name: str) -> None:
    assert sweep_name(overrides) == name


def test_a_cell_is_found_by_its_digest(tmp_path: Path) -> None:
    assert named_folder(tmp_path, "0a1b2c3d", "new") == tmp_path / "new"
    for name in ("old-seed1-0a1b2c3d", "0a1b2c3d-seed1-ffffffff"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text("{}")
    assert named_folder(tmp_path, "0a1b2c3d", "new") == tmp_path / "old-seed1-0a1b2c3d"
    assert named_folder(tmp_path, "ffffffff", "new") == tmp_path / "0a1b2c3d-seed1-ffffffff"


def test_a_cells_state_is_told_by_its_folder(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert cell_state(run) is CellState.WAITING
    RunFolder.create(tmp_path)
    assert cell_state(run) is CellState.INTERRUPTED, "no process works in it"
    with run.working():
        assert cell_state(run) is CellState.RUNNING
        with pytest.raises(RunTakenError, match="another process trains in it"):
            run.clear(keep=())
    assert cell_state(run) is CellState.FINISHED
    for status in ("failed", "interrupted", "pruned"):
        run.write_info(status=status)
        assert cell_state(run) is CellState(status)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "train.log").write_text("it failed")
    run.clear(keep=("train.log",))
    assert {path.name for path in tmp_path.iterdir()} - {".lock"} == {"train.log"}
    assert cell_state(run) is CellState.WAITING


def test_the_cells_names_and_states_need_neither_torch_nor_pandas() -> None:
    code = "import sys, mmemo.sweep.launcher; sys.exit(bool({'torch', 'pandas'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
