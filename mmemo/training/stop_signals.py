"""The signals that ask a run to stop, and what a process that obeys ends with."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# Windows has only the first two.
STOP_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
)

Handler = Callable[[int, FrameType | None], None]


class Stopped(SystemExit):
    """A signal ended the process; its exit status is 128 and the signal's number.

    Args:
        signum: The signal.
        place: Where training stood, for the message.
    """

    def __init__(self, signum: int, place: str = "") -> None:
        super().__init__(128 + signum)
        self.signum = signum
        self.message = " ".join(filter(None, (signal.Signals(signum).name, place)))

    def __reduce__(self) -> tuple[type[Stopped], tuple[int, str]]:
        """As it is built, for a process that hears of it from another."""
        return type(self), (self.signum, self.message.partition(" ")[2])

    def __str__(self) -> str:
        """The signal's name and where training stood."""
        return self.message


@contextmanager
def stop_signals(act: Handler) -> Iterator[None]:
    """Let ``act`` answer the stop signals, in this process and not in its children.

    A loader's workers get the terminal's Ctrl-C too and have to live until the step is done.
    """
    pid = os.getpid()

    def handle(signum: int, frame: FrameType | None) -> None:
        if os.getpid() == pid:
            act(signum, frame)

    # Only the main thread may set handlers; elsewhere whoever set them answers.
    is_main = threading.current_thread() is threading.main_thread()
    former = {number: signal.signal(number, handle) for number in STOP_SIGNALS if is_main}
    try:
        yield
    finally:
        for number, handler in former.items():
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, handler)


def ignore_stop_signals() -> None:
    """Let the stop signals go unheard to the end of this process, whatever contexts it leaves.

    For a process that is about to end with a status that a signal must not change.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def hand_on(stop: Stopped) -> None:
    """Let submitit answer a signal that this process has obeyed, where submitit started it.

    Its answer to the signal before the end of a job's time (SIGUSR2, or what the environment
    variable ``SUBMITIT_PREEMPT_SIGNAL`` names) is to put the job back in the queue and to end this
    process. It comes when the state is saved and all is cleaned up, not in the middle of a step.
    A job that Slurm takes its machine from gets SIGTERM, and is not put back where it ends by
    itself before its grace time does: it is answered alike.
    """
    if "SUBMITIT_EXECUTOR" not in os.environ:
        return
    its_signal = getattr(signal, f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}")
    if stop.signum == its_signal or (stop.signum == signal.SIGTERM and _is_preempted()):
        signal.raise_signal(its_signal)


def _is_preempted() -> bool:
    """Whether Slurm wants this job's machine for another; a job that a user cancels is not."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return False
    command = ["scontrol", "show", "job", "--oneliner", job]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    return "JobState=RUNNING" in told and bool(re.search(r"PreemptTime=\d", told))


@contextmanager
def stopped_at_once() -> Iterator[None]:
    """Turn a stop signal into ``Stopped``: no traceback, and everything is cleaned up.

    One that came where nothing can be raised, as in a destructor, is raised at the end.
    """
    came: list[Stopped] = []

    def stop(signum: int, frame: FrameType | None) -> None:
        came.append(Stopped(signum))
        raise came[-1]

    with stop_signals(stop):
        yield
        if came:
            raise came[0]
