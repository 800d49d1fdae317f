"""Jobs of a sweep, as a queue without accounting tells of them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hydra.core.utils import JobReturn, JobStatus
from submitit.core.utils import cloudpickle_dump
from submitit.slurm.slurm import SlurmJob

from mmemo.errors import InputError
from mmemo.sweep import slurm_queue
from mmemo.sweep.slurm_queue import POLL_INTERVAL_S, watched_queue

Job = SlurmJob[JobReturn]


class Queue:
    """Programs that stand for Slurm's, and what they were asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked = folder / "asked"
        self.asked.touch()
        self.says()
        for name in ("squeue", "sacct"):
            program = folder / name
            program.write_text(f'#!/bin/sh\necho {name} >> {self.asked}\n. "{folder}/answer"\n')
            program.chmod(0o755)

    def says(self, *jobs: str, error: str = "") -> None:
        """Let it tell of jobs (JOB|STATE|REASON), or fail."""
        script = "".join(f"echo '{job}'\n" for job in jobs)
        if error:
            script = f"echo '{error}' >&2\nexit 1\n"
        (self.folder / "answer").write_text(script)

    def calls(self) -> list[str]:
        return self.asked.read_text().split()


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(slurm_queue, "RESULT_DELAY_S", 0)
    with watched_queue():
        yield Queue(programs)


@pytest.fixture
def job(queue: Queue, tmp_path: Path) -> Callable[[str], Job]:
    """A job that is sent; its results are looked for in a folder of this test."""
    return lambda number: SlurmJob(tmp_path, number)


def end(job: Job, returned: JobReturn) -> None:
    cloudpickle_dump(("success", returned), job.paths.result_pickle)


def test_a_job_that_has_ended_is_noticed_by_its_file_and_no_accounting_is_asked(
    queue: Queue, job: Callable[[str], Job], capfd: pytest.CaptureFixture[str]
) -> None:
    queue.says("12_0|RUNNING|None")
    running = job("12_0")
    ended_s: list[float] = []

    def work() -> None:
        time.sleep(1.0)
        end(running, JobReturn(status=JobStatus.COMPLETED, _return_value=0.5))
        ended_s.append(time.monotonic())

    thread = threading.Thread(target=work)
    thread.start()
    (returned,) = running.results()
    thread.join()
    assert returned.return_value == 0.5
    assert time.monotonic() - ended_s[0] < 3, "it looks once a second"
    assert set(queue.calls()) == {"squeue"}
    assert "".join(capfd.readouterr()) == ""


def test_a_job_that_was_cancelled_is_told_of_and_the_next_one_is_waited_for(
    queue: Queue, job: Callable[[str], Job], capfd: pytest.CaptureFixture[str]
) -> None:
    queue.says("12_1|RUNNING|None")
    cancelled, other = job("12_0"), job("12_1")
    end(other, JobReturn(status=JobStatus.COMPLETED, _return_value=0.25))
    begun_s = time.monotonic()
    (returned,) = cancelled.results()
    assert time.monotonic() - begun_s < 3, "the queue's word is enough"
    assert returned.status is JobStatus.FAILED
    assert isinstance(returned._return_value, InputError)
    assert other.results()[0].return_value == 0.25
    said = capfd.readouterr().err
    assert said.count("job 12_0: expected a result, it ended without one") == 1
    assert str(cancelled.paths.stderr) in said
    assert set(queue.calls()) == {"squeue"}


def test_all_jobs_are_asked_for_in_one_call(queue: Queue, job: Callable[[str], Job]) -> None:
    jobs = [job(f"12_{number}") for number in range(5)]
    queue.says(*(f"12_{number}|RUNNING|None" for number in range(5)))
    assert [one.done() for one in jobs] == [False] * 5
    assert queue.calls() == ["squeue"]
    assert jobs[4].state == "RUNNING"
    assert SlurmJob.watcher._delay_s == POLL_INTERVAL_S == 15


def test_a_controller_that_is_away_ends_no_job(
    queue: Queue, job: Callable[[str], Job], capfd: pytest.CaptureFixture[str]
) -> None:
    queue.says(error="Unable to contact slurm controller")
    jobs = [job(f"12_{number}") for number in range(2)]
    for _ in range(3):
        assert not any(one.done(force_check=True) for one in jobs)
    assert capfd.readouterr().err.count("Unable to contact slurm controller; it is asked") == 1
    queue.says("12_0|RUNNING|None", "12_1|PREEMPTED|None")
    assert not any(one.done(force_check=True) for one in jobs), "a preempted one is put back"
    queue.says("12_1|RUNNING|None")
    assert [one.done(force_check=True) for one in jobs] == [True, False]


@pytest.mark.parametrize(
    ("state", "is_held"),
    [(state, False) for state in ("CONFIGURING", "PENDING", "RUNNING", "RESIZING", "SIGNALING")]
    + [(state, False) for state in ("COMPLETING", "STAGE_OUT", "PREEMPTED", "REQUEUED")]
    + [(state, True) for state in ("REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT")]
    + [(state, True) for state in ("STOPPED", "SUSPENDED")],
)
def test_a_job_that_is_alive_is_asked_about_until_it_ends(
    queue: Queue,
    job: Callable[[str], Job],
    capfd: pytest.CaptureFixture[str],
    state: str,
    is_held: bool,
) -> None:
    one = job("12_0")
    queue.says(f"12_0|{state}|None")
    for _ in range(2):
        assert not one.done(force_check=True)
    assert one.state == state
    told = f"job 12_0 waits in Slurm's queue ({state}); scancel 12_0 gives it up"
    assert capfd.readouterr().err.count(told) == int(is_held)
    queue.says("12_0|COMPLETED|None")
    assert one.done(force_check=True)
    assert queue.calls() == ["squeue"] * 3


@pytest.mark.parametrize(
    "state",
    ["BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL"]
    + ["OUT_OF_MEMORY", "REVOKED", "TIMEOUT"],
)
def test_a_job_that_has_ended_is_not_asked_about_again(
    queue: Queue, job: Callable[[str], Job], state: str
) -> None:
    one = job("12_0")
    queue.says(f"12_0|{state}|None")
    for _ in range(2):
        assert one.done(force_check=True)
    assert one.state == state
    assert queue.calls() == ["squeue"]


@pytest.mark.parametrize(
    ("why", "is_told"), [("Resources", False), ("Priority", False), ("PartitionTimeLimit", True)]
)
def test_why_jobs_cannot_start_is_told_once(
    queue: Queue,
    job: Callable[[str], Job],
    capfd: pytest.CaptureFixture[str],
    why: str,
    is_told: bool,
) -> None:
    jobs = [job(f"12_{number}") for number in range(3)]
    queue.says(*(f"12_{number}|PENDING|{why}" for number in range(3)))
    for _ in range(2):
        assert not any(one.done(force_check=True) for one in jobs)
    said = capfd.readouterr().err
    assert said.count(f"waits in Slurm's queue ({why}); scancel 12_") == int(is_told)


def test_submitit_is_left_as_it_was() -> None:
    names = ("watcher", "results", "_results_timeout_s")
    before = [getattr(SlurmJob, name) for name in names]
    with watched_queue():
        assert [getattr(SlurmJob, name) for name in names] != before
    assert [getattr(SlurmJob, name) for name in names] == before
