"""A number of each seed, summed up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import FiniteFloat


@dataclass(frozen=True)
class SeedSummary:
    """A number of each seed.

    Args:
        mean: Over the seeds.
        sd: Standard deviation of the sample; None for one value.
        values: By seed.
    """

    mean: FiniteFloat
    sd: FiniteFloat | None
    values: tuple[FiniteFloat, ...]

    @staticmethod
    def of(values: Iterable[float]) -> SeedSummary:
        """Sum up the values, at least one."""
        # Who reads a summary from a file needs no numpy.
        import numpy as np

        given = tuple(float(value) for value in values)
        sd = float(np.std(given, ddof=1)) if len(given) > 1 else None
        return SeedSummary(float(np.mean(given)), sd, given)
