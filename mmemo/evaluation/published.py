"""Results that others have published, to stand beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from mmemo.errors import InputError
from mmemo.evaluation.confusion_scores import METRICS

FIELDS = ("system", "modalities", "context", "metric", "classes", "split", "value", "source")


@dataclass(frozen=True)
class PublishedResult:
    """One published figure.

    Args:
        corpus: Its name, as in a run's protocol.
        system: What was evaluated.
        modalities: Such as "audio+text".
        context: What beside the utterance the system reads.
        metric: "accuracy", "macro_f1" or "weighted_f1".
        classes: Names of the classes.
        split: The split protocol; "official" is the corpus' own.
        value: Between 0 and 1.
        source: Where it stands.
        sd: Its standard deviation, where it is given.
        num_runs: Runs that it is the mean of, where that is given.
    """

    corpus: str
    system: str
    modalities: str
    context: str
    metric: str
    classes: tuple[str, ...]
    split: str
    value: float
    source: str
    sd: float | None = None
    num_runs: int | None = None

    def document(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self) | {"classes": list(self.classes)}


def read_published(folder: Path) -> list[PublishedResult]:
    """All results in the files of a folder, one file for each corpus.

    Raises:
        InputError: If an entry lacks a field, or its metric or classes are unknown.
    """
    return [entry for path in sorted(folder.glob("*.yaml")) for entry in _read(path)]


def published_for(
    results: Sequence[PublishedResult], protocol: dict[str, Any]
) -> list[PublishedResult]:
    """Those on the corpus that a table of runs is of."""
    return [result for result in results if result.corpus == protocol["corpus"]]


def _read(path: Path) -> list[PublishedResult]:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    label_sets: dict[str, list[str]] = document["classes"]
    results = []
    for entry in document["results"]:
        missing = [name for name in FIELDS if name not in entry]
        if missing or entry["metric"] not in METRICS or entry["classes"] not in label_sets:
            raise InputError(
                f"{path}: expected {', '.join(FIELDS)} with a metric of {', '.join(METRICS)} and "
                f"classes of {', '.join(label_sets)}, got {entry}; correct that entry"
            )
        classes = tuple(label_sets[entry["classes"]])
        results.append(
            PublishedResult(**{**entry, "corpus": document["corpus"], "classes": classes})
        )
    return results
