"""A run of several processes is the run of one; one that stops ends all."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from torch import distributed

from mmemo.errors import InputError
from mmemo.runs.run_folder import RunFolder
from mmemo.training.slurm_processes import SlurmFollower, SlurmProcesses, SlurmStep, exit_status
from mmemo.training.stop_signals import Stopped
from tests.commands.command_line import typed
from tests.commands.conftest import Cli, only_run
from tests.commands.interruptions import FailureAt, SignalAt, befalls
from tests.commands.test_interruption import assert_same_run, position
from tests.forking import Forking

pytestmark = pytest.mark.usefixtures("blank_figures")

NO_DROPOUT = ["classifier.dropout=0", "audio_encoder.dropout=0", "text_encoder.dropout=0"]
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def found_by_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes that a test's run starts import from here as well."""
    path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def assert_equal_run(run: RunFolder, expected: RunFolder) -> None:
    """Equal but for the order of summation."""
    histories = [pd.read_csv(r.history_file) for r in (run, expected)]
    pd.testing.assert_frame_equal(*histories, check_exact=False, rtol=0, atol=1e-4)
    tables = [pd.read_parquet(r.predictions_file) for r in (run, expected)]
    pd.testing.assert_frame_equal(*tables, check_exact=False, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one_also_when_stopped(
    cli: Cli, fork_followers: Callable[[], None], small: list[str], tmp_path: Path
) -> None:
    # 14, 15 and 15 utterances: the two have unequal shares of a batch.
    two = [*small, *NO_DROPOUT, "trainer=ddp_cpu", "data.batch_size=2", "data.eval_batch_size=4"]
    cli("train", "-m", *two, "logger=wandb", "name=two", "seed=7,8")
    infos = sorted((tmp_path / "outputs" / "two").glob("*/*/run.json"))
    assert len(infos) == 2, "each run has one folder"
    runs = [RunFolder.open(path.parent) for path in infos]
    for run in runs:
        log = (run.path / "train.log").read_text()
        assert log.count("run folder:") == log.count("Test split") == 1
    assert [run.read_info().num_processes for run in runs] == [2, 2]
    assert [run.read_info().status for run in runs] == ["finished"] * 2
    opened = [len(list(run.path.glob("wandb/offline-run-*"))) for run in runs]
    assert opened == [1, 1], "the first of the processes alone logs"

    cli("train", *small, *NO_DROPOUT, "data.batch_size=4", "data.eval_batch_size=8", "name=one")
    assert_equal_run(runs[0], only_run(tmp_path, "one"))

    fork_followers()
    stops = befalls(SignalAt, signum=int(signal.SIGTERM), epoch=1, batch=1, rank=1)
    said = cli("train", *two, *stops, "name=stopped", expect=143).stderr
    run = only_run(tmp_path, "stopped")
    assert "Traceback" not in said
    assert run.read_info().status == "interrupted"
    assert position(run) == (1, 2), "the signal to the second process stopped both"
    resume = (f"resume={run.path}", "trust=[tests]")
    alone = cli("train", *resume, "trainer.devices=1", expect=1).stderr
    assert "expected the 2 processes that the interrupted epoch was begun with, got 1" in alone
    resumed = cli("train", *resume, "trainer.devices=2").stdout
    assert resumed.count("Test split") == 1
    assert_same_run(run, runs[0])

    # Trained, but killed before it was evaluated: one process is enough for that.
    run.write_info(status="running")
    run.predictions_file.unlink()
    cli("train", *resume)
    assert_equal_run(run, runs[0])


@pytest.mark.slow
def test_a_failing_process_ends_the_others_with_one_message(
    cli: Cli, fork_followers: Callable[[], None], small: list[str], tmp_path: Path
) -> None:
    fork_followers()
    fails = befalls(FailureAt, epoch=1, batch=0, rank=1)
    said = cli("train", *small, "trainer=ddp_cpu", *fails, expect=1).stderr
    assert said.count("RuntimeError: out of memory, say") == 1
    assert said.count("Traceback") == 1, "that of the process that failed"
    assert "mmemo: error: expected every process to train to the end, process 1 ended" in said
    assert only_run(tmp_path).read_info().status == "failed"


def test_the_first_process_fails_before_it_starts_others(
    cli: Cli, small: list[str], tmp_path: Path
) -> None:
    said = cli("train", *small, "trainer=ddp_cpu", "corpus.root=/nowhere", expect=1).stderr
    assert said.count("mmemo: error:") == said.count("error") == 1


def step(rank: int, port: int = 7) -> dict[str, str]:
    """What srun tells the processes of a step, one on each of two machines."""
    return {
        "SLURM_JOB_ID": f"1{port:04d}",
        "SLURM_JOB_NAME": "train",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_NNODES": "2",
        "SLURM_NODELIST": "127.0.0.1",
        "SLURM_LOCALID": "0",
        "SLURM_NODEID": str(rank),
        "SLURM_PROCID": str(rank),
    }


def slurm(forking: Forking, folder: Path, overrides: list[str]) -> list[tuple[int, str, str]]:
    """The same command in both processes, as srun starts it: exit status and what was printed."""
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1] % 10_000
    tasks = [
        forking.start(typed, "train", *overrides, folder=folder, environment=environment)
        for environment in (os.environ | step(rank, port) for rank in range(2))
    ]
    return [(t.ended(timeout_s=180), t.stdout.read_text(), t.stderr.read_text()) for t in tasks]


@pytest.mark.slow
def test_processes_that_slurm_starts_train_one_run(
    cli: Cli, forking: Forking, small: list[str], tmp_path: Path
) -> None:
    steps = [*small, *NO_DROPOUT]
    two = ["trainer=slurm", "trainer.devices=1", "data.batch_size=4", "trainer.accelerator=cpu"]
    first, second = slurm(forking, tmp_path, [*steps, *two, "name=slurm"])
    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    assert "Test split" in first[1]
    assert second[1] == ""
    cli("train", *steps, "data.batch_size=8", "name=one")
    run = only_run(tmp_path, "slurm")
    assert_equal_run(run, only_run(tmp_path, "one"))
    cli("evaluate", f"run={run.path}")
    assert_equal_run(run, only_run(tmp_path, "one"))


def follow(status: int | None) -> None:
    """What a process of the step but the first does; one that fails has no status of the first."""
    follower = SlurmFollower()
    run = follower.announced_run()
    print(run)
    sys.exit(follower.end(None if status is None else SystemExit(status)))


def lead(run: str | None, status: int) -> None:
    """What the first does: it takes its time, is signalled at the end, and keeps its status."""
    with SlurmStep() as step:
        if run is not None:
            step.announce(Path(run))
        time.sleep(0.5)
        signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(143))
        if status:
            sys.exit(status)


@pytest.mark.parametrize("status", [0, 1, 138])
@pytest.mark.parametrize("run", ["/run", None])
def test_slurms_processes_end_with_the_status_of_the_first(
    forking: Forking, tmp_path: Path, run: str | None, status: int
) -> None:
    environments = [os.environ | step(rank, port=41 + status) for rank in range(2)]
    second = forking.start(follow, status or None, folder=tmp_path, environment=environments[1])
    first = forking.start(lead, run, status, folder=tmp_path, environment=environments[0])
    assert (first.ended(60), second.ended(60)) == (status, status)
    assert second.stdout.read_text().strip() == str(run)
    assert first.stderr.read_text() + second.stderr.read_text() == ""


def join_group(rank: int, port: int) -> None:
    """Train along, as far as the group is concerned."""
    place = f"tcp://127.0.0.1:{port}"
    distributed.init_process_group("gloo", place, rank=rank, world_size=2)
    shared = torch.tensor(rank + 1.0)
    distributed.all_reduce(shared)
    assert float(shared) == 3


def lead_group(port: int, writes_s: float) -> None:
    """The first process of a step, which writes the report behind the last step."""
    with SlurmStep() as step:
        step.announce(Path("/run"))
        join_group(0, port)
        time.sleep(writes_s)
        written_s = time.monotonic()
    print(written_s, time.monotonic(), distributed.is_initialized())


def follow_group(port: int) -> None:
    """Another one, which is done with its last prediction."""
    follower = SlurmFollower()
    follower.announced_run()
    join_group(1, port)
    done_s = time.monotonic()
    assert follower.end(None) == 0
    print(done_s, time.monotonic(), distributed.is_initialized())


def test_slurms_processes_leave_their_group_together_when_all_is_written(
    forking: Forking, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    environments = [os.environ | step(rank, port=93) for rank in range(2)]
    first = forking.start(lead_group, port, 1.0, folder=tmp_path, environment=environments[0])
    second = forking.start(follow_group, port, folder=tmp_path, environment=environments[1])
    assert (first.ended(60), second.ended(60)) == (0, 0)
    assert first.stderr.read_text() + second.stderr.read_text() == ""
    # before the last line stands what gloo itself prints, up to torch 2.8
    written, first_left, first_is_in = first.stdout.read_text().splitlines()[-1].split()
    done, second_left, second_is_in = second.stdout.read_text().splitlines()[-1].split()
    assert (first_is_in, second_is_in) == ("False", "False")
    assert float(done) < float(written) < min(float(first_left), float(second_left))


def test_slurm_started_other_processes_than_the_trainer_asks_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in step(rank=0).items():
        monkeypatch.setenv(name, value)
    asked: Any = SimpleNamespace(num_devices=3, num_nodes=2)
    message = "expected the 2 .* got 3 on each of 2 machines"
    with pytest.raises(InputError, match=message), SlurmProcesses(Path("/run")) as processes:
        processes.check(asked)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, 0),
        (InputError("a typing error"), 1),
        (Stopped(signal.SIGUSR1), 138),
        (SystemExit(), 0),
        (SystemExit("in words"), 1),
    ],
)
def test_exit_status_is_that_of_the_interpreter(error: BaseException | None, status: int) -> None:
    assert exit_status(error) == status


@pytest.mark.parametrize("sweep", [["-m", "seed=1,2"], ["+sweep=seeds"]])
def test_no_sweep_in_a_slurm_step(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, sweep: list[str]
) -> None:
    for name, value in step(rank=0).items():
        monkeypatch.setenv(name, value)
    said = cli("train", *sweep, expect=1).stderr
    assert "expected one run in a step of several processes, got a sweep" in said


@pytest.mark.parametrize(
    ("trainer", "expected"),
    [
        ("default", (1, 1, 2)),
        ("cpu", (1, 1, 2)),
        ("gpu", (1, 1, 2)),
        ("ddp", (2, 1, 1)),
        ("ddp_cpu", (2, 1, 1)),
        ("slurm", (4, 2, 1)),
    ],
)
def test_the_papers_batch_on_one_device_is_that_on_two(
    trainer: str, expected: tuple[int, int, int]
) -> None:
    from tests.test_configs import composed

    cfg = composed(["experiment=paper", "corpus.root=/data", f"trainer={trainer}"])
    settings = OmegaConf.to_container(cfg.trainer, resolve=True)
    assert isinstance(settings, dict)
    names = ("devices", "num_nodes", "accumulate_grad_batches")
    assert tuple(settings.get(name, 1) for name in names) == expected
    assert cfg.data.batch_size == 8
