"""Answers under a condition, kept in files so that none is computed twice."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmemo.evaluation.predictions import PROBABILITY_PREFIX
from mmemo.folders import written_whole
from mmemo.stress.conditions import Condition

Floats = NDArray[np.float64]

FORMAT = 2
"""Raised when the same condition gives other answers than before."""

NOBODY = -1


@dataclass(frozen=True)
class StressAnswers:
    """What a model says of every utterance under one condition.

    Args:
        probabilities: (N, C), NaN where an utterance could not be asked about.
        read: (N), the words that were read; None where they were the utterances' own.
        partners: (N,), places of the utterances whose words were read, ``NOBODY`` where there was
            none; None where they were the utterances' own.
        seconds: What it took to get them.
    """

    probabilities: Floats
    read: tuple[str, ...] | None = None
    partners: NDArray[np.int64] | None = None
    seconds: float = 0.0

    @property
    def is_there(self) -> NDArray[np.bool_]:
        """(N,), which utterances were asked about."""
        found: NDArray[np.bool_] = np.isfinite(self.probabilities.sum(axis=1))
        return found

    @property
    def preds(self) -> NDArray[np.int64]:
        """(N,), class numbers; of what was not asked about 0."""
        found: NDArray[np.int64] = np.nan_to_num(self.probabilities, nan=-1.0).argmax(axis=1)
        return found


@dataclass
class AnswerStore:
    """Files of answers in one folder, named by all that they depend on.

    Args:
        folder: Where they lie.
        model: Digest of the model's weights and of what happens before it.
        keys: Of the utterances.
        classes: In label order.
        seed: Of all draws.
        sound: Which sound conditions begin with, and what takes the denoiser's place.
    """

    folder: Path
    model: str
    keys: Sequence[str]
    classes: Sequence[str]
    seed: int
    sound: str
    _columns: list[str] = field(init=False)

    def __post_init__(self) -> None:
        """Name the columns."""
        self._columns = [PROBABILITY_PREFIX + name for name in self.classes]

    def path(self, condition: Condition) -> Path:
        """The file of a condition."""
        parts = [str(FORMAT), self.model, str(self.seed), condition.identity(), *self.keys]
        if condition.prepares_sound or condition.recogniser is not None:
            parts.append(self.sound)
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]
        return self.folder / f"{digest}.parquet"

    def read(self, condition: Condition) -> StressAnswers | None:
        """What is kept; None where nothing is, or it is damaged."""
        path = self.path(condition)
        if not path.is_file():
            return None
        try:
            table = pd.read_parquet(path)
            if table["key"].tolist() != list(self.keys):
                return None
            probabilities = table[self._columns].to_numpy(dtype=np.float64)
        # What Arrow raises for a damaged file is not told anywhere. It is computed again then.
        except Exception:
            return None
        return StressAnswers(
            probabilities,
            tuple(table["read"]) if "read" in table else None,
            table["partner"].to_numpy(dtype=np.int64) if "partner" in table else None,
            float(table["seconds"].iloc[0]) if len(table) else 0.0,
        )

    def write(self, condition: Condition, answers: StressAnswers) -> None:
        """Keep answers.

        Raises:
            InputError: If they cannot be written.
        """
        table = pd.DataFrame({"key": list(self.keys)})
        table[self._columns] = answers.probabilities
        if answers.read is not None:
            table["read"] = list(answers.read)
        if answers.partners is not None:
            table["partner"] = answers.partners
        table["seconds"] = answers.seconds
        self.folder.mkdir(parents=True, exist_ok=True)
        with written_whole(self.path(condition)) as place:
            table.to_parquet(place, index=False)
