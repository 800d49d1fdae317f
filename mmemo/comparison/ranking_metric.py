"""The metrics of a comparison: those of the table, and the one that ranks, whoever's it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from mmemo.evaluation.confusion_scores import METRICS, Metric, metric_of, only_of
from mmemo.evaluation.own_metrics import OwnMetric
from mmemo.metric_table import Direction, find_metric

OwnMetrics = Callable[[Sequence[str]], Sequence[OwnMetric]]
"""From the names of classes to the user's metrics."""


@dataclass(frozen=True)
class ComparedMetric:
    """A metric of a comparison.

    Args:
        name: As it was asked for.
        of_tallies: Computes it from counts by class; None where it needs each answer.
        of_answers: Computes it from each answer; None where counts suffice.
        direction: Whether the lowest or the highest is best.
        lowest: The least that it can be.
        highest: The most that it can be.
        class_place: In label order, of the class that it is of; None for all.
    """

    name: str
    of_tallies: Metric | None = None
    of_answers: OwnMetric | None = None
    direction: Direction = "max"
    lowest: float = 0.0
    highest: float = 1.0
    class_place: int | None = None

    @property
    def of_draws(self) -> Metric | None:
        """As ``of_tallies``, but not a number where a draw has nothing of its class."""
        place = self.class_place
        if self.of_tallies is None or place is None:
            return self.of_tallies
        return only_of(self.of_tallies, lambda tallies: tallies.annotated[..., place])

    @property
    def sign(self) -> int:
        """1 where higher is better, else -1."""
        return 1 if self.direction == "max" else -1

    @property
    def span(self) -> float:
        """The most that two values can differ by."""
        return self.highest - self.lowest


@dataclass(frozen=True)
class ComparedMetrics:
    """All metrics of one table of a comparison.

    Args:
        ranking: What ranks, and is tested.
        others: What is told beside it.
    """

    ranking: ComparedMetric
    others: Mapping[str, ComparedMetric] = field(default_factory=dict)

    @classmethod
    def of(
        cls, name: str, classes: Sequence[str], own: OwnMetrics | None = None
    ) -> ComparedMetrics:
        """The table's, and the one that is asked for.

        Args:
            name: The one.
            classes: Names of the classes.
            own: The user's metrics.

        Raises:
            InputError: If there is none of that name, or an own one cannot be built.
        """
        standard = {one: _of_table(one, classes) for one in METRICS}
        if name in standard:
            ranking = standard.pop(name)
            return cls(ranking, standard)
        for metric in own(classes) if own else ():
            if metric.name == name:
                ranking = ComparedMetric(name, None, metric, metric.direction, -math.inf, math.inf)
                return cls(ranking, standard)
        return cls(_of_table(name, classes), standard)

    @property
    def by_name(self) -> dict[str, ComparedMetric]:
        """All of them, in the table's order, one that the table has not at the end."""
        found = {**self.others, self.ranking.name: self.ranking}
        order = [*METRICS, self.ranking.name]
        return {name: found[name] for name in dict.fromkeys(order)}


def _of_table(name: str, classes: Sequence[str]) -> ComparedMetric:
    of_tallies = metric_of(name, classes)
    found = find_metric(name, classes)
    assert found is not None
    return ComparedMetric(
        name,
        of_tallies,
        direction=found.entry.direction,
        lowest=found.entry.lowest,
        class_place=None if found.class_name is None else list(classes).index(found.class_name),
    )
