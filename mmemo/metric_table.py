"""The table of metrics: what each is called and which way it is better, written once.

Training monitors them, evaluation tells them, comparisons rank by them. Imports nothing heavy:
sweeps and ``--help`` ask too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Direction = Literal["min", "max"]

DIRECTIONS: tuple[Direction, ...] = ("min", "max")


@dataclass(frozen=True)
class MetricEntry:
    """A metric of the table.

    Args:
        name: What it is called in settings, files and tables.
        words: What it is called in sentences.
        direction: Whether the lowest or the highest value is best.
        lowest: The least that it can be; the most is 1.
        aliases: Other names of the same.
        of_class: Whether there is one for each class: ``recall_anger``.
    """

    name: str
    words: str
    direction: Direction = "max"
    lowest: float = 0.0
    aliases: tuple[str, ...] = ()
    of_class: bool = False


LOSS = MetricEntry("loss", "loss", "min")
"""Cross-entropy, which training logs; a comparison has none."""

COMPARED = (
    MetricEntry("accuracy", "accuracy", aliases=("wa", "weighted_accuracy")),
    MetricEntry("macro_f1", "macro F1"),
    MetricEntry("weighted_f1", "weighted F1"),
    MetricEntry("uar", "UAR", aliases=("balanced_accuracy", "macro_recall")),
    MetricEntry("mcc", "MCC", lowest=-1.0),
)
"""What every training logs and every comparison tells."""

OF_CLASSES = (
    MetricEntry("recall", "recall", of_class=True),
    MetricEntry("precision", "precision", of_class=True),
    MetricEntry("f1", "F1", of_class=True),
)
"""Told where they are asked for, by the name of a class."""

ALIAS_WORDS = {
    "wa": "WA",
    "weighted_accuracy": "weighted accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_recall": "macro recall",
}


@dataclass(frozen=True)
class NamedMetric:
    """A metric as it was asked for.

    Args:
        requested: The name as typed: ``wa``, ``recall_anger``.
        entry: What the table has.
        class_name: The class that it is of; None for one of all classes.
    """

    requested: str
    entry: MetricEntry
    class_name: str | None = None

    @property
    def words(self) -> str:
        """``UAR``, ``recall of anger``."""
        if self.class_name is not None:
            return f"{self.entry.words} of {self.class_name}"
        return ALIAS_WORDS.get(self.requested, self.entry.words)


def find_metric(name: str, classes: Iterable[str] | None = None) -> NamedMetric | None:
    """What the table has of a name.

    Args:
        name: Of the metric.
        classes: Names of the classes; None where they are not known, and any may be.

    Returns:
        None where there is no such metric.
    """
    for entry in (LOSS, *COMPARED):
        if name in (entry.name, *entry.aliases):
            return NamedMetric(name, entry)
    for entry in OF_CLASSES:
        prefix = f"{entry.name}_"
        if name.startswith(prefix) and len(name) > len(prefix):
            class_name = name.removeprefix(prefix)
            if classes is None or class_name in classes:
                return NamedMetric(name, entry, class_name)
    return None


def lowest_of(name: str) -> float:
    """The least that a metric of the table can be."""
    found = find_metric(name)
    return 0.0 if found is None else found.entry.lowest


def known_names(classes: Iterable[str] | None = None) -> list[str]:
    """Names that can be asked for, but the loss; with the classes where these are known."""
    named = [name for entry in COMPARED for name in (entry.name, *entry.aliases)]
    of = ["CLASS"] if classes is None else list(classes)
    return [*named, *(f"{entry.name}_{name}" for entry in OF_CLASSES for name in of)]


def metric_words(name: str) -> str:
    """``weighted F1`` for ``weighted_f1``; a metric that is not in the table is its own name."""
    found = find_metric(name)
    return name if found is None else found.words
