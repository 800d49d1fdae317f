"""Bars that show how far a long piece of work is."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

TERMINAL_INTERVAL_S = 0.1
LOG_INTERVAL_S = 10.0


def progress_bar(total: int, description: str, initial: int = 0) -> tqdm[Any]:
    """A bar over clips on standard error; in a log file it is written rarely.

    Args:
        total: Clips in all.
        description: What is done to them.
        initial: How many were done before.
    """
    interval_s = TERMINAL_INTERVAL_S if sys.stderr.isatty() else LOG_INTERVAL_S
    return tqdm(total=total, initial=initial, desc=description, unit="clip", mininterval=interval_s)
