"""The audit as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

NAME_WIDTH = 40
CELL_WIDTH = 19
NOTE_WIDTH = 3
MAX_SCENES = 5


def format_audit(document: dict[str, Any]) -> str:
    """The main numbers of ``audit.json``, a column for each split or pair of splits."""
    protocol = document["protocol"]
    parts = [
        f"{protocol['corpus']}: {protocol['source']}",
        "",
        *_split_lines(document),
        "",
        *_pair_lines(document),
        "",
        *_baseline_lines(document),
    ]
    if document["clips"]:
        parts += ["", *_clip_lines(document)]
    return "\n".join(parts) + "\n"


def _line(name: str, cells: Sequence[Any], note: str = "") -> str:
    text = "".join(f"{cell!s:>{CELL_WIDTH}}" for cell in cells)
    return f"{name:<{NAME_WIDTH}}{text}{' ' * NOTE_WIDTH + note if note else ''}"


def _split_lines(document: dict[str, Any]) -> list[str]:
    splits, gaps, spans = document["splits"], document["gaps"], document["spans"]
    limits = document["protocol"]["limits"]
    notes = _official_notes(document)
    labels = sorted({label for split in splits for label in split["labels"]})
    lines = [_line("", [split["split"] for split in splits], notes.pop("", ""))]
    for name in ("rows", "dialogues", "speakers"):
        cells = [split[f"num_{name}"] for split in splits]
        lines.append(_line(name, cells, notes.get(name, "")))
    if any(document["num_unusable"].values()):
        counts = document["num_unusable"]
        known = [split["split"] for split in splits]
        lines.append(_line("rows left out (empty cells)", [counts[name] for name in known]))
        if others := sum(n for name, n in counts.items() if name not in known):
            lines.append(_line("  and of no known split", [others]))
    for label in labels:
        cells = [split["labels"].get(label, 0) for split in splits]
        lines.append(_line(f"  {label}", cells, notes.get(label, "")))
    in_set = [split["num_in_label_set"] for split in splits]
    return [
        *lines,
        _line(f"in the label set '{document['protocol']['labels']}'", in_set),
        *_gap_lines(gaps),
        *_duration_lines(spans, limits, "spans"),
    ]


def _gap_lines(gaps: list[dict[str, Any]]) -> list[str]:
    if not gaps:
        return []
    return [
        _line("dialogue ids left out", [gap["num_missing_dialogues"] for gap in gaps]),
        _line("dialogues that lack utterances", [gap["num_dialogues_with_gaps"] for gap in gaps]),
        _line("utterances that they lack", [gap["num_missing_utterances"] for gap in gaps]),
    ]


def _official_notes(document: dict[str, Any]) -> dict[str, str]:
    """For each row what was published, where it differs; under '' whether all agrees."""
    differences = document["official_differences"]
    if differences is None:
        return {}
    notes: dict[str, str] = {"": "" if differences else "as published"}
    for difference in differences:
        note = f"published: {difference['official']} in {difference['split']}"
        known = notes.get(difference["what"])
        notes[difference["what"]] = f"{known}, {note}" if known else note
    return notes


def _duration_lines(durations: dict[str, Any], limits: dict[str, Any], what: str) -> list[str]:
    splits = durations["splits"]
    return [
        _line(f"{what}: hours", [f"{split['hours']:.2f}" for split in splits]),
        _line(f"{what}: zero or negative", [split["num_not_positive"] for split in splits]),
        _line(f"{what}: below {limits['short_s']} s", [split["num_short"] for split in splits]),
        _line(f"{what}: above {limits['long_s']:.0f} s", [split["num_long"] for split in splits]),
        _line(
            f"{what}: over {limits['max_letters_per_s']:.0f} letters a second",
            durations["num_too_fast"].values(),
        ),
    ]


def _pair_lines(document: dict[str, Any]) -> list[str]:
    names = dict.fromkeys(f"{p['split']} in {p['other']}" for p in document["shared_transcripts"])
    lines = [_line("shared", list(names))]
    if speakers := document["shared_speakers"]:
        rows = [_share(p["num_shared_rows"], p["num_rows"]) for p in speakers]
        cells = [_of(p["num_shared_values"], p["num_values"]) for p in speakers]
        lines += [_line("speakers", cells), _line("  rows of them", rows)]
    else:
        lines.append(_line("speakers", ["not annotated"]))
    episodes = document["shared_episodes"]
    if episodes:
        cells = [_of(pair["num_shared_values"], pair["num_values"]) for pair in episodes]
        lines.append(_line("episodes", cells))
    scopes = dict.fromkeys(pair["scope"] for pair in document["shared_transcripts"])
    for scope in scopes:
        for normalised in (False, True):
            pairs = [
                pair
                for pair in document["shared_transcripts"]
                if pair["scope"] == scope and pair["normalised"] == normalised
            ]
            name = f"texts, {'normalised' if normalised else 'exact'}, {_scope_name(scope)}"
            cells = [_share(pair["num_shared"], pair["num_rows"]) for pair in pairs]
            lines += [
                _line(name, cells),
                _line("  a copy with the same label", [p["num_same_label"] for p in pairs]),
                _line("  copies of other labels only", [p["num_other_label"] for p in pairs]),
            ]
    scenes = document["shared_scenes"]
    collisions = document["collisions"]
    return [
        *lines,
        _line("dialogues at the same time of an episode", [p["num_pairs"] for p in scenes]),
        _line("  one scene by their transcripts too", [pair["num_confirmed"] for pair in scenes]),
        *_confirmed_scenes(scenes),
        f"keys that collide when splits are merged: {collisions['num_keys']} "
        f"({collisions['num_rows']} rows)",
    ]


def _confirmed_scenes(scenes: list[dict[str, Any]]) -> list[str]:
    pairs = [pair for shared in scenes for pair in shared["pairs"] if pair["num_alike"]]
    lines = [
        f"  {pair['dialogue']} and {pair['other_dialogue']}: texts in common {pair['num_alike']}, "
        f"with different labels {pair['num_alike_other_label']}"
        for pair in pairs[:MAX_SCENES]
    ]
    return [*lines, "  …"] if len(pairs) > MAX_SCENES else lines


def _baseline_lines(document: dict[str, Any]) -> list[str]:
    scores = document["baselines"]
    splits = list(dict.fromkeys(score["split"] for score in scores))
    lines = [
        "baselines from train: accuracy, weighted F1, macro F1",
        _line("", splits),
    ]
    by_name: dict[str, list[str]] = {}
    for score in scores:
        name = f"{score['baseline']}, {score['num_classes']} classes"
        metrics = (score[metric] for metric in ("accuracy", "weighted_f1", "macro_f1"))
        by_name.setdefault(name, []).append(" ".join(f"{value:.3f}" for value in metrics))
    return lines + [_line(name, cells) for name, cells in by_name.items()]


def _compared(clips: dict[str, Any]) -> str:
    return f"of {'like length' if clips['near_copies_by_length'] else 'equal text'} compared"


def _near_copies(pairs: list[dict[str, Any]]) -> list[str]:
    lines = [
        f"  {' and '.join(pair['keys'])}: same {pair['alike']}, correlation "
        f"{pair['correlation']:.2f}"
        for pair in pairs[:MAX_SCENES]
    ]
    return [*lines, "  …"] if len(pairs) > MAX_SCENES else lines


def _clip_lines(document: dict[str, Any]) -> list[str]:
    clips = document["clips"]
    limits = document["protocol"]["limits"]
    tolerance = f"{limits['span_tolerance_s']} s"
    spans = clips["spans"]
    states = dict.fromkeys(state for counts in clips["states"].values() for state in counts)
    lines = [_line("clips", clips["states"])]
    for state in states:
        cells = [counts.get(state, 0) for counts in clips["states"].values()]
        lines.append(_line(f"  {state}", cells))
    lines += _duration_lines(clips["durations"], limits, "sound")
    lines += [
        _line(f"sound over {tolerance} longer than its span", [s["num_longer"] for s in spans]),
        _line(f"sound over {tolerance} shorter than its span", [s["num_shorter"] for s in spans]),
        f"groups of clips with identical sound: {clips['num_identical_groups']} "
        f"({clips['num_identical_across_splits']} across splits)",
        f"near copies across splits: {clips['num_near_copies']} pairs of clips "
        f"({_compared(clips)})",
        *_near_copies(clips["near_copies"]),
    ]
    for value, layouts in clips["layouts"].items():
        counts = ", ".join(f"{layout} {count}" for layout, count in layouts.items())
        lines.append(f"channels, {clips['layouts_by']} {value}: {counts}")
    lines.append(f"damaged: {clips['num_damaged']} of the kept clips")
    return lines


def _scope_name(scope: str) -> str:
    return "all rows" if scope == "all" else f"'{scope}'"


def _of(part: int, whole: int) -> str:
    return f"{part} of {whole}"


def _share(part: int, whole: int) -> str:
    return f"{part} ({100 * part / max(1, whole):.1f} %)"
