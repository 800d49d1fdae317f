"""What is explained: which utterances of a run, which class of each, and which number F of it.

Names are looked up here before torch is imported, which takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mmemo.errors import InputError
from mmemo.evaluation.predictions import PROBABILITY_PREFIX

if TYPE_CHECKING:
    from torch import Tensor

Output = Callable[["Tensor", int], "Tensor"]

PREDICTED, TRUE = "predicted", "true"
"""Targets that differ from utterance to utterance."""

OUTPUTS = {
    "log_odds": "log odds, log(p / (1 - p))",
    "logit": "logit",
    "log_probability": "log probability",
    "probability": "probability",
}
"""What of the target class can be explained, in words."""


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


def logit(logits: Tensor, target: int) -> Tensor:
    """The class' logit: (N, C) to (N,)."""
    return logits[:, target]


def log_odds(logits: Tensor, target: int) -> Tensor:
    """log(p / (1 - p)) for the class' probability p: (N, C) to (N,).

    What lifts all logits alike, and so changes no answer, does not move it; and it does not
    saturate where the model is sure.
    """
    import torch

    others = torch.cat([logits[:, :target], logits[:, target + 1 :]], dim=1)
    return logits[:, target] - others.logsumexp(dim=1)


def log_probability(logits: Tensor, target: int) -> Tensor:
    """The natural logarithm of the class' probability: (N, C) to (N,)."""
    return logits.log_softmax(dim=1)[:, target]


def probability(logits: Tensor, target: int) -> Tensor:
    """The class' probability: (N, C) to (N,)."""
    return logits.softmax(dim=1)[:, target]


_OUTPUTS: dict[str, Output] = {
    output.__name__: output for output in (log_odds, logit, log_probability, probability)
}


def get_output(name: str) -> Output:
    """The output of a name.

    Raises:
        InputError: If there is none of that name.
    """
    if name not in _OUTPUTS:
        raise InputError(f"output: expected one of {', '.join(_OUTPUTS)}, got '{name}'")
    return _OUTPUTS[name]


def check_target(target: str, classes: Sequence[str]) -> None:
    """Refuse a target that is none.

    Args:
        target: The class that is explained.
        classes: Names of the model's classes.

    Raises:
        InputError: If it is no class, and neither "predicted" nor "true".
    """
    if target not in (PREDICTED, TRUE, *classes):
        raise InputError(
            f"target: expected {PREDICTED}, {TRUE} or one of {', '.join(classes)}, got '{target}'"
        )
