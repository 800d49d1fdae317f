"""The main numbers of an audit, for the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from mmemo.audit.clip_checks import ClipChecks
from mmemo.audit.findings import Audit
from mmemo.audit.scenes import SharedScenes
from mmemo.audit.tables import (
    baselines_table,
    counts_table,
    durations_table,
    gaps_table,
    layouts_table,
    shared_table,
    sound_and_spans_table,
    states_table,
    terms,
)
from mmemo.reporting.tables import plain_console, print_table, printed

MAX_PRINTED = 5
"""Scenes and pairs of clips that are named; the page has more."""


def format_audit(audit: Audit) -> str:
    """The main numbers of an audit, for the terminal."""
    console = plain_console()
    console.print(f"{audit.protocol.corpus}: {audit.protocol.source}", markup=False, soft_wrap=True)
    for line in terms(audit):
        console.print(line, markup=False, soft_wrap=True)
    limits = audit.protocol.limits
    tables = [counts_table(audit), gaps_table(audit), durations_table(audit.spans, limits)]
    for table in tables:
        if len(table):
            print_table(console, table)
    print_table(console, shared_table(audit))
    collisions = audit.collisions
    lines = [
        *(overlap.sentence for overlap in audit.corpus_overlaps),
        *_confirmed_scenes(audit.shared_scenes),
        f"keys that collide when splits are merged: {collisions.num_keys} "
        f"({collisions.num_rows} rows)",
    ]
    console.print("\n".join(lines), markup=False)
    print_table(console, baselines_table(audit.baselines))
    if audit.clips:
        print_table(console, states_table(audit.clips))
        print_table(console, durations_table(audit.clips.durations, limits))
        print_table(console, sound_and_spans_table(audit.clips, limits))
        print_table(console, layouts_table(audit.clips))
        console.print("\n" + "\n".join(_clip_lines(audit.clips)), markup=False)
    return printed(console)


def _confirmed_scenes(scenes: Iterable[SharedScenes]) -> list[str]:
    return _first_lines(
        [
            f"  {pair.dialogue} and {pair.other_dialogue}: texts in common {pair.num_alike}, "
            f"with different labels {pair.num_alike_other_label}"
            for shared in scenes
            for pair in shared.pairs
            if pair.is_confirmed
        ]
    )


def _clip_lines(clips: ClipChecks) -> list[str]:
    compared = "like length" if clips.near_copies_by_length else "equal text"
    pairs = [
        f"  {' and '.join(pair.keys)}: same {pair.alike}, correlation {pair.correlation:.2f}"
        for pair in clips.near_copies
    ]
    return [
        f"groups of clips with identical sound: {clips.num_identical_groups} "
        f"({clips.num_identical_across_splits} across splits)",
        f"near copies across splits: {clips.num_near_copies} pairs of clips "
        f"(of {compared} compared)",
        *_first_lines(pairs),
        f"damaged: {clips.num_damaged} of the kept clips",
    ]


def _first_lines(lines: list[str]) -> list[str]:
    return [*lines[:MAX_PRINTED], "  …"] if len(lines) > MAX_PRINTED else lines
