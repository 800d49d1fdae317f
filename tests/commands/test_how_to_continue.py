"""``not finished; to continue: …`` stands where resuming goes on, and nowhere else."""

import json
from pathlib import Path

import pytest
import torch

from mmemo.commands.train import _how_to_continue
from mmemo.errors import InputError
from mmemo.runs.run_folder import RunFolder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path)
    folder.info_file.write_text(json.dumps({"status": "running"}))
    folder.composed_config_file.write_text("seed: 1\n")
    return folder


def save_state(run: RunFolder) -> None:
    run.last_checkpoint.parent.mkdir()
    torch.save({}, run.last_checkpoint)


def test_nothing_to_continue_without_a_state(run: RunFolder) -> None:
    assert _how_to_continue(run, KeyboardInterrupt(), None) is None
    assert _how_to_continue(run, InputError("a setting"), None) is None


def test_a_state_is_continued_unless_the_same_error_waits(run: RunFolder) -> None:
    save_state(run)
    resume = f"mmemo train resume={run.path}"
    assert _how_to_continue(run, KeyboardInterrupt(), None) == resume
    assert _how_to_continue(run, InputError("the loss is not finite"), None) == resume
    before = run.state_ns()
    assert _how_to_continue(run, InputError("the data has changed"), before) is None
    assert _how_to_continue(run, RuntimeError("out of memory"), before) == resume


def test_a_trained_run_is_evaluated(run: RunFolder) -> None:
    (run.path / "best.ckpt").write_text("")
    run.write_info(checkpoint="best.ckpt")
    assert _how_to_continue(run, OSError(28, "no space"), None) is not None


def test_own_code_has_to_be_trusted_again(run: RunFolder) -> None:
    save_state(run)
    run.composed_config_file.write_text("seed: 1\nloss:\n  _target_: my_code.Loss\n")
    hint = _how_to_continue(run, KeyboardInterrupt(), None)
    assert hint == f"mmemo train resume={run.path} 'trust=[my_code.Loss]'"
    run.composed_config_file.write_text("seed: 1\nloss:\n  _target_: os.system\n")
    assert _how_to_continue(run, KeyboardInterrupt(), None) is None
