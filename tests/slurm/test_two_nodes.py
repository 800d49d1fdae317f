"""One run on two nodes, with the batch script of the documentation."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from mmemo.runs.run_folder import RunFolder
from tests.commands.test_interruption import assert_same_run
from tests.slurm.conftest import REPOSITORY, SMALL, Cluster, num_epochs
from tests.slurm.held_epochs import go_on, held

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

UNWANTED = (
    *("auto-requeueing", "find_unused_parameters", "terminate called", "Traceback"),
    *("recvValueWithTimeout", "is not used. HINT"),
)
"""By what to know what failed or was said on real clusters."""


def documented_script(folder: str, held_in: Path) -> str:
    """The script for the demo on CPUs, which is held in some epochs."""
    page = (REPOSITORY / "docs" / "processes.md").read_text()
    (script,) = re.findall(r"```bash\n(#!/bin/bash.*?)```", page, re.DOTALL)
    for asked, here in (
        ("--ntasks-per-node=4 --gpus-per-node=4", "--ntasks-per-node=1"),
        ("outputs/paper/$SLURM_JOB_ID", folder),
        ("experiment=paper trainer=slurm", " ".join([*SMALL, *TWO, *held(HELD, held_in)])),
        ("resume=$RUN", "resume=$RUN trust=[tests]"),
        (" mmemo train", f" {sys.executable} -m mmemo train"),
    ):
        assert asked in script
        script = script.replace(asked, here)
    return script


TWO = ["trainer=slurm", "trainer.devices=1", "trainer.accelerator=cpu", "trainer.max_epochs=12"]
TWO += ["callbacks.early_stopping.patience=12"]
HELD = (1, 5, 9)
"""Epochs in which something happens to a run."""


def test_a_run_that_is_preempted_and_requeued_three_times_is_the_undisturbed_one(
    cluster: Cluster, tmp_path: Path
) -> None:
    for epoch in HELD:
        go_on(epoch, tmp_path / "not-held")
    job = cluster.submit(documented_script("whole", tmp_path / "not-held"), "--output=whole.log")
    cluster.wait(lambda: job not in cluster.jobs(), 150)
    whole = RunFolder.open(tmp_path / "whole")
    assert whole.read_info().status == "finished"
    assert whole.read_info().num_processes == 2
    assert cluster.facts(job)["JobState"] == "COMPLETED"

    job = cluster.submit(documented_script("parts", tmp_path / "held"), "--output=parts.log")
    parts = RunFolder(tmp_path / "parts")
    for number, epoch in enumerate(HELD, start=1):
        cluster.wait(lambda n=epoch: num_epochs(parts) == n, 120)
        cluster.preempt("--nodes=2", "--ntasks-per-node=1")
        assert parts.read_info().status == "interrupted"
        assert num_epochs(parts) == epoch
        cluster.wait(lambda n=number: cluster.facts(job)["Restarts"] == str(n), 60)
        go_on(epoch, tmp_path / "held")
    cluster.wait(lambda: job not in cluster.jobs(), 120)
    log = (tmp_path / "parts.log").read_text()
    assert log.count("stopped by SIGTERM at epoch") == 3
    assert log.count("Exited with exit code 143") == 6, "both, each time"
    assert log.count("Test split") == 1
    assert_same_run(parts, whole)
    for said in ((tmp_path / "whole.log").read_text(), log):
        assert not [word for word in UNWANTED if word in said]


def test_a_run_is_told_before_its_time_is_over(cluster: Cluster, tmp_path: Path) -> None:
    job = cluster.submit(documented_script("told", tmp_path / "held"), "--output=told.log")
    run = RunFolder(tmp_path / "told")
    cluster.wait(lambda: num_epochs(run) == 1, 120)
    cluster.signal(job, "USR1")
    cluster.wait(lambda: cluster.facts(job)["Restarts"] == "1", 60)
    log = (tmp_path / "told.log").read_text()
    assert log.count("Exited with exit code 138") == 2
    assert run.read_info().status == "interrupted"
