"""The scores that a training logs each epoch, and which way each of them is better.

Imports nothing heavy: sweeps ask too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mmemo.errors import InputError
from mmemo.metric_table import COMPARED, DIRECTIONS, LOSS, OF_CLASSES, find_metric

LOGGED_SPLITS = ("train", "val")

UNKNOWN = "unknown"
"""The direction of what is no score; it is refused before anything is built."""


@dataclass(frozen=True)
class MonitoredScores:
    """What a training can log, and so be steered by.

    Args:
        classes: Names of the classes; None where they are not known, and any may be.
        own: Direction of each metric of the user's, by its name.
    """

    classes: tuple[str, ...] | None = None
    own: Mapping[str, str] = field(default_factory=dict)

    def direction(self, monitor: str | None) -> str:
        """``min`` or ``max`` for ``val/loss`` and the like; ``unknown`` for anything else."""
        split, _, score = str(monitor).partition("/")
        if split not in LOGGED_SPLITS:
            return UNKNOWN
        if score in self.own:
            return self.own[score]
        found = find_metric(score, self.classes)
        return UNKNOWN if found is None else found.entry.direction

    def names(self) -> list[str]:
        """Those that can be asked for, without the split."""
        all_classes = [entry.name for entry in (LOSS, *COMPARED)]
        aliases = [alias for entry in COMPARED for alias in entry.aliases]
        named = ["CLASS"] if self.classes is None else self.classes
        of_classes = [f"{entry.name}_{name}" for entry in OF_CLASSES for name in named]
        return [*all_classes, *aliases, *of_classes, *self.own]

    def check(self, option: str, monitor: str | None, mode: str | None, on_training: bool) -> None:
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
        best = self.direction(monitor)
        if best == UNKNOWN or str(monitor).partition("/")[0] not in splits:
            known = [f"{split}/{score}" for split in splits for score in self.names()]
            raise InputError(
                f"{option}.monitor: expected a score that is logged each epoch, one of "
                f"{', '.join(known)}; got {'none' if monitor is None else repr(monitor)}"
            )
        if best not in DIRECTIONS:
            name = str(monitor).partition("/")[2]
            raise InputError(
                f"metrics.{name}.direction: expected min or max, which is better of {name}, got "
                f"{best}"
            )
        if mode is not None and mode != best:
            raise InputError(
                f"{option}.mode: expected {best}, which is better of {monitor}, got "
                f"{mode}; leave it out: it follows from the monitor"
            )


def unlogged_metrics(monitors: Iterable[object], own: Iterable[str]) -> Iterator[str]:
    """Names that are monitored and that not every training logs.

    Args:
        monitors: What callbacks watch: ``val/recall_anger``.
        own: Names of the user's metrics, which are logged in any case.
    """
    logged = {LOSS.name, *(entry.name for entry in COMPARED), *own}
    names = [str(m).partition("/")[2] for m in monitors if m is not None]
    yield from dict.fromkeys(name for name in names if name and name not in logged)
