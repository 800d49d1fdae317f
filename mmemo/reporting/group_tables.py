"""Scores by groups as tables and sentences: in a run's report, and in its model card."""

from __future__ import annotations

from collections.abc import Sequence

from mmemo.evaluation.group_metrics import (
    MISJUDGED,
    GroupColumn,
    GroupGap,
    GroupMetrics,
    GroupScores,
)
from mmemo.evaluation.units import plural
from mmemo.reporting.numbers import UNDEFINED, interval, metric_name, p_value, percent, score
from mmemo.reporting.tables import Table, table_of

COLUMN_NAMES = {
    "duration_s": "length (s)",
    "level_db": "loudness (dB of full scale)",
    "snr_db": "SNR (dB, estimated)",
}
"""What columns are called that have no name of the corpus' own."""


def column_name(column: str) -> str:
    """A column in words."""
    return COLUMN_NAMES.get(column, column)


def gaps_table(groups: GroupMetrics) -> Table:
    """A row for each column: its worst and best group, and whether they differ."""
    metric = metric_name(groups.metric)
    header = ["by", "groups", f"lowest {metric}", f"highest {metric}", "gap", "p\n(Holm)", "over"]
    if groups.harmful_class is not None:
        header += [f"most taken for\n{groups.harmful_class}", "gap", "p\n(Holm)"]
    rows = []
    for name, column in groups.columns.items():
        gap = column.gap
        row = [column_name(name), str(len(column.groups))]
        ends = (None, None) if gap is None else (gap.lowest, gap.highest)
        row += [_place(end, column, groups.metric) for end in ends]
        row += [*_gap(gap), column.unit]
        if groups.harmful_class is not None:
            harm = column.misjudged_gap
            row += [_place(None if harm is None else harm.highest, column, MISJUDGED), *_gap(harm)]
        rows.append(row)
    align = "lrllrrl" + ("lrr" if groups.harmful_class is not None else "")
    return table_of("gaps", "", header, align, rows)


def _place(group: str | None, column: GroupColumn, metric: str) -> str:
    if group is None:
        return UNDEFINED
    return f"{group}: {score(column.groups[group].scores[metric])}"


def _gap(gap: GroupGap | None) -> list[str]:
    if gap is None:
        return [UNDEFINED, UNDEFINED]
    return [score(gap.value), f"{p_value(gap.p)}\n({p_value(gap.holm_p)})"]


def group_table(name: str, groups: GroupMetrics, most: int | None = None) -> Table:
    """The groups of one column, in their order, or so many with the lowest score.

    Args:
        name: Of the column.
        groups: All columns.
        most: Rows at most; None for all, in the column's order.
    """
    column = groups.columns[name]
    shown = list(column.groups.items())
    if most is not None:
        shown = sorted(shown, key=lambda item: item[1].scores[groups.metric])[:most]
    scores = [groups.metric, *(s for s in ("accuracy", "uar") if s != groups.metric)][:2]
    kinds = [*scores, *([MISJUDGED] if groups.harmful_class is not None else [])]
    header = [column_name(name), "N", plural(column.unit)]
    for kind in kinds:
        called = f"taken for {groups.harmful_class}" if kind == MISJUDGED else metric_name(kind)
        header += [called, f"{percent(groups.confidence)} interval"]
    rows = [
        [group, str(found.num_utterances), str(found.num_units), *_scores(found, kinds)]
        for group, found in shown
    ]
    return table_of(f"by {name}", "", header, "lrr" + "rr" * len(kinds), rows)


def _scores(found: GroupScores, kinds: Sequence[str]) -> list[str]:
    cells = []
    for kind in kinds:
        cells += [score(found.scores.get(kind)), interval(found.intervals.get(kind))]
    return cells


def reading_sentences(groups: GroupMetrics) -> list[str]:
    """What has to be known to read these tables."""
    harm = ""
    if groups.harmful_class is not None:
        harm = (
            f" “Taken for {groups.harmful_class}”: the share of a group's utterances of other "
            "classes that was."
        )
    found = [
        f"Groups of at least {groups.min_utterances} test utterances.{harm} p: how often a largest "
        "gap is as large where speakers (or what the column “over” names) are dealt to the groups "
        "by chance; in brackets adjusted for all gaps of the table. A gap may come from other "
        "classes, words or recordings in a group, not from who speaks."
    ]
    # What holds of several columns is told once.
    notes: dict[str, list[str]] = {}
    for name, column in groups.columns.items():
        own = list(column.notes)
        if column.too_small:
            sizes = list(column.too_small.values())
            own.append(f"{len(sizes)} smaller groups with {sum(sizes)} utterances.")
        if column.num_unknown:
            own.append(f"unknown of {column.num_unknown} utterances.")
        for note in own:
            notes.setdefault(note, []).append(column_name(name))
    found += [f"{', '.join(names)}: {note}" for note, names in notes.items()]
    for name, why in groups.left_out.items():
        found.append(f"{column_name(name)}: not compared, {why}.")
    return found
