"""The scores that a training logs each epoch, and which way each of them is better.

Imports nothing heavy: sweeps and comparisons ask too.
"""

from __future__ import annotations

from typing import Literal

from mmemo.errors import InputError

Direction = Literal["min", "max"]

DIRECTIONS: dict[str, Direction] = {
    "loss": "min",
    "accuracy": "max",
    "macro_f1": "max",
    "weighted_f1": "max",
}
"""By the name of a score whether the lowest or the highest is best."""

LOGGED_SPLITS = ("train", "val")

UNKNOWN = "unknown"
"""The direction of what is no score; it is refused before anything is built."""


def direction(monitor: str | None) -> str:
    """``min`` or ``max`` for ``val/loss`` and the like; ``unknown`` for anything else."""
    split, _, score = str(monitor).partition("/")
    return DIRECTIONS.get(score, UNKNOWN) if split in LOGGED_SPLITS else UNKNOWN


def check_monitor(option: str, monitor: str | None, mode: str | None, on_training: bool) -> None:
    """Check what a callback watches.

    Args:
        option: The callback's key in the config, for the message.
        monitor: The score.
        mode: ``min`` or ``max``; None where the callback has none.
        on_training: Whether a score of the training split will do.

    Raises:
        InputError: If no such score is logged, or the other direction is better.
    """
    splits = LOGGED_SPLITS if on_training else ("val",)
    known = [f"{split}/{score}" for split in splits for score in DIRECTIONS]
    if monitor not in known:
        raise InputError(
            f"{option}.monitor: expected a score that is logged each epoch, one of "
            f"{', '.join(known)}; got {'none' if monitor is None else repr(monitor)}"
        )
    if mode is not None and mode != direction(monitor):
        raise InputError(
            f"{option}.mode: expected {direction(monitor)}, which is better of {monitor}, got "
            f"{mode}; leave it out: it follows from the monitor"
        )
