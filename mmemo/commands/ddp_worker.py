"""``python -m mmemo.commands.ddp_worker RUN``: what the other processes of a run do.

Started by the first one, never by a user.
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
from mmemo.training.stop_signals import Stopped, stopped_at_once

PATIENCE_S = 3.0
"""How long a failing process waits to be ended by the first, before it says why it failed."""


def main() -> None:
    """Train along as long as the first process lives."""
    with ending_with_parent():
        work(Path(sys.argv[1]))


def work(path: Path) -> None:
    """Train along in a run folder; where that fails by itself, say so."""
    quiet_warnings()
    try:
        with stopped_at_once():
            train_along(RunFolder.open(path))
    except Stopped:
        return
    except Exception as error:
        # Mostly the first process has failed, has told why, and ends this one now.
        time.sleep(PATIENCE_S)
        problem = input_error(error)
        text = str(problem) if problem else "".join(traceback.format_exception(error))
        print(f"mmemo: error in another process of the run: {text}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
