"""A number of each seed, summed up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np


def seed_summary(values: Iterable[float]) -> dict[str, Any]:
    """Mean, standard deviation (of the sample; None for one value) and the values, by seed."""
    given = [float(value) for value in values]
    sd = float(np.std(given, ddof=1)) if len(given) > 1 else None
    return {"mean": float(np.mean(given)), "sd": sd, "values": given}
