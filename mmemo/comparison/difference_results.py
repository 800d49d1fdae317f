"""Differences between groups and what they rest on, as a comparison tells them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mmemo.evaluation.intervals import Interval
from mmemo.evaluation.significance import SeedTest


@dataclass(frozen=True)
class SmallestP:
    """The least that p values counted from resamples can be."""

    bootstrap_p: float | None
    randomisation_p: float | None


@dataclass(frozen=True)
class InferenceFacts:
    """What intervals and tests of a table rest on.

    Args:
        unit: What is drawn anew: "dialogue".
        num_units: How many of them the test split has.
        effective_units: So many of equal size vary as much.
        is_unit_of_split: Whether that is what the split keeps together.
        kinds: What the two kinds of interval are of, by name.
        num_comparisons: Differences that p values are adjusted for.
        num_resamples: Resamples of bootstrap and randomisation.
        smallest_p: Least p values of one comparison.
        smallest_adjusted_p: Least p values when all comparisons are adjusted by Holm's method.
        is_jackknife: Whether the interval of these trained models leaves out one unit at a time,
            as units are few.
    """

    unit: str
    num_units: int
    effective_units: float
    is_unit_of_split: bool
    kinds: Mapping[str, str]
    num_comparisons: int
    num_resamples: int
    smallest_p: SmallestP
    smallest_adjusted_p: SmallestP
    is_jackknife: bool = False


@dataclass(frozen=True)
class SeedMcNemar:
    """McNemar's test of the two runs of one seed.

    Args:
        seed: Seed of the two runs.
        p: Over units; None where there is one unit alone.
        only_a_right: Utterances that the first group's run alone gets right.
        only_b_right: Utterances that the second group's run alone gets right.
    """

    seed: int
    p: float | None
    only_a_right: int
    only_b_right: int


@dataclass(frozen=True)
class AdjustedP:
    """P values adjusted by Holm's method for all comparisons of the table."""

    setting_p: float | None
    bootstrap_p: float | None
    randomisation_p: float | None


@dataclass(frozen=True)
class Difference:
    """One group minus another on test.

    Args:
        a: Name of the first group.
        b: Name of the second group.
        difference: Mean over seeds of the first minus that of the second.
        interval: Bounds for the settings: seeds and test units drawn anew.
        setting_p: P value of no difference between the settings, by the same model.
        interval_models: Bounds for these trained models, by bootstrap over units.
        bootstrap_p: P value of no difference between these models, by the same resamples.
        holm: The three p values of the table's comparisons, adjusted.
        randomisation_p: P value by approximate randomisation of units over the common seeds.
        mcnemar: McNemar's test of each common seed.
        wilcoxon: Signed-rank test over the common seeds.
        sign_test: Sign test over the common seeds.
    """

    a: str
    b: str
    difference: float
    interval: Interval | None
    setting_p: float | None
    interval_models: Interval | None
    bootstrap_p: float | None
    holm: AdjustedP
    randomisation_p: float | None
    mcnemar: tuple[SeedMcNemar, ...]
    wilcoxon: SeedTest
    sign_test: SeedTest
