"""A run that was stopped and continued is the run that was never stopped."""

import errno
import shutil
import signal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from mmemo.runs.run_folder import RunFolder
from tests.commands.conftest import Cli, TrainedRun, only_run
from tests.commands.interruptions import SignalAt, befalls
from tests.commands.test_train import assert_same_weights, weights

pytestmark = pytest.mark.usefixtures("blank_figures")

LAST = "checkpoints/last.ckpt"
# 14 utterances in 4 batches; the default would make 2.
FOUR_BATCHES = "data.batch_size=4"


def assert_same_run(a: RunFolder, b: RunFolder) -> None:
    assert a.read_info().status == b.read_info().status == "finished"
    histories = [pd.read_csv(run.history_file) for run in (a, b)]
    pd.testing.assert_frame_equal(*histories, check_exact=True)
    assert a.read_info().checkpoint == b.read_info().checkpoint
    assert_same_weights(weights(a, LAST), weights(b, LAST))
    assert_same_weights(weights(a), weights(b))
    assert a.predictions_file.read_bytes() == b.predictions_file.read_bytes()


def position(run: RunFolder) -> tuple[int, int | None]:
    """The epoch of the state, and its batches done where it is inside."""
    state: dict[str, Any] = torch.load(run.path / LAST, weights_only=True)
    return state["epoch"], state.get("mid_epoch", {}).get("num_batches")


def trained_s(run: RunFolder) -> float:
    """What the state's timer has counted."""
    state: dict[str, Any] = torch.load(run.path / LAST, weights_only=True)
    return float(state["callbacks"]["Timer"]["time_elapsed"]["train"])


Stop = tuple[int, tuple[int, int], tuple[int, int | None]]


@pytest.mark.parametrize(
    ("accumulated", "stops"),
    [
        (
            1,
            [
                (signal.SIGTERM, (0, 1), (0, 2)),
                (signal.SIGUSR1, (1, 2), (1, 3)),
                # An epoch's last batch: its validation is finished, its own checkpoint written.
                (signal.SIGINT, (0, 3), (0, None)),
                (signal.SIGTERM, (1, 3), (1, None)),
            ],
        ),
        # No gradient may be pending: the second batch of the step is finished too.
        (2, [(signal.SIGINT, (1, 0), (1, 2))]),
    ],
)
def test_a_stopped_run_goes_on_as_if_undisturbed(
    cli: Cli, small: list[str], tmp_path: Path, accumulated: int, stops: list[Stop]
) -> None:
    settings = [*small, FOUR_BATCHES, f"trainer.accumulate_grad_batches={accumulated}"]
    # With loader processes too, which fetch ahead.
    settings += [f"data.num_workers={accumulated - 1}"]
    cli("train", *settings, "name=whole")
    for number, (signum, (epoch, batch), left_at) in enumerate(stops):
        befallen = befalls(SignalAt, signum=int(signum), epoch=epoch, batch=batch)
        name = f"stopped{number}"
        said = cli("train", *settings, *befallen, f"name={name}", expect=128 + signum).stderr
        run = only_run(tmp_path, name)
        assert "stopping after this step" in said
        assert f"to continue: mmemo train resume={run.path}" in said
        assert "Traceback" not in said
        info = run.read_info()
        assert info.status == "interrupted"
        assert signal.Signals(signum).name in (info.error or "")
        assert position(run) == left_at
        before_s, prepared_s = trained_s(run), info.prepare_s
        cli("train", f"resume={run.path}", "trust=[tests]")
        assert_same_run(run, only_run(tmp_path, "whole"))
        # The time is of both stretches; where an epoch's end was left there is nothing to train.
        assert run.read_info().fit_s >= round(before_s, 1)
        assert trained_s(run) >= before_s > 0
        assert run.read_info().prepare_s >= prepared_s


def test_the_state_is_saved_inside_an_epoch_for_what_gives_no_warning(
    cli: Cli, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[tuple[int, int | None]] = []
    whole = torch.save

    def save(state: dict[str, Any], path: Path) -> None:
        if path.name.startswith("last"):
            states.append((state["epoch"], state.get("mid_epoch", {}).get("num_batches")))
            if states[-1] == (1, 2):
                shutil.copytree(path.parents[1], tmp_path / "before")
        whole(state, path)

    monkeypatch.setattr(torch, "save", save)
    cli("train", *small, FOUR_BATCHES, "callbacks.interruption.every_n_minutes=0")
    mid_epoch = [(epoch, batches) for epoch in (0, 1) for batches in (1, 2, 3, None)]
    assert states == mid_epoch
    run = only_run(tmp_path)
    finished = tmp_path / "finished"
    run.path.rename(finished)
    # Killed before the second state of the second epoch was written.
    (tmp_path / "before").rename(run.path)
    assert position(run) == (1, 1)
    cli("train", f"resume={run.path}")
    assert_same_weights(weights(run, LAST), weights(RunFolder(finished), LAST))
    assert run.history_file.read_bytes() == (finished / "history.csv").read_bytes()


def test_a_full_disk_leaves_a_run_that_goes_on(
    cli: Cli,
    trained: TrainedRun,
    small: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole_save, whole_replace = torch.save, Path.replace
    full = OSError(errno.ENOSPC, "No space left on device")

    def save(state: dict[str, Any], path: Path) -> None:
        if state["epoch"] == 1:
            path.write_bytes(b"half a state")
            raise full
        whole_save(state, path)

    def replace(path: Path, target: Path) -> Path:
        if path.name == "last.ckpt.tmp" and target.is_file():
            raise full
        return whole_replace(path, target)

    for place, name, failing in ((torch, "save", save), (Path, "replace", replace)):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, failing)
            said = cli("train", *small, f"name={name}", expect=1).stderr
        run = only_run(tmp_path, name)
        assert "could not (No space left on device); the state before it is whole" in said
        assert f"to continue: mmemo train resume={run.path}" in said
        assert "Traceback" not in said
        assert run.read_info().status == "failed"
        assert position(run) == (0, None)
        assert not list(run.path.glob("checkpoints/*.tmp"))
        cli("train", f"resume={run.path}")
        assert_same_run(run, trained.run)


def test_other_files_find_the_disk_full_too(
    cli: Cli, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pd.DataFrame.to_csv

    def to_csv(table: pd.DataFrame, path: Path, index: bool = True) -> None:
        if Path(path).name.endswith("history.csv"):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        whole(table, path, index=index)

    monkeypatch.setattr(pd.DataFrame, "to_csv", to_csv)
    said = cli("train", *small, expect=1).stderr
    assert "history.csv: expected to write it, could not (No space left on device)" in said
    assert "to continue" not in said, "no state was saved: it would begin anew"
    assert "Traceback" not in said


def test_a_signal_before_training_stops_at_once(
    cli: Cli, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(*_: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("mmemo.audio.preparation.Preparer.check", check)
    stopped = cli("train", *small, expect=128 + signal.SIGTERM).stderr
    run = only_run(tmp_path)
    assert run.read_info().status == "interrupted"
    assert "to continue" not in stopped, "no state was saved: it would begin anew"
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    cli("train", f"resume={run.path}")
    assert run.read_info().status == "finished"
