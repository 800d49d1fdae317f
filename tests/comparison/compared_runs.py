"""Answers of few utterances in some dialogues, and the comparison of runs that gave them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmemo.comparison.comparison import Comparison
from mmemo.comparison.runs import find_runs, read_runs
from mmemo.documents import document_text
from tests.comparison.run_folders import predictions

TARGETS = "ajnajnajnajn"
DIALOGUES = "000111222333"
GOOD = ("ajnajnajnajj", "ajnajnajaajn")
BAD = ("ajnaaaajnjjj", "aaaajnaaaajn")


def table(preds: str, split: str = "test") -> pd.DataFrame:
    return predictions(split, TARGETS, preds, DIALOGUES)


def compared(folder: Path, **options: Any) -> dict[str, Any]:  # noqa: ANN401
    """The comparison of the runs in a folder as ``comparison.json`` holds it."""
    document = Comparison(**options).compare(*read_runs(find_runs([folder])))
    content: dict[str, Any] = json.loads(document_text(document))
    return content


MANY = "0123456789abcdefghijklmn"
"""Twenty-four dialogues of two utterances."""


def many(rng: np.random.Generator, share_right: float, split: str = "test") -> pd.DataFrame:
    targets = "ajn" * 16
    preds = "".join(
        target if rng.random() < share_right else rng.choice(list("ajn")) for target in targets
    )
    return predictions(split, targets, preds, "".join(2 * d for d in MANY))
