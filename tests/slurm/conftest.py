from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mmemo.runs.run_folder import RunFolder

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "tests" / "slurm" / "cluster"

SOUND = ["denoiser=off", "corpus.num_utterances=60", "corpus.num_workers=1"]
SOUND += ["preparer.num_workers=0"]
SMALL = ["experiment=demo", *SOUND, "logger=none", "data.batch_size=4"]
"""A demo that is prepared and trained in seconds."""

ON_CPUS = [
    "hydra/launcher=slurm_gpu",
    "hydra.launcher.gpus_per_node=null",
    "hydra.launcher.cpus_per_task=2",
    "hydra.launcher.mem_gb=1",
]


BEGIN = "import sys; sys.executable = sys.argv.pop(1); from mmemo.cli import main; main()"


def _said(*command: str) -> str:
    """What a command of Slurm prints; nothing where it fails or is not installed."""
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""


@dataclass
class Cluster:
    """The two nodes n1 and n2, of two cores each, and what a test has them do in its folder."""

    folder: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def submit(self, script: str, *options: str) -> str:
        """Hand in a batch script; its job."""
        file = self.folder / "job.sh"
        file.write_text(script)
        told = subprocess.run(
            ["sbatch", "--parsable", *options, str(file)],
            capture_output=True, text=True, cwd=self.folder,
        )  # fmt: skip
        assert told.returncode == 0, told.stderr
        return told.stdout.strip()

    def preempt(self, *options: str) -> None:
        """Let a job of the partition that goes before take nodes for a moment, and wait for it."""
        wrapped = [
            "sbatch",
            "--parsable",
            "--partition=high",
            "--exclusive",
            "--output=/dev/null",
            *options,
        ]
        job = _said(*wrapped, "--wrap=sleep 1").strip()
        self.wait(lambda: self.facts(job).get("JobState") == "COMPLETED", 90)

    def signal(self, job: str, name: str) -> None:
        """Send a signal to a job's steps, as Slurm does before its time is over."""
        subprocess.run(["scancel", f"--signal={name}", job], check=True)

    def cancel(self, job: str) -> None:
        """Take a job out of the queue."""
        subprocess.run(["scancel", job], check=True)

    def facts(self, job: str) -> dict[str, str]:
        """What the controller knows of a job."""
        pairs = re.findall(r"(\w+)=(\S*)", _said("scontrol", "show", "job", "--oneliner", job))
        return dict(pairs)

    def jobs(self) -> list[str]:
        """Jobs that wait or run, those of arrays one by one."""
        return _said("squeue", "--noheader", "--array", "--format=%i").split()

    def nodes(self) -> dict[str, str]:
        """On which node each job runs."""
        lines = _said("squeue", "--noheader", "--array", "--states=R", "--format=%i %N")
        return dict(line.split() for line in lines.splitlines())

    def node(self, what: str, name: str) -> None:
        """Let a node die ("down") or come back ("up")."""
        subprocess.run([SCRIPT, "node", what, name], check=True, capture_output=True)

    def mmemo(self, *arguments: str, python: Path | None = None) -> subprocess.Popen[str]:
        """Begin a command on the machine that jobs are sent from.

        Args:
            arguments: The command's.
            python: Interpreter of the jobs; None for this one.
        """
        process = subprocess.Popen(
            [sys.executable, "-c", BEGIN, str(python or sys.executable), *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.folder,
        )  # fmt: skip
        self.started.append(process)
        return process

    def wait(self, is_so: Callable[[], bool], timeout_s: float) -> None:
        """Until it is so."""
        deadline = time.monotonic() + timeout_s
        while not is_so():
            if time.monotonic() > deadline:
                logs = [path.read_text()[-3000:] for path in sorted(self.folder.glob("*.log"))]
                raise TimeoutError("\n".join([f"not so after {timeout_s} s", *logs]))
            time.sleep(0.2)

    def end(self) -> None:
        """Leave nothing that runs."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.communicate()
        subprocess.run(["scancel", *self.jobs()], capture_output=True)
        self.wait(lambda: not self.jobs(), 60)


def num_epochs(run: RunFolder) -> int:
    """Epochs that its history has."""
    if not run.history_file.is_file():
        return 0
    return len(run.history_file.read_text().splitlines()) - 1


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    if "ClusterName             = mmemo" not in _said("scontrol", "show", "config"):
        pytest.skip('needs a cluster: eval "$(tests/slurm/cluster start)", as root on Debian')
    paths = filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH")))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    # Of its own, so that a test prepares.
    monkeypatch.setenv("MMEMO_CACHE", str(tmp_path / "cache"))
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.end()
