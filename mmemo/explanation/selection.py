"""Which utterances of a run are explained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmemo.errors import InputError
from mmemo.evaluation.predictions import PROBABILITY_PREFIX


@dataclass(frozen=True)
class Selection:
    """Chosen utterances: all that any of the ways chooses, each once.

    Args:
        keys: By their keys, of any split.
        one_per_class: Of each class the most confident one that is predicted right.
        errors: Of each annotated class the most confident one that is predicted wrong.
        num_random: So many at random, all where there are fewer.
        all_utterances: The whole split.
        split: "test" or "val", for all but the keys.
        seed: Of the random ones.

    Raises:
        InputError: If a number is below 1, or there is no such split.
    """

    keys: Sequence[str] = ()
    one_per_class: bool = False
    errors: bool = False
    num_random: int | None = None
    all_utterances: bool = False
    split: str = "test"
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.num_random is not None and self.num_random < 1:
            raise InputError(f"num_random: expected at least 1, got {self.num_random}")
        if self.split not in ("test", "val"):
            raise InputError(f"split: expected test or val, got '{self.split}'")

    @property
    def name(self) -> str:
        """Its ways in a word or two; without any, one of each class is chosen."""
        ways = {
            "keys": bool(self.keys),
            "one_per_class": self.one_per_class,
            "errors": self.errors,
            f"random_{self.num_random}": self.num_random is not None,
            "all": self.all_utterances,
        }
        return "-".join(name for name, is_chosen in ways.items() if is_chosen) or "one_per_class"

    def choose(self, table: pd.DataFrame) -> list[str]:
        """Keys of the chosen utterances.

        Args:
            table: The run's predictions.

        Raises:
            InputError: If nothing is chosen.
        """
        rows = table[table["split"] == self.split]
        is_right = rows["pred"] == rows["target"]
        found = list(self.keys)
        if self.one_per_class or self.name == "one_per_class":
            found += most_confident(rows[is_right])
        if self.errors:
            found += most_confident(rows[~is_right])
        if self.num_random is not None:
            order = np.random.default_rng(self.seed).permutation(len(rows))
            found += rows["key"].iloc[np.sort(order[: self.num_random])].tolist()
        if self.all_utterances:
            found += rows["key"].tolist()
        if not found:
            raise InputError(
                f"{self.name}: expected utterances of the split '{self.split}' to explain, found "
                "none; choose others with keys, num_random or all"
            )
        return list(dict.fromkeys(str(key) for key in found))


def no_such_key(key: str, example: str) -> InputError:
    """What to raise for a key that is none of the run's; ``example`` is one that is."""
    return InputError(
        f"keys: expected keys of utterances that the run was given, such as {example}, got {key}; "
        "the table of predictions has those of validation and test"
    )


def most_confident(rows: pd.DataFrame) -> list[str]:
    """For each annotated class, in alphabetical order, the row with the surest prediction.

    Of equals the one with the first key in alphabetical order.
    """
    columns = [column for column in rows.columns if str(column).startswith(PROBABILITY_PREFIX)]
    ranked = rows.assign(confidence=rows[columns].max(axis=1))
    ranked = ranked.sort_values(["target", "confidence", "key"], ascending=[True, False, True])
    keys: list[str] = ranked.groupby("target", sort=True)["key"].first().tolist()
    return keys
