"""One run on two nodes, with the batch script of the documentation."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from mmemo.runs.run_folder import RunFolder
from tests.commands.test_interruption import assert_same_run
from tests.slurm.conftest import REPOSITORY, SMALL, Cluster, num_epochs

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

UNWANTED = (
    *("auto-requeueing", "find_unused_parameters", "terminate called", "Traceback"),
    *("recvValueWithTimeout", "is not used. HINT"),
)
"""By what to know what failed or was said on real clusters."""


def documented_script(folder: str, *overrides: str) -> str:
    """The script for the demo on CPUs."""
    page = (REPOSITORY / "docs" / "processes.md").read_text()
    (script,) = re.findall(r"```bash\n(#!/bin/bash.*?)```", page, re.DOTALL)
    for asked, here in (
        ("--ntasks-per-node=4 --gpus-per-node=4", "--ntasks-per-node=1"),
        ("outputs/paper/$SLURM_JOB_ID", folder),
        ("experiment=paper trainer=slurm", " ".join([*SMALL, *TWO, *overrides])),
        (" mmemo train", f" {sys.executable} -m mmemo train"),
    ):
        assert asked in script
        script = script.replace(asked, here)
    return script


TWO = ["trainer=slurm", "trainer.devices=1", "trainer.accelerator=cpu", "trainer.max_epochs=24"]
TWO += ["callbacks.early_stopping.patience=24"]


def test_a_run_that_is_preempted_and_requeued_three_times_is_the_undisturbed_one(
    cluster: Cluster, tmp_path: Path
) -> None:
    job = cluster.submit(documented_script("whole"), "--output=whole.log")
    cluster.wait(lambda: job not in cluster.jobs(), 150)
    whole = RunFolder.open(tmp_path / "whole")
    assert whole.read_info().status == "finished"
    assert whole.read_info().num_processes == 2
    assert cluster.facts(job)["JobState"] == "COMPLETED"

    job = cluster.submit(documented_script("parts"), "--output=parts.log", "--partition=low")
    parts = RunFolder(tmp_path / "parts")
    for number, num_before in enumerate((1, 8, 15), start=1):
        cluster.wait(lambda n=num_before: num_epochs(parts) >= n, 120)
        cluster.preempt("--nodes=2", "--ntasks-per-node=1")
        assert parts.read_info().status == "interrupted"
        cluster.wait(lambda n=number: cluster.facts(job)["Restarts"] == str(n), 60)
    cluster.wait(lambda: job not in cluster.jobs(), 120)
    log = (tmp_path / "parts.log").read_text()
    assert log.count("stopped by SIGTERM at epoch") == 3
    assert log.count("Exited with exit code 143") == 6, "both, each time"
    assert log.count("Test split") == 1
    assert_same_run(parts, whole)
    for said in ((tmp_path / "whole.log").read_text(), log):
        assert not [word for word in UNWANTED if word in said]


def test_a_run_is_told_before_its_time_is_over(cluster: Cluster, tmp_path: Path) -> None:
    job = cluster.submit(documented_script("told"), "--output=told.log")
    run = RunFolder(tmp_path / "told")
    cluster.wait(lambda: num_epochs(run) >= 2, 120)
    cluster.signal(job, "USR1")
    cluster.wait(lambda: cluster.facts(job)["Restarts"] == "1", 60)
    log = (tmp_path / "told.log").read_text()
    assert log.count("Exited with exit code 138") == 2
    assert run.read_info().status == "interrupted"
