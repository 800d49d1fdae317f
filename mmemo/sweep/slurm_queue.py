"""Jobs that a sweep has sent to Slurm, as its queue tells of them.

submitit asks the accounting, which many clusters have not: without it, it warns each time, and
waits for ever for a job that was cancelled, that ran out of memory or whose machine died.
"""

from __future__ import annotations

import getpass
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.core.utils import JobReturn, JobStatus
from submitit.core.utils import UncompletedJobError
from submitit.slurm.slurm import SlurmInfoWatcher, SlurmJob

from mmemo.errors import InputError

POLL_INTERVAL_S = 15
"""How often the queue is asked at most. A job's result is seen from its file, within a second."""

RESULT_DELAY_S = 5
"""How long after a job's end its result may take to be seen, on a disk of another machine."""

ENDED = "ENDED"
"""State of a job that the queue no longer knows."""

OVER = (
    ENDED,
    "COMPLETED",
    "FAILED",
    "CANCELLED",
    "TIMEOUT",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "BOOT_FAIL",
    "DEADLINE",
    "REVOKED",
)
"""States from which no job comes back; ``squeue`` has more of jobs that go on (its manual page,
"JOB STATE CODES") than the accounting, and than submitit knows."""

HELD = ("REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT", "STOPPED", "SUSPENDED")
"""States in which a job stays until somebody lets it go on."""

ORDINARY = ("None", "Priority", "Resources", "BeginTime", "Dependency", "JobArrayTaskLimit")
"""Why a job waits that will be started."""


class QueueWatcher(SlurmInfoWatcher):
    """The states of all jobs of a sweep, by one call of ``squeue``."""

    def __init__(self) -> None:
        super().__init__(delay_s=POLL_INTERVAL_S)
        self._told: set[str] = set()

    def is_done(self, job_id: str, mode: str = "standard") -> bool:
        """Whether the queue knows the job no more, or in a state that it does not leave."""
        return self.get_state(job_id, mode=mode) in OVER

    def update(self) -> None:
        """Ask the queue for the jobs that have not ended; what it does not know has."""
        self._last_status_check = time.time()
        left = self._registered - self._finished
        if not left:
            return
        self._num_calls += 1
        # A job of an array is 12_3.
        command = ["squeue", "--noheader", "--array", "--states=all", "--format=%i|%T|%r"]
        asked = subprocess.run(
            [*command, f"--user={getpass.getuser()}"], capture_output=True, text=True
        )
        if asked.returncode:
            # Its controller may be away for a while.
            self._tell(f"squeue: {asked.stderr.strip()}; it is asked again")
            return
        states = {}
        for line in asked.stdout.splitlines():
            job, state, why = line.strip().split("|", 2)
            states[job] = state
            if job in left and state in HELD:
                why = state
            elif job not in left or state != "PENDING" or why in ORDINARY:
                continue
            self._tell(f"job {job} waits in Slurm's queue ({why}); scancel {job} gives it up")
        self._info_dict |= {job: {"JobID": job, "State": states.get(job, ENDED)} for job in left}
        self._finished |= {job for job in left if self.is_done(job, mode="cache")}

    def _tell(self, what: str) -> None:
        """Once for jobs of one array and reason."""
        key = re.sub(r"\d+_\d+|\d+", "", what)
        if key not in self._told:
            print(f"mmemo: {what}", file=sys.stderr)
        self._told.add(key)


@contextmanager
def watched_queue() -> Iterator[None]:
    """Let submitit ask the queue, and go on to the next job where one ended without a result."""
    names = ("watcher", "results", "_results_timeout_s")
    former = {name: getattr(SlurmJob, name) for name in names}
    results_of = SlurmJob.results

    def results(job: SlurmJob[JobReturn]) -> list[JobReturn]:
        try:
            return list(results_of(job))
        except UncompletedJobError:
            problem = InputError(
                f"job {job.job_id}: expected a result, it ended without one ({job.state}); what "
                f"it printed: {job.paths.stderr}"
            )
            print(f"mmemo: {problem}", file=sys.stderr)
            return [JobReturn(status=JobStatus.FAILED, _return_value=problem)]

    changed = (QueueWatcher(), results, RESULT_DELAY_S)
    for name, value in zip(names, changed, strict=True):
        setattr(SlurmJob, name, value)
    try:
        yield
    finally:
        for name, value in former.items():
            setattr(SlurmJob, name, value)
