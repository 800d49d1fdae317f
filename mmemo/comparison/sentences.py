"""What a comparison says in sentences, the same in every format."""

from __future__ import annotations

from mmemo.comparison.document import ComparisonDocument, ComparisonTable
from mmemo.comparison.tables import THE_SETTING, THESE_MODELS, interval_kinds, units_text
from mmemo.evaluation.protocol import without_modality
from mmemo.evaluation.units import plural
from mmemo.reporting.numbers import counted, interval, mean_sd, metric_name, percent, plain, score

SAME_SIZE = 0.95
"""Share of the units from which the effective number is not told apart from theirs."""

FIELD_NAMES = {
    "leaky": "LEAKY",
    "missing": "modality withheld",
    "num_utterances": "N",
    "part": "rows of",
    "labels": "label set",
    "split": "split protocol",
}


def title(document: ComparisonDocument) -> str:
    """What is compared by what."""
    return f"Comparison by {metric_name(document.metric)}"


def reading(document: ComparisonDocument) -> str:
    """How the numbers are to be read."""
    return (
        f"Ranked by the mean over seeds on {document.selected_on}, reported on "
        f"{document.reported_on}: mean ± standard deviation over seeds. Intervals "
        f"({percent(document.confidence)}) and p are of two kinds: of the setting, as if seeds "
        "and test units were drawn anew, and of these trained models, as if test units alone were. "
        "Neither draws the training data anew. A – is undefined."
    )


def drawn(document: ComparisonDocument, table: ComparisonTable) -> str:
    """What the intervals and tests of a table draw, and how many of them there are."""
    inference = table.inference
    unit = inference.unit
    reason = "which the split keeps together" if inference.is_unit_of_split else "as asked for"
    effective = inference.effective_units
    size = (
        ""
        if effective > SAME_SIZE * inference.num_units
        else f" (as good as {effective:.0f} of one size)"
    )
    kinds = interval_kinds(document, table)
    of_setting = (
        f"Of the setting: mixed model of seeds and {plural(unit)}. " if THE_SETTING in kinds else ""
    )
    method = "jackknife" if inference.is_jackknife else "bootstrap"
    methods = f"{method} and randomisation" if THESE_MODELS in kinds else "randomisation"
    return (
        f"Test units: {units_text(table)}{size}, {reason}. {of_setting}Of these trained models: "
        f"{methods} over {plural(unit)} ({inference.num_resamples:,} resamples, seed "
        f"{document.seed})."
    )


def fold_choice(document: ComparisonDocument, table: ComparisonTable) -> str | None:
    """What each fold's own validation chooses, and its test score; None without joined folds."""
    choice = table.fold_choice
    if not choice:
        return None
    metric = document.metric
    names = list(dict.fromkeys(choice.chosen.values()))
    folds = "; ".join(
        f"{name} in fold {', '.join(fold for fold, n in choice.chosen.items() if n == name)}"
        for name in names
    )
    test = choice.test[metric]
    kinds = {THE_SETTING: test.interval, "these trained models": test.interval_models}
    bounds = "".join(
        f", {percent(document.confidence)} of {kind} {interval(found)}"
        for kind, found in kinds.items()
        if found is not None
    )
    return (
        f"Chosen in each fold by its own validation: {folds}. Together: test "
        f"{metric_name(metric)} {mean_sd(test)}{bounds} "
        f"({counted(len(choice.seeds), 'seed')}, {units_text(table)})."
    )


def heading(table: ComparisonTable, number: int) -> str:
    """The protocol of a table in one line."""
    protocol = table.protocol
    other = f", evaluated on {protocol.evaluated_on}" if protocol.evaluated_on else ""
    other += f", rows of {protocol.part}" if protocol.part else ""
    return (
        f"Table {number}: {protocol.corpus}, {len(protocol.classes)} classes, "
        f"split {table.stamp}{without_modality(protocol.missing)}{other}"
    )


def classes(table: ComparisonTable) -> str:
    """The classes of a table and its sizes."""
    protocol = table.protocol
    sizes = ", ".join(f"{split} N = {size}" for split, size in protocol.num_utterances.items())
    return f"Classes ({protocol.labels}): {plain(protocol.classes)}. {sizes}."


def not_ranked(table: ComparisonTable, number: int) -> str | None:
    """Why a table is not ranked against the first; None for the first."""
    if not table.differs:
        return None
    fields = "; ".join(
        f"{FIELD_NAMES.get(field, field.replace('_', ' '))}: {plain(first)} → {plain(here)}"
        for field, (first, here) in table.differs.items()
    )
    return (
        f"Not ranked against table 1: the protocols differ (table 1 → table {number}) in {fields}."
    )


def gain_summary(table: ComparisonTable) -> str | None:
    """How often the unimodal models agree, and what an oracle between them would reach."""
    gain = table.modality_gain
    if not gain:
        return None
    models = "; ".join(
        kind if name == kind else f"{kind} ({name})" for kind, name in gain.models.items()
    )
    sentence = f"Compared by modality, the best of each on validation: {models}."
    agreement = gain.agreement
    if not agreement:
        return sentence
    shares = [
        f"{words} {score(share)}"
        for words, share in (
            ("both right", agreement.both_right),
            ("only audio right", agreement.only_audio_right),
            ("only text right", agreement.only_text_right),
            ("neither right", agreement.neither_right),
        )
    ]
    sentence += (
        f" Audio alone and text alone: {', '.join(shares)} (kappa {score(agreement.kappa)})."
    )
    for scores, words in ((gain.oracle, "An oracle between them"), (gain.fused, "The fused model")):
        if scores:
            sentence += (
                f" {words}: accuracy {score(scores.accuracy)}, macro F1 {score(scores.macro_f1)}."
            )
    return sentence


def opening(document: ComparisonDocument, table: ComparisonTable, number: int) -> list[str]:
    """What stands between the heading of a table and its numbers, warnings first."""
    parts = [table.leak_warning, not_ranked(table, number), classes(table)]
    parts += [drawn(document, table), fold_choice(document, table)]
    return [part for part in parts if part]


def left_out(document: ComparisonDocument) -> list[str]:
    """The runs that were left out and why."""
    return [f"{run.run}: {run.reason}" for run in document.left_out]
