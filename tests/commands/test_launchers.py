"""Where cells run: side by side on one machine, and as jobs of a cluster."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hydra.core.utils import JobReturn, JobStatus
from joblib import Parallel, delayed
from omegaconf import OmegaConf
from submitit.core.utils import DelayedSubmission
from submitit.slurm.slurm import SlurmJob

from mmemo.runs.run_folder import RunFolder
from tests.commands.conftest import Cli
from tests.commands.interruptions import SignalOnce, befalls
from tests.commands.processes import distance_in_another_process
from tests.commands.threads import ThreadsNote

pytestmark = pytest.mark.usefixtures("blank_figures")

SHORT = ["logger=none", "trainer.max_epochs=1"]


def cells(tmp_path: Path) -> list[RunFolder]:
    return [RunFolder(p.parent) for p in sorted((tmp_path / "outputs").glob("*/sweep/*/run.json"))]


@pytest.mark.slow
def test_cells_side_by_side_share_the_cores(
    fresh_cli: Cli, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    # What is heard would be prepared first, which takes longer than all the rest.
    text_alone = [o for o in small if not o.startswith("audio_encoder")] + ["audio_encoder=none"]
    threads = f"+callbacks.threads._target_={ThreadsNote.__module__}.{ThreadsNote.__name__}"
    fresh_cli(
        "train",
        "-m",
        *text_alone,
        *SHORT,
        threads,
        "+callbacks.threads.folder=${run_dir}",
        "preparer.num_workers=null",
        "classifier.hidden_dim=8,4",
        "hydra/launcher=parallel",
    )
    share = max(len(os.sched_getaffinity(0)) // 2, 1)
    found = cells(tmp_path)
    assert len(found) == 2
    for cell in found:
        assert (cell.path / ThreadsNote.NAME).read_text() == str(share)
        assert OmegaConf.load(cell.config_file).preparer.num_workers == share


@pytest.mark.slow
def test_a_cell_beside_others_can_start_processes() -> None:
    found = Parallel(n_jobs=2)(delayed(distance_in_another_process)(value) for value in (-3, 4))
    assert found == [3, 4]


@pytest.mark.slow
def test_a_job_whose_time_ends_saves_its_state_and_is_queued_again(
    forked_cli: Cli, small: list[str], tmp_path: Path
) -> None:
    """Beside another one that fails."""
    ends = befalls(SignalOnce, epoch=0, batch=1)
    printed = forked_cli(
        "train",
        "-m",
        *small,
        *SHORT,
        "data.batch_size=4",
        *ends,
        f"+callbacks.befalls.marker={tmp_path}/told",
        "audio_encoder.width=8,eight",
        "hydra/launcher=submitit_local",
        expect=1,
    )
    assert "2 cells: 1 finished, 1 failed" in printed.stdout
    assert "failed: width_eight-seed7" in printed.stderr
    assert "Traceback" not in printed.stderr
    found = {cell.path.name.rpartition("-")[0]: cell for cell in cells(tmp_path)}
    states = {name: cell.read_info().status for name, cell in found.items()}
    assert states == {"width_8-seed7": "finished", "width_eight-seed7": "failed"}

    cell = found["width_8-seed7"]
    log = (cell.path / "train.log").read_text()
    # The first time it stopped where the signal came; the second it went on from there.
    assert log.count("run folder: ") == 2
    assert "stopping after this step" in log
    assert "not finished; to continue" in log
    said = [path.read_text() for path in (cell.path.parent / ".submitit").glob("*/*_0_log.err")]
    assert [text.count("Caught signal SIGUSR2") for text in sorted(said, key=len)] == [0, 1]
    assert signal.SIGUSR2.name not in log.partition("not finished")[2]


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that takes jobs and whose jobs return nothing."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, says in {"srun": "", "sbatch": "echo Submitted batch job 12"}.items():
        (programs / name).write_text(f"#!/bin/sh\n{says}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    ended = JobReturn(status=JobStatus.COMPLETED)
    monkeypatch.setattr(SlurmJob, "results", lambda job: [ended])


def test_a_gpu_cluster_is_asked_for_a_gpu_for_each_cell(
    cli: Cli, small: list[str], slurm: None, tmp_path: Path
) -> None:
    launcher = ["hydra/launcher=slurm_gpu", "hydra.launcher.partition=gpu"]
    launcher += ["hydra.launcher.array_parallelism=1"]
    said = cli("train", "-m", *small, "classifier.hidden_dim=8,4", *launcher, expect=1).stderr
    assert said.count("ended before its time: hidden_dim_") == 2
    folder = tmp_path / "outputs/train/sweep/.submitit"
    (script,) = folder.rglob("*_submission.sh")
    options = {line for line in script.read_text().splitlines() if line.startswith("#SBATCH")}
    assert options >= {
        "#SBATCH --array=0-1%1",
        "#SBATCH --partition=gpu",
        "#SBATCH --nodes=1",
        "#SBATCH --ntasks-per-node=1",
        "#SBATCH --gpus-per-node=1",
        "#SBATCH --cpus-per-task=8",
        "#SBATCH --mem=64GB",
        "#SBATCH --time=1440",
        "#SBATCH --signal=USR2@300",
        "#SBATCH --job-name=train",
    }
    jobs = [DelayedSubmission.load(path) for path in folder.rglob("*_submitted.pkl")]
    assert [job._timeout_countdown for job in jobs] == [10, 10]
