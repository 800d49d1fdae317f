"""Scores of test by groups of speakers, recordings and utterances, and whether they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, lgamma
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmemo.errors import InputError
from mmemo.evaluation.confusion_scores import (
    METRICS,
    Floats,
    Metric,
    Tallies,
    class_numbers,
    misjudged_as,
    only_of,
)
from mmemo.evaluation.group_metrics import (
    MISJUDGED,
    GroupColumn,
    GroupGap,
    GroupMetrics,
    GroupScores,
)
from mmemo.evaluation.grouping import UNKNOWN, Grouping
from mmemo.evaluation.intervals import RUN_CONFIDENCE, UnitTallies, score_intervals
from mmemo.evaluation.predictions import CORPUS, classes_of, trait_columns
from mmemo.evaluation.significance import SAME, holm
from mmemo.evaluation.traits import OF_UTTERANCES
from mmemo.evaluation.units import MIN_EFFECTIVE_UNITS, UNIT, UNIT_COLUMNS, Units, plural
from mmemo.values import check_whole

SCORES = ("accuracy", "uar", "macro_f1")

SPEAKER, DURATION = "speaker", "duration_s"

NAMES = {SPEAKER, CORPUS, *OF_UTTERANCES}
"""Columns whose values are names, where they are written as numbers too: they make no bands."""

PERMUTATIONS_AT_A_TIME = 20


@dataclass(frozen=True)
class Subgroups:
    """Scores by groups, and the largest gap between them tested over what belongs together.

    Args:
        columns: Columns to group by; None for all that the prediction table has.
        metric: That gaps are of: "uar", "accuracy", "macro_f1".
        harmful_class: The class that it harms to be taken for; left out where a run lacks it, or
            it is None.
        min_utterances: Smaller groups are counted, and not scored.
        max_groups: So many of a column, the largest.
        num_bands: Of numbers, such as lengths.
        num_permutations: Of groups over units, for the test of the gap.
        seed: Of these.

    Raises:
        InputError: If a number or the metric is none that there is.
    """

    columns: Sequence[str] | None = None
    metric: str = "uar"
    harmful_class: str | None = "anger"
    min_utterances: int = 20
    max_groups: int = 50
    num_bands: int = 4
    num_permutations: int = 1999
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be computed."""
        if self.metric not in SCORES:
            raise InputError(
                f"subgroups.metric: expected one of {', '.join(SCORES)}, got '{self.metric}'"
            )
        named = self.columns is None or isinstance(self.columns, list | tuple)
        if not named or not all(isinstance(name, str) for name in self.columns or ()):
            raise InputError(
                f"subgroups.columns: expected names of columns, got {self.columns}; write "
                "subgroups.columns=[speaker,sex]"
            )
        check_whole("subgroups.min_utterances", self.min_utterances, 1)
        check_whole("subgroups.max_groups", self.max_groups, 2)
        check_whole("subgroups.num_bands", self.num_bands, 2)
        check_whole("subgroups.num_permutations", self.num_permutations, 1)
        check_whole("subgroups.seed", self.seed, 0)

    def scores(self, test: pd.DataFrame, unit: str) -> GroupMetrics:
        """Score the groups of each column, and test the gaps of all of them together.

        Args:
            test: Prediction table of test, with the column ``unit``.
            unit: What that names.
        """
        harmful = self.harmful_place(classes_of(test))
        found: dict[str, GroupColumn] = {}
        by_column = self._values_of(test)
        unknown = [name for name in self.columns or () if name not in by_column]
        left_out = dict.fromkeys(unknown, "the corpus does not tell it")
        for name, values in by_column.items():
            kept, small = self._grouping(name, values)
            if len(kept.names) < 2:
                left_out[name] = self._few(small, kept)
                continue
            unit_name, labels = _units(name, test, unit)
            column = _Column(test, kept, unit_name, labels, harmful)
            notes = _notes(column, len(small) + len(kept.names), self.max_groups, small)
            found[name] = GroupColumn(
                unit=unit_name,
                groups=column.scores(),
                gap=column.gap(self.metric, self.num_permutations, self.seed),
                misjudged_gap=column.gap(MISJUDGED, self.num_permutations, self.seed),
                too_small=small,
                num_unknown=int((values.isna() | (values.astype(str) == UNKNOWN)).sum()),
                notes=notes,
            )
        return GroupMetrics(
            metric=self.metric,
            harmful_class=None if harmful is None else self.harmful_class,
            min_utterances=self.min_utterances,
            confidence=RUN_CONFIDENCE,
            columns=_adjusted(found),
            left_out=left_out,
        )

    def harmful_place(self, classes: Sequence[str]) -> int | None:
        """The harmful class' place in label order; None where it is none of these."""
        names = list(classes)
        return names.index(str(self.harmful_class)) if self.harmful_class in names else None

    def _values_of(self, test: pd.DataFrame) -> dict[str, pd.Series[Any]]:
        """By column what it says of each row; of several corpora alone which one it is."""
        there = {SPEAKER: SPEAKER, CORPUS: CORPUS, **trait_columns(test), DURATION: DURATION}
        there = {name: column for name, column in there.items() if column in test}
        if self.columns is None:
            return {n: test[c] for n, c in there.items() if n != CORPUS or test[c].nunique() > 1}
        return {name: test[there[name]] for name in self.columns if name in there}

    def groupings(self, test: pd.DataFrame) -> dict[str, Grouping]:
        """By column the groups that are large enough, where there are two or more.

        Columns that are asked for and not there are left out: earlier runs do not tell of them.
        """
        found = {name: self._grouping(name, v)[0] for name, v in self._values_of(test).items()}
        return {name: grouping for name, grouping in found.items() if len(grouping.names) > 1}

    def _grouping(self, name: str, values: pd.Series[Any]) -> tuple[Grouping, dict[str, int]]:
        """The groups that a column makes, and the sizes of those that are too small."""
        grouping = Grouping.of(values, None if name in NAMES else self.num_bands)
        return grouping.only_of(self.min_utterances, self.max_groups)

    def _few(self, small: Mapping[str, int], kept: Grouping) -> str:
        if not small and len(kept.names) == 1:
            return f"all are {kept.names[0]}"
        if not small and not kept.names:
            return "nothing is known of it"
        return (
            f"{len(kept.names) or 'none'} of {len(small) + len(kept.names)} groups "
            f"{'has' if len(kept.names) == 1 else 'have'} {self.min_utterances} utterances"
        )


def group_metrics(harmful: int | None) -> dict[str, Metric]:
    """By name what groups are scored by.

    Args:
        harmful: Place of the harmful class; None for none.
    """
    found = {name: METRICS[name] for name in SCORES}
    return found if harmful is None else {**found, MISJUDGED: misjudged_as(harmful)}


class _Column:
    """The rows of a column's groups, counted by unit and group.

    Args:
        test: Prediction table.
        grouping: Of its rows.
        unit: What rows are drawn with.
        labels: (N,), which.
        harmful: Place of the harmful class; None for none.
    """

    def __init__(
        self,
        test: pd.DataFrame,
        grouping: Grouping,
        unit: str,
        labels: pd.Series[str],
        harmful: int | None,
    ) -> None:
        kept = grouping.of_rows >= 0
        self.classes = classes_of(test)
        rows = test[kept]
        self.target, self.pred = (
            class_numbers(rows[column], self.classes) for column in ("target", "pred")
        )
        self.group = grouping.of_rows[kept]
        self.names = grouping.names
        self.unit_name = unit
        self.unit = pd.factorize(labels[kept].to_numpy(dtype=object), sort=True)[0].astype(np.int64)
        self.harmful = harmful
        self.metrics = group_metrics(harmful)
        # A cell is what one unit has in one group.
        keys = self.unit * len(self.names) + self.group
        cells, number = np.unique(keys, return_inverse=True)
        self.cell_unit, self.cell_group = cells // len(self.names), cells % len(self.names)
        counted = UnitTallies.of(
            self.target, [self.pred], len(self.classes), Units(unit, number.astype(np.int64))
        )
        self.cells = np.concatenate(
            [counted.right[0], counted.predicted[0], counted.annotated], axis=1
        )

    @property
    def groups_of_units(self) -> NDArray[np.int64]:
        """In how many groups each unit is (U,)."""
        return np.bincount(self.cell_unit)

    @property
    def units_of_groups(self) -> NDArray[np.int64]:
        """How many units each group has (G,)."""
        return np.bincount(self.cell_group, minlength=len(self.names))

    def scores(self) -> dict[str, GroupScores]:
        """By group."""
        return {name: self._scores(place) for place, name in enumerate(self.names)}

    def _scores(self, group: int) -> GroupScores:
        rows = self.group == group
        number = np.unique(self.unit[rows], return_inverse=True)[1].astype(np.int64)
        units = Units(self.unit_name, number)
        counts = UnitTallies.of(self.target[rows], [self.pred[rows]], len(self.classes), units)
        metrics = {n: m for n, m in self.metrics.items() if n != MISJUDGED or self._others[group]}
        drawn = {n: only_of(m, self._counted) if n == MISJUDGED else m for n, m in metrics.items()}
        bounds = score_intervals(counts, units, drawn)
        return GroupScores(
            num_utterances=int(rows.sum()),
            num_units=units.num,
            scores={n: float(counts.scores(metric)[0]) for n, metric in metrics.items()},
            # The same in all draws is no certainty.
            intervals={n: b if b is not None and b[0] < b[1] else None for n, b in bounds.items()},
        )

    @property
    def _others(self) -> Floats:
        """Utterances of each group (G,) that are not of the harmful class."""
        others: Floats = self._counted(self._tallies(self.cell_group[None]))[0]
        return others

    def _counted(self, tallies: Tallies) -> Floats:
        """Utterances (...) that are not of the harmful class, of tallies (..., C)."""
        harmful = tallies.annotated[..., self.harmful] if self.harmful is not None else 0.0
        others: Floats = tallies.annotated.sum(axis=-1) - harmful
        return others

    def gap(self, name: str, num_permutations: int, seed: int) -> GroupGap | None:
        """The largest difference between two groups, tested; None without such a score."""
        metric = self.metrics.get(name)
        if metric is None or (name == MISJUDGED and not self._others.all()):
            return None
        seen = metric(self._tallies(self.cell_group[None]))[0]
        low, high = int(seen.argmin()), int(seen.argmax())
        value = float(seen[high] - seen[low])
        if low == high or value <= SAME:
            return None
        smallest = self.smallest_p(num_permutations)
        p = None
        if smallest is not None:
            exceeding = 0
            for groups in self._permuted(num_permutations, seed):
                found = metric(self._tallies(groups))
                exceeding += int((np.ptp(found, axis=1) >= value - SAME).sum())
            p = (exceeding + 1) / (num_permutations + 1)
        return GroupGap(self.names[low], self.names[high], value, p, None, smallest)

    def _tallies(self, groups: NDArray[np.int64]) -> Tallies:
        """Tallies (R, G, C) where cells (M,) are of groups (R, M)."""
        member = (groups[:, None, :] == np.arange(len(self.names))[:, None]).astype(np.float64)
        return Tallies(*np.split(member @ self.cells, 3, axis=-1))

    @property
    def _blocks(self) -> NDArray[np.int64]:
        """In which each cell (M,) may change its group with others.

        Where most units are in several groups, each unit is a block: what is alike in it cancels.
        Where each is in one, all are one block. So they are where few are in several: these count
        as two units each, which errs on the safe side.
        """
        is_crossed = 2 * int((self.groups_of_units > 1).sum()) > len(self.groups_of_units)
        return self.cell_unit if is_crossed else np.zeros_like(self.cell_unit)

    def _permuted(self, num: int, seed: int) -> Iterator[NDArray[np.int64]]:
        """Groups of the cells (R, M), permuted within blocks, some at a time."""
        random = np.random.default_rng(seed)
        order = np.argsort(self._blocks, kind="stable")
        blocks, groups = self._blocks[order], self.cell_group[order]
        for start in range(0, num, PERMUTATIONS_AT_A_TIME):
            size = min(PERMUTATIONS_AT_A_TIME, num - start)
            drawn = np.argsort(blocks + random.random((size, len(blocks))), axis=1)
            back = np.empty((size, len(blocks)), np.int64)
            back[:, order] = groups[drawn]
            yield back

    def smallest_p(self, num_permutations: int) -> float | None:
        """One over the number of ways to permute; None where there is one way alone."""
        logarithm = 0.0
        for block in np.unique(self._blocks):
            counts = np.bincount(self.cell_group[self._blocks == block])
            logarithm += lgamma(counts.sum() + 1) - sum(lgamma(count + 1) for count in counts)
        if logarithm < SAME:
            return None
        return max(exp(-logarithm), 1 / (num_permutations + 1))


def _units(column: str, test: pd.DataFrame, unit: str) -> tuple[str, pd.Series[str]]:
    """What the rows of a column's groups are drawn with: speakers where they are known.

    Speakers themselves are compared on their dialogues, else on their utterances.
    """
    speakers = test[SPEAKER].fillna("").astype(str)
    if column != SPEAKER:
        if (speakers != "").all() and speakers.nunique() > 1:
            return SPEAKER, speakers
        return unit, test[UNIT].astype(str)
    if unit != SPEAKER:
        return unit, test[UNIT].astype(str)
    dialogues = UNIT_COLUMNS["dialogue"]
    if test.duplicated(dialogues).any():
        return "dialogue", test[dialogues].astype(str).agg("/".join, axis=1)
    return "utterance", test["key"].astype(str)


def _notes(
    column: _Column, num_groups: int, max_groups: int, small: Mapping[str, int]
) -> tuple[str, ...]:
    notes = []
    if column.unit_name == SPEAKER and (column.units_of_groups < 2).any():
        notes.append(
            "A group of one speaker tells of that speaker alone: a gap to it may be one between "
            "persons."
        )
    elif (column.units_of_groups < 2).any():
        notes.append(f"Some group is of one {column.unit_name} alone.")
    if (column.units_of_groups < MIN_EFFECTIVE_UNITS).any():
        notes.append(
            f"Groups of fewer than {MIN_EFFECTIVE_UNITS} {plural(column.unit_name)} have no "
            "interval."
        )
    smallest = column.smallest_p(10**9)
    if smallest is None:
        notes.append(f"No test: {plural(column.unit_name)} cannot change their groups.")
    elif smallest > 0.05:
        notes.append(
            f"So few {plural(column.unit_name)} can be dealt to the groups in few ways: no p "
            f"below {smallest:.2g} is possible."
        )
    if num_groups - len(small) > max_groups:
        notes.append(f"The {max_groups} largest of {num_groups - len(small)} groups.")
    return tuple(notes)


def _adjusted(columns: Mapping[str, GroupColumn]) -> dict[str, GroupColumn]:
    """The columns with p values of all gaps adjusted together."""
    kinds = ("gap", "misjudged_gap")
    places = [(name, kind) for name in columns for kind in kinds]
    gaps = {place: getattr(columns[place[0]], place[1]) for place in places}
    tested = {place: gap for place, gap in gaps.items() if gap is not None and gap.p is not None}
    adjusted = dict(zip(tested, holm([gap.p for gap in tested.values()]), strict=True))
    found = dict(columns)
    for (name, kind), p in adjusted.items():
        found[name] = replace(found[name], **{kind: replace(tested[name, kind], holm_p=p)})
    return found
