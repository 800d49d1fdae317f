"""Bars that show how far a long piece of work is."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

TERMINAL_INTERVAL_S = 0.1
LOG_INTERVAL_S = 10.0


def progress_bar(total: int, description: str, initial: int = 0, unit: str = "clip") -> tqdm[Any]:
    """A bar with the time left on standard error; in a log file it is written rarely.

    Args:
        total: Clips, or other units, in all.
        description: What is done to them.
        initial: How many were done before.
        unit: What is counted.
    """
    interval_s = TERMINAL_INTERVAL_S if sys.stderr.isatty() else LOG_INTERVAL_S
    return tqdm(total=total, initial=initial, desc=description, unit=unit, mininterval=interval_s)
