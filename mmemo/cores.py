"""How many processes this machine runs side by side."""

from __future__ import annotations

import os


def num_cores() -> int:
    """Cores that this process may use; all of the machine's where the system does not tell."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
