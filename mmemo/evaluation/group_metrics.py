"""What ``metrics.json`` tells of groups: for whom a run is good, and for whom not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import FiniteFloat

MISJUDGED = "misjudged"
"""Name of the share of other classes' utterances that was taken for the harmful class."""

Bounds = tuple[FiniteFloat, FiniteFloat]


@dataclass(frozen=True)
class GroupScores:
    """Scores of the test rows of one group.

    Args:
        num_utterances: How many they are.
        num_units: Of what is drawn for the intervals.
        scores: By metric: accuracy, UAR, macro F1; ``misjudged`` is the share of the rows of other
            classes that was taken for the harmful class, and not there without such rows.
        intervals: By metric; None where there are few units or nothing varies.
    """

    num_utterances: int
    num_units: int
    scores: Mapping[str, FiniteFloat]
    intervals: Mapping[str, Bounds | None]


@dataclass(frozen=True)
class GroupGap:
    """The largest difference between groups of one column, in one score.

    Args:
        lowest: Name of the group with the lowest score.
        highest: Name of the group with the highest.
        value: Their difference.
        p: Of a gap as large where groups are labels without meaning, by permuting them over units;
            None where they cannot be permuted.
        holm_p: The same, adjusted for all columns by Holm's method.
        smallest_p: What so few units can give at least.
    """

    lowest: str
    highest: str
    value: FiniteFloat
    p: FiniteFloat | None
    holm_p: FiniteFloat | None
    smallest_p: FiniteFloat | None


@dataclass(frozen=True)
class GroupColumn:
    """Scores of test by the values of one column.

    Args:
        unit: What is drawn and permuted: "speaker".
        groups: By value, in order.
        gap: Of the metric; None of fewer than two groups.
        misjudged_gap: Of what was taken for the harmful class.
        too_small: Rows of each group that has too few to be scored.
        num_unknown: Rows that the column says nothing of.
        notes: What has to be known to read it.
    """

    unit: str
    groups: Mapping[str, GroupScores]
    gap: GroupGap | None
    misjudged_gap: GroupGap | None
    too_small: Mapping[str, int] = field(default_factory=dict)
    num_unknown: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class GroupMetrics:
    """For whom a run is good on test, and for whom not.

    Args:
        metric: That gaps are of.
        harmful_class: The class that it harms to be taken for; None for none.
        min_utterances: Smaller groups have no scores.
        confidence: Of the intervals.
        columns: By column.
        left_out: Columns without two groups that are large enough, and why.
    """

    metric: str
    harmful_class: str | None
    min_utterances: int
    confidence: FiniteFloat
    columns: Mapping[str, GroupColumn]
    left_out: Mapping[str, str] = field(default_factory=dict)
