"""The tables of an audit, for the terminal and the page alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from mmemo.audit.baselines import BaselineScore
from mmemo.audit.clip_checks import ClipChecks
from mmemo.audit.durations import Durations, TimedRow
from mmemo.audit.findings import ALL_ROWS, Audit, Limits
from mmemo.audit.overlaps import SharedTranscripts, SharedValues
from mmemo.audit.scenes import SharedScenes
from mmemo.corpora.facts import Difference
from mmemo.reporting.numbers import UNDEFINED, score
from mmemo.reporting.tables import Table, table_of

MAX_SHOWN = 12
QUANTILE_NAMES = {
    "0.05": "5 % are below, s",
    "0.5": "median, s",
    "0.95": "5 % are above, s",
    "1.0": "longest, s",
}

Row = tuple[str, str, Sequence[object]]
"""Its kind, its name, and what stands in each column."""

Pair = TypeVar("Pair", SharedTranscripts, SharedValues, SharedScenes)


def terms(audit: Audit) -> list[str]:
    """Whether the copy is whole, and the corpus' terms, source and usual split, a line each."""
    facts = audit.facts
    if facts is None:
        return []
    described = {
        "not whole": audit.shortfall,
        "licence": facts.licence,
        "where to get it": facts.homepage,
        "to cite": facts.citation,
        "usual split": facts.usual_split,
    }
    return [f"{name}: {text}" for name, text in described.items() if text]


def labels_of(audit: Audit) -> list[str]:
    """All classes that occur or should: those of the label set in its order, then the others."""
    found = sorted({label for split in audit.splits for label in split.labels} | _expected(audit))
    return list(dict.fromkeys([*audit.protocol.classes, *found]))


def _expected(audit: Audit) -> set[str]:
    facts, column = audit.facts, audit.protocol.label_column
    parts = (facts.total, *facts.splits.values()) if facts else ()
    return {label for part in parts for label in part.labels.get(column, ())}


def counts_table(audit: Audit) -> Table:
    """Rows, dialogues, speakers and classes of each split, with what was published elsewise."""
    splits = audit.splits
    known = [split.split for split in splits]
    rows: list[Row] = [
        ("main", "rows", [split.num_rows for split in splits]),
        ("main", "dialogues", [split.num_dialogues for split in splits]),
        ("main", "speakers", [split.num_speakers for split in splits]),
    ]
    for label in labels_of(audit):
        shares = [_share(split.labels.get(label, 0), split.num_rows) for split in splits]
        rows.append(("sub", label, shares))
    in_set = [_share(split.num_in_label_set, split.num_rows) for split in splits]
    rows += [
        ("", f"in the label set '{audit.protocol.labels}'", in_set),
        (
            "",
            "left out: not usable as annotated",
            [audit.num_unusable.get(name, 0) for name in known],
        ),
    ]
    for name, num in audit.num_unusable.items():
        if num and name not in known:
            rows.append(("", f"left out, of the split '{name}'", [num, *[""] * (len(known) - 1)]))
    if audit.num_repaired is not None:
        repaired = [audit.num_repaired.get(name, 0) for name in known]
        rows.append(("", "text of a wrong encoding repaired", repaired))
    table = _split_table("Rows, dialogues, speakers, classes", "", known, rows)
    if audit.official_differences is None:
        return table
    return _beside_published(table, audit.official_differences)


def _beside_published(table: Table, differences: Sequence[Difference]) -> Table:
    if not differences:
        note = "All counts are the published ones: results can be compared with published ones."
        return replace(table, note=note)
    published: dict[str, list[str]] = {}
    for difference in differences:
        place = f"{difference.official} in {difference.split}"
        published.setdefault(difference.what, []).append(place)
    texts = [", ".join(published.get(name, [])) for name in table.texts.iloc[:, 0]]
    return replace(table, texts=table.texts.assign(published=texts), align=table.align + "l")


def gaps_table(audit: Audit) -> Table:
    """Ids that each split lacks; no rows where the keys are not made of ids."""
    gaps = audit.gaps
    rows: list[Row] = [
        ("", "dialogue ids left out", [gap.num_missing_dialogues for gap in gaps]),
        ("", "dialogues that lack utterances", [gap.num_dialogues_with_gaps for gap in gaps]),
        ("", "utterances that they lack", [gap.num_missing_utterances for gap in gaps]),
    ]
    return _split_table("Gaps", "", [gap.split for gap in gaps], rows if gaps else [])


def durations_table(durations: Durations, limits: Limits) -> Table:
    """Lengths of each split's utterances, and how many stand out."""
    splits = durations.splits
    rows: list[Row] = [
        ("", "rows with a duration", [split.num_rows for split in splits]),
        ("", "hours", [f"{split.hours:.2f}" for split in splits]),
    ]
    for quantile, name in QUANTILE_NAMES.items():
        values = (split.quantiles_s.get(quantile) for split in splits)
        rows.append(("sub", name, [UNDEFINED if s is None else f"{s:.2f}" for s in values]))
    too_fast = f"over {limits.max_letters_per_s:g} letters a second"
    rows += [
        ("", "zero or negative", [split.num_not_positive for split in splits]),
        ("", f"above 0 and below {limits.short_s:g} s", [split.num_short for split in splits]),
        ("", f"above {limits.long_s:g} s", [split.num_long for split in splits]),
        ("", too_fast, [durations.num_too_fast[split.split] for split in splits]),
    ]
    names = [split.split for split in splits]
    return _split_table(f"Durations by {durations.basis}", durations.basis, names, rows)


def timed_table(rows: Sequence[TimedRow], total: int) -> Table:
    """Rows that stand out by their length or by how fast they are spoken."""
    cells = [
        [
            row.key,
            f"{row.duration_s:.3f}",
            UNDEFINED if row.letters_per_s is None else str(row.letters_per_s),
            row.transcript,
        ]
        for row in rows[:MAX_SHOWN]
    ]
    header = ["key", "seconds", "letters/s", "transcript"]
    return table_of("timed", "", header, "lrrl", cells, _cut_note(total))


def shared_table(audit: Audit) -> Table:
    """Speakers, episodes, texts and scenes that two splits share."""
    pairs = list(dict.fromkeys((p.split, p.other) for p in audit.shared_transcripts))
    rows: list[Row] = []
    for values in (audit.shared_speakers, audit.shared_episodes):
        if values:
            found = _of_pairs(values, pairs)
            rows += [
                ("main", values[0].what, [v and _part(v) for v in found]),
                (
                    "sub",
                    "rows of them",
                    [v and _share(v.num_shared_rows, v.num_rows) for v in found],
                ),
            ]
    if not audit.shared_speakers:
        rows.append(("main", "speakers", ["not annotated", *[""] * (len(pairs) - 1)][: len(pairs)]))
    for scope in dict.fromkeys(shared.scope for shared in audit.shared_transcripts):
        for normalised in (False, True):
            texts = [
                shared
                for shared in audit.shared_transcripts
                if (shared.scope, shared.normalised) == (scope, normalised)
            ]
            rows += _text_rows(texts, scope, normalised)
    scenes = _of_pairs(audit.shared_scenes, pairs)
    rows += [
        ("main", "dialogues at the same time of an episode", [s and s.num_pairs for s in scenes]),
        ("sub", "one scene by their transcripts too", [s and s.num_confirmed for s in scenes]),
    ]
    columns = [f"{split} in {other}" for split, other in pairs]
    return _split_table("What splits share", "", columns, rows)


def _text_rows(texts: Sequence[SharedTranscripts], scope: str, normalised: bool) -> list[Row]:
    name = f"texts, {'normalised' if normalised else 'exact'}, {_scope_name(scope)}"
    return [
        ("main", name, [_share(shared.num_shared, shared.num_rows) for shared in texts]),
        ("sub", "different texts", [shared.num_texts for shared in texts]),
        ("sub", "a copy has the same label", [shared.num_same_label for shared in texts]),
        ("sub", "all copies have other labels", [shared.num_other_label for shared in texts]),
        ("sub", "some copy has another label", [shared.num_mixed for shared in texts]),
    ]


def _of_pairs(found: Iterable[Pair], pairs: Sequence[tuple[str, str]]) -> list[Pair | None]:
    by_pair = {(shared.split, shared.other): shared for shared in found}
    return [by_pair.get(pair) for pair in pairs]


def shared_rows_table(audit: Audit) -> Table:
    """Rows whose normalised text stands in another split."""
    rows = [
        [row.key, row.transcript, row.label, row.other, _counted(row.copies)]
        for row in audit.shared_rows[:MAX_SHOWN]
    ]
    header = ["key", "transcript", "label", "copies in", "labels of the copies"]
    return table_of("shared rows", "", header, "lllll", rows, _cut_note(len(audit.shared_rows)))


def scenes_table(scenes: Sequence[SharedScenes]) -> Table:
    """Dialogues of two splits at the same time of one episode."""
    pairs = [pair for shared in scenes for pair in shared.pairs[:MAX_SHOWN]]
    rows = [
        [
            pair.dialogue,
            pair.other_dialogue,
            f"{pair.season}, {pair.episode}",
            str(pair.num_overlapping),
            f"{pair.overlap_s:.1f}",
            str(pair.num_equal),
            str(pair.num_alike),
            str(pair.num_alike_other_label),
        ]
        for pair in pairs
    ]
    names = ["dialogue", "other dialogue", "season, episode"]
    counts = ["overlapping\nutterances", "seconds", "equal\ntexts", "one text\nin the other"]
    header = [*names, *counts, "of these,\nother label"]
    notes = [
        f"{shared.split} and {shared.other}: {_cut_note(shared.num_pairs)}"
        for shared in scenes
        if shared.num_pairs > MAX_SHOWN
    ]
    kinds = ["main" if pair.is_confirmed else "" for pair in pairs]
    return table_of("scenes", "", header, "lllrrrrr", rows, "\n".join(notes), kinds)


def baselines_table(scores: Sequence[BaselineScore]) -> Table:
    """How far the baselines come on each split."""
    rows = [
        [
            f"{found.baseline}, {_scope_name(found.scope)} ({found.num_classes} classes)",
            found.split,
            str(found.num_rows),
            str(found.num_found) if found.baseline == "text lookup" else "",
            *(score(value) for value in (found.accuracy, found.weighted_f1, found.macro_f1)),
        ]
        for found in scores
    ]
    header = ["", "split", "N", "found in train", "accuracy", "weighted F1", "macro F1"]
    kinds = ["main" if found.split == "test" else "" for found in scores]
    return table_of("baselines", "Baselines from train", header, "llrrrrr", rows, kinds=kinds)


def states_table(clips: ClipChecks) -> Table:
    """Rows of each split that were kept, and skipped by reason."""
    states = dict.fromkeys(state for counts in clips.states.values() for state in counts)
    rows: list[Row] = [
        ("", state, [counts.get(state, 0) for counts in clips.states.values()]) for state in states
    ]
    return _split_table("Clips", "rows", list(clips.states), rows)


def sound_and_spans_table(clips: ClipChecks, limits: Limits) -> Table:
    """How many clips are longer or shorter than their annotated span."""
    spans, tolerance = clips.spans, f"{limits.span_tolerance_s:g} s"
    rows: list[Row] = [
        ("", "clips with both", [span.num_compared for span in spans]),
        ("", f"sound over {tolerance} longer than its span", [s.num_longer for s in spans]),
        ("", f"sound over {tolerance} shorter than its span", [s.num_shorter for s in spans]),
    ]
    title = "Sound against annotated spans"
    return _split_table(title, "", [span.split for span in spans], rows)


def span_differences_table(clips: ClipChecks) -> Table:
    """The clips that differ most from their annotated span."""
    rows = [
        [row.key, f"{row.sound_s:.3f}", f"{row.span_s:.3f}"]
        for row in clips.span_differences[:MAX_SHOWN]
    ]
    return table_of("span differences", "", ["key", "sound, s", "span, s"], "lrr", rows)


def layouts_table(clips: ClipChecks) -> Table:
    """Clips by channel layout and season, or split."""
    layouts = list(dict.fromkeys(name for counts in clips.layouts.values() for name in counts))
    rows: list[Row] = [
        ("", f"{clips.layouts_by} {value}", [counts.get(name, 0) for name in layouts])
        for value, counts in clips.layouts.items()
    ]
    return _split_table(f"Channel layout by {clips.layouts_by}", "clips", layouts, rows)


def identical_table(clips: ClipChecks) -> Table:
    """Groups of clips with the very same samples."""
    rows = [
        [
            ", ".join(group.keys[:MAX_SHOWN]),
            ", ".join(group.labels[:MAX_SHOWN]),
            "yes" if group.across_splits else "no",
        ]
        for group in clips.identical[:MAX_SHOWN]
    ]
    header, note = ["keys", "labels", "across splits"], _cut_note(clips.num_identical_groups)
    return table_of("identical clips", "", header, "lll", rows, note)


def near_copies_table(clips: ClipChecks) -> Table:
    """Pairs of clips of different splits that seem to be one."""
    rows = [
        [", ".join(pair.keys), ", ".join(pair.labels), pair.alike, f"{pair.correlation:.2f}"]
        for pair in clips.near_copies[:MAX_SHOWN]
    ]
    header, note = ["keys", "labels", "the same", "correlation"], _cut_note(clips.num_near_copies)
    return table_of("near copies", "", header, "lllr", rows, note)


def _split_table(title: str, corner: str, columns: Sequence[str], rows: Sequence[Row]) -> Table:
    """A table with a column for each split or pair of splits."""
    cells = [
        [name, *(UNDEFINED if value is None else str(value) for value in values)]
        for _, name, values in rows
    ]
    align = "l" + "r" * len(columns)
    kinds = [kind for kind, _, _ in rows]
    return table_of(title, title, [corner, *columns], align, cells, kinds=kinds)


def _cut_note(total: int) -> str:
    return "" if total <= MAX_SHOWN else f"The first {MAX_SHOWN} of {total}; more in audit.json."


def _scope_name(scope: str) -> str:
    return "all rows" if scope == ALL_ROWS else f"'{scope}'"


def _part(values: SharedValues) -> str:
    return f"{values.num_shared_values} of {values.num_values}"


def _share(part: int, whole: int) -> str:
    return f"{part} ({100 * part / max(1, whole):.1f} %)"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{label} {num}" for label, num in counts.items())
