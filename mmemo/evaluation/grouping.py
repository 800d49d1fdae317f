"""Groups of the rows of a table, by the values of a column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmemo.evaluation.confusion_scores import Floats

MAX_VALUES = 10
"""Numbers of more different values are put into bands of as many rows each."""


UNKNOWN = ""


@dataclass(frozen=True)
class Grouping:
    """Groups of the rows of a table.

    Args:
        of_rows: (N,), the group's number; -1 where nothing is known.
        names: Of the groups, in order.
    """

    of_rows: NDArray[np.int64]
    names: tuple[str, ...]

    @classmethod
    def of(cls, values: pd.Series[Any], num_bands: int | None) -> Grouping:
        """By the values of a column; many different numbers by bands between their quantiles.

        Args:
            values: (N,), text or numbers; empty or missing where nothing is known.
            num_bands: How many bands; None where numbers are names, such as of speakers.
        """
        text = values.map(lambda value: UNKNOWN if pd.isna(value) else _text(value).strip())
        known = text != UNKNOWN
        numbers = pd.to_numeric(text.where(known), errors="coerce").to_numpy(dtype=np.float64)
        distinct = np.unique(numbers[~np.isnan(numbers)])
        are_numbers = bool(known.any()) and not np.isnan(numbers[known.to_numpy()]).any()
        if are_numbers and num_bands is not None and len(distinct) > MAX_VALUES:
            return cls._bands(numbers, num_bands)
        # By the text too: "1" and "01" are the same number.
        names = sorted(set(text[known]), key=lambda n: (float(n) if are_numbers else 0.0, n))
        places = {name: place for place, name in enumerate(names)}
        return cls(np.array([places.get(name, -1) for name in text], np.int64), tuple(names))

    @classmethod
    def _bands(cls, numbers: Floats, num_bands: int) -> Grouping:
        given = numbers[~np.isnan(numbers)]
        # Written with four digits, and cut where it is written.
        edges = [float(f"{e:.4g}") for e in np.quantile(given, np.arange(1, num_bands) / num_bands)]
        edges = [edge for edge in sorted(set(edges)) if given.min() < edge]
        found = np.searchsorted(edges, numbers, side="right")
        found[np.isnan(numbers)] = -1
        written = [f"{edge:.4g}" for edge in edges]
        middle = [f"{low} to {high}" for low, high in zip(written, written[1:], strict=False)]
        names = [f"below {written[0]}", *middle, f"from {written[-1]}"] if edges else ["all"]
        return cls(found.astype(np.int64), tuple(names))

    def only_of(self, min_rows: int, max_groups: int) -> tuple[Grouping, dict[str, int]]:
        """The largest groups with so many rows, and the sizes of those that have fewer."""
        sizes = np.bincount(self.of_rows[self.of_rows >= 0], minlength=len(self.names))
        large = [place for place in np.argsort(-sizes, kind="stable") if sizes[place] >= min_rows]
        kept = sorted(large[:max_groups])
        small = {name: int(n) for name, n in zip(self.names, sizes, strict=True) if n < min_rows}
        places = np.full(len(self.names) + 1, -1, np.int64)
        places[kept] = np.arange(len(kept))
        return Grouping(places[self.of_rows], tuple(self.names[place] for place in kept)), small


def _text(value: object) -> str:
    """A value as it is shown; of whole numbers without a point."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
