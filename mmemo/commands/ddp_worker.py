"""``python -m mmemo.commands.ddp_worker RUN``: what the other processes of a run do.

Started by the first one, never by a user; those that Slurm starts come here from its command line.
"""

from __future__ import annotations

import sys
import time
import traceback
from pathlib import Path

from mmemo.commands.quiet_warnings import quiet_warnings
from mmemo.commands.train import train_along
from mmemo.runs.input_errors import input_error
from mmemo.runs.run_folder import RunFolder
from mmemo.training.processes import ending_with_parent
from mmemo.training.slurm_processes import SlurmFollower, exit_status
from mmemo.training.stop_signals import Stopped, stopped_at_once

PATIENCE_S = 3.0
"""How long a failing process waits to be ended by the first, before it says why it failed."""


def main() -> None:
    """Train along as long as the first process lives."""
    with ending_with_parent():
        error = work(Path(sys.argv[1]))
        if error is None or isinstance(error, Stopped):
            return
        # Mostly the first process has failed, has told why, and ends this one now.
        time.sleep(PATIENCE_S)
        _tell(error)
        sys.exit(1)


def follow_in_slurm() -> int:
    """Train along in the run that Slurm's first process tells of; the exit status."""
    follower = SlurmFollower()
    run = follower.announced_run()
    error = None if run is None else work(run)
    status = follower.end(error)
    if status is None and isinstance(error, Exception):
        _tell(error)
    return exit_status(error) if status is None else status


def work(path: Path) -> Exception | Stopped | None:
    """Train along in a run folder; what ended it before its time, if anything did."""
    quiet_warnings()
    try:
        with stopped_at_once():
            train_along(RunFolder.open(path))
    except (Exception, Stopped) as error:
        return error
    return None


def _tell(error: BaseException) -> None:
    problem = input_error(error)
    text = str(problem) if problem else "".join(traceback.format_exception(error))
    print(f"mmemo: error in another process of the run: {text}", file=sys.stderr)


if __name__ == "__main__":
    main()
