"""What a comparison says in sentences, the same in every format."""

from __future__ import annotations

from typing import Any

from mmemo.evaluation.protocol import without_modality
from mmemo.reporting.comparison_numbers import metric_name, percent, plain, score

FIELD_NAMES = {
    "leaky": "LEAKY",
    "missing": "modality withheld",
    "num_utterances": "N",
    "labels": "label set",
    "split": "split protocol",
}


def title(document: dict[str, Any]) -> str:
    """What is compared by what."""
    return f"Comparison by {metric_name(document['metric'])}"


def reading(document: dict[str, Any]) -> str:
    """How the numbers are to be read."""
    return (
        f"Ranked by the mean over seeds on {document['selected_on']}, reported on "
        f"{document['reported_on']}: mean ± standard deviation over seeds. The "
        f"{percent(document['confidence'])} interval of the mean is by bootstrap over dialogues "
        f"({document['num_resamples']:,} resamples, seed {document['seed']}). A – is undefined."
    )


def heading(table: dict[str, Any], number: int) -> str:
    """The protocol of a table in one line."""
    protocol = table["protocol"]
    return (
        f"Table {number}: {protocol['corpus']}, {len(protocol['classes'])} classes, "
        f"split {table['stamp']}{without_modality(protocol)}"
    )


def classes(table: dict[str, Any]) -> str:
    """The classes of a table and its sizes."""
    protocol = table["protocol"]
    sizes = ", ".join(f"{split} N = {size}" for split, size in protocol["num_utterances"].items())
    return f"Classes ({protocol['labels']}): {plain(protocol['classes'])}. {sizes}."


def not_ranked(table: dict[str, Any], number: int) -> str | None:
    """Why a table is not ranked against the first; None for the first."""
    if not table["differs"]:
        return None
    fields = "; ".join(
        f"{FIELD_NAMES.get(field, field.replace('_', ' '))}: {plain(first)} → {plain(here)}"
        for field, (first, here) in table["differs"].items()
    )
    return (
        f"Not ranked against table 1: the protocols differ (table 1 → table {number}) in {fields}."
    )


def gain_summary(table: dict[str, Any]) -> str | None:
    """How often the unimodal models agree, and what an oracle between them would reach."""
    gain = table["modality_gain"]
    if not gain:
        return None
    models = "; ".join(
        kind if name == kind else f"{kind} ({name})" for kind, name in gain["models"].items()
    )
    sentence = f"Compared by modality, the best of each on validation: {models}."
    agreement = gain["agreement"]
    if not agreement:
        return sentence
    shares = [
        f"{words} {score(agreement[name])}"
        for name, words in (
            ("both_right", "both right"),
            ("only_audio_right", "only audio right"),
            ("only_text_right", "only text right"),
            ("neither_right", "neither right"),
        )
    ]
    sentence += (
        f" Audio alone and text alone: {', '.join(shares)} (kappa {score(agreement['kappa'])})."
    )
    for name, words in (("oracle", "An oracle between them"), ("fused", "The fused model")):
        if values := gain[name]:
            sentence += (
                f" {words}: accuracy {score(values['accuracy'])}, "
                f"macro F1 {score(values['macro_f1'])}."
            )
    return sentence


def opening(table: dict[str, Any], number: int) -> list[str]:
    """What stands between the heading of a table and its numbers, warnings first."""
    parts = [table["leak_warning"], not_ranked(table, number), classes(table)]
    return [part for part in parts if part]


def left_out(document: dict[str, Any]) -> list[str]:
    """The runs that were left out and why."""
    return [f"{entry['run']}: {entry['reason']}" for entry in document["left_out"]]
