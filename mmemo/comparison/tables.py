"""The tables of a comparison, as texts that every format is written from."""

from __future__ import annotations

from mmemo.comparison.difference_results import Difference
from mmemo.comparison.document import (
    ComparisonDocument,
    ComparisonTable,
    GroupResult,
    ScoreWithIntervals,
)
from mmemo.comparison.published import published_tables
from mmemo.comparison.runs import Setting
from mmemo.comparison.subgroup_scores import subgroups_table
from mmemo.evaluation.intervals import Interval
from mmemo.evaluation.seed_summary import SeedSummary
from mmemo.metric_table import find_metric
from mmemo.reporting.numbers import (
    UNDEFINED,
    counted,
    duration,
    mean_sd,
    metric_name,
    p_value,
    parameters,
    percent,
    plain,
    score,
    signed,
    signed_mean_sd,
)
from mmemo.reporting.tables import (
    Cell,
    Table,
    interval_cell,
    mean_cell,
    named,
    score_cell,
    table_of,
)

CHOSEN = "†"
"""A mark at the name alone: bold numbers would be read as the highest on test."""

THE_SETTING, THESE_MODELS = "the setting", "these models"

GAIN_NAMES = {
    "class": "class (recall)",
    "class_f1": "class (F1)",
    "duration_s": "duration",
    "num_words": "words",
    "speaker": "speaker",
}


def chosen_note(document: ComparisonDocument) -> str:
    """What the mark says."""
    best = "highest" if document.direction == "max" else "lowest"
    return f"{CHOSEN}: {best} mean on validation, by which groups are chosen and ranked."


def comparison_tables(document: ComparisonDocument, table: ComparisonTable) -> list[Table]:
    """All tables of one protocol, those without rows left out."""
    found = [
        results_table(document, table),
        settings_table(table),
        seeds_table(document, table),
        class_table(document, table),
        cost_table(table),
        calibration_table(document, table),
        subgroups_table(document, table),
        differences_table(document, table),
        *gain_tables(table),
        *published_tables(table.published),
    ]
    return [part for part in found if len(part)]


def results_table(document: ComparisonDocument, table: ComparisonTable) -> Table:
    """Validation and test of each group, best on validation first."""
    metric, sizes = document.metric, table.protocol.num_utterances
    others = [name for name in table.groups[0].test if name != metric]
    kinds = interval_kinds(document, table)
    rows = [
        [
            Cell(str(rank), rank),
            name,
            Cell(str(len(group.seeds)), len(group.seeds)),
            mean_cell(group.val[metric]),
            mean_cell(group.test[metric]),
            *(interval_cell(bounds_of(group.test[metric], kind)) for kind in kinds),
            *(mean_cell(group.test[other]) for other in others),
        ]
        for rank, (group, name) in enumerate(
            zip(table.groups, _group_cells(document, table), strict=True), 1
        )
    ]
    name = metric_name(metric)
    header = ["#", "group", "seeds", f"{name},\nval\n(N = {sizes['val']})"]
    header += [f"{name},\ntest\n(N = {sizes['test']})"]
    header += [f"{percent(document.confidence)} interval,\n{kind}" for kind in kinds]
    header += [f"{metric_name(other)},\ntest" for other in others]
    units = units_text(table)
    note = _what_is_drawn(kinds, table) if kinds else f"No intervals: {units}."
    align = "rl" + "r" * (len(header) - 2)
    return table_of("results", "Results", header, align, rows, f"{note} {chosen_note(document)}")


def interval_kinds(document: ComparisonDocument, table: ComparisonTable) -> list[str]:
    """What the kinds of interval are of that some group has."""
    return _kinds_of([group.test[document.metric] for group in table.groups])


def difference_kinds(table: ComparisonTable) -> list[str]:
    """What the kinds of interval are of that some difference has."""
    return _kinds_of(table.differences)


def bounds_of(found: ScoreWithIntervals | Difference, kind: str) -> Interval | None:
    """An interval by what it is of: ``THE_SETTING``, ``THESE_MODELS``."""
    return found.interval if kind == THE_SETTING else found.interval_models


def _kinds_of(found: list[ScoreWithIntervals] | tuple[Difference, ...]) -> list[str]:
    kinds = (THE_SETTING, THESE_MODELS)
    return [kind for kind in kinds if any(bounds_of(one, kind) for one in found)]


def _what_is_drawn(kinds: list[str], table: ComparisonTable) -> str:
    units = units_text(table)
    left_out = f"one of {units} left out at a time"
    sentences = {
        THE_SETTING: f"Of the setting: seeds and {units} drawn anew.",
        THESE_MODELS: "Of these models: "
        + (f"{left_out}." if table.inference.is_jackknife else f"{units} drawn anew."),
    }
    return " ".join(sentences[kind] for kind in kinds)


def units_text(table: ComparisonTable) -> str:
    """``271 dialogues``: what is drawn anew."""
    return counted(table.inference.num_units, table.inference.unit)


def settings_table(table: ComparisonTable) -> Table:
    """The settings in which the groups differ, a column for each."""
    keys = list(dict.fromkeys(key for group in table.groups for key in group.settings))
    lasts = [key.rpartition(".")[2] for key in keys]
    header = [
        last if lasts.count(last) == 1 else key for key, last in zip(keys, lasts, strict=True)
    ]
    rows = [
        [
            named(group.name),
            *(_setting_cell(group.settings[k]) if k in group.settings else Cell("") for k in keys),
        ]
        for group in table.groups
        if keys
    ]
    align = "l" + "r" * len(keys)
    return table_of("settings", "What differs", ["group", *header], align, rows)


def seeds_table(document: ComparisonDocument, table: ComparisonTable) -> Table:
    """Each seed's validation and test score."""
    metric = document.metric
    seeds = sorted({seed for group in table.groups for seed in group.seeds})
    rows = []
    for group in table.groups:
        values = zip(group.val[metric].values, group.test[metric].values, strict=True)
        by_seed = dict(zip(group.seeds, values, strict=True))
        cells = [
            Cell(f"{score(by_seed[seed][0])} / {score(by_seed[seed][1])}", by_seed[seed][0])
            if seed in by_seed
            else Cell(UNDEFINED)
            for seed in seeds
        ]
        rows.append([named(group.name), *cells])
    title = f"Each seed's {metric_name(metric)}, validation / test"
    header = ["group", *(f"seed {seed}" for seed in seeds)]
    return table_of("seeds", title, header, "l" + "r" * len(seeds), rows)


def class_table(document: ComparisonDocument, table: ComparisonTable) -> Table:
    """F1 of each class on test; recall where that is what ranks."""
    classes = table.protocol.classes
    found = find_metric(document.metric)
    is_of_recall = found is not None and found.entry.name in ("uar", "recall")
    rows = []
    for group, name in zip(table.groups, _group_cells(document, table), strict=True):
        by_class = group.per_class_recall if is_of_recall else group.per_class_f1
        rows.append([name, *(mean_cell(by_class[c]) for c in classes)])
    align, header = "l" + "r" * len(classes), ["group", *classes]
    title = f"{'Recall' if is_of_recall else 'F1'} of each class, test"
    return table_of("classes", title, header, align, rows, chosen_note(document))


def cost_table(table: ComparisonTable) -> Table:
    """Parameters, training time and speed."""
    rows = [
        [
            named(group.name),
            Cell(parameters(group.num_parameters), group.num_parameters),
            Cell(parameters(group.num_trainable), group.num_trainable),
            Cell(duration(group.fit_s), _mean_of(group.fit_s)),
            Cell(mean_sd(group.samples_per_s, 0), _mean_of(group.samples_per_s)),
        ]
        for group in table.groups
    ]
    header = ["group", "parameters", "trainable", "training time", "samples per second"]
    return table_of("cost", "Cost", header, "lrrrr", rows)


def calibration_table(document: ComparisonDocument, table: ComparisonTable) -> Table:
    """Calibration errors before and after the temperature that validation gives."""
    found = [(group.name, group.calibration, group.aurc) for group in table.groups]
    rows = [
        [
            named(name),
            *map(mean_cell, (one.temperature, one.ece, one.ece_scaled)),
            *map(mean_cell, (one.brier, one.brier_scaled)),
            mean_cell(aurc),
        ]
        for name, one, aurc in found
    ]
    header = ["group", "temperature", "ECE", "ECE,\nscaled", "Brier", "Brier,\nscaled", "AURC"]
    note = (
        "Scaled: logarithms of the probabilities divided by the temperature fitted on "
        f"{document.selected_on}. ECE: expected calibration error of the top class, in equal "
        "bins. AURC: area under the risk-coverage curve, scaled: the mean share of wrong answers "
        "among the surest ones, over all shares of them. Of all three, lower is better."
    )
    return table_of("calibration", "Calibration, test", header, "lrrrrrr", rows, note)


def ranks_of(table: ComparisonTable) -> dict[str, int]:
    """The rank on validation of each group's name."""
    return {group.name: rank for rank, group in enumerate(table.groups, 1)}


def differences_table(document: ComparisonDocument, table: ComparisonTable) -> Table:
    """Differences between groups with all tests."""
    baseline, kinds, ranks = table.baseline, difference_kinds(table), ranks_of(table)
    rows = [_difference_row(pair, baseline, ranks, kinds) for pair in table.differences]
    header = ["#", "group" if baseline else "a − b", "difference"]
    for kind in kinds:
        header += [f"{percent(document.confidence)} interval,\n{kind}"]
        header += ["p, setting\n(Holm)" if kind == THE_SETTING else "bootstrap p\n(Holm)"]
    header += ["random. p\n(Holm)", "McNemar\np, each\nseed"]
    header += ["Wilcoxon p\n(least)", "sign test p\n(least)"]
    against = f", each minus {baseline}" if baseline else ""
    units = units_text(table)
    note = (
        f"{_what_is_drawn(kinds, table)} Randomisation and McNemar are of these models: "
        f"{units} swapped, each as a whole. (Holm) is adjusted for all {len(rows)} comparisons of "
        "this table. Wilcoxon and sign test are over pairs of seeds; (least) is the smallest p "
        "that their number can reach. # gives ranks in the results."
    ).lstrip()
    title = f"Differences in {metric_name(document.metric)}, test{against}"
    align = "ll" + "r" * (len(header) - 2)
    return table_of("differences", title, header, align, rows, note)


def _difference_row(
    pair: Difference, baseline: str | None, ranks: dict[str, int], kinds: list[str]
) -> list[Cell]:
    a, b = pair.a, pair.b
    cells = [
        Cell(f"{ranks[a]} − {ranks[b]}", f"{ranks[a]:4d}{ranks[b]:4d}"),
        named(a if b == baseline else f"{a}\n−\u00a0{b}"),
        Cell(signed(pair.difference), pair.difference),
    ]
    adjusted = {
        THE_SETTING: _p_cell(pair.setting_p, pair.holm.setting_p),
        THESE_MODELS: _p_cell(pair.bootstrap_p, pair.holm.bootstrap_p),
    }
    for kind in kinds:
        cells += [interval_cell(bounds_of(pair, kind), with_sign=True), adjusted[kind]]
    cells.append(_p_cell(pair.randomisation_p, pair.holm.randomisation_p))
    mcnemar = [seed.p for seed in pair.mcnemar]
    least = min((p for p in mcnemar if p is not None), default=None)
    cells.append(Cell("\n".join(map(p_value, mcnemar)) or UNDEFINED, least))
    return [*cells, *(_p_cell(t.p, t.smallest_p) for t in (pair.wilcoxon, pair.sign_test))]


def gain_tables(table: ComparisonTable) -> list[Table]:
    """Where the fused model gains over the unimodal ones, a table for each breakdown."""
    if not table.modality_gain:
        return []
    tables = []
    for name, lines in table.modality_gain.by.items():
        rows = [
            [
                named(line.value),
                Cell(str(line.num), line.num),
                *map(score_cell, (line.both, line.audio, line.text)),
                *(_gain_cell(gain) for gain in (line.gain_over_audio, line.gain_over_text)),
            ]
            for line in lines
        ]
        label = GAIN_NAMES.get(name, name)
        header = [label, "N", "both", "audio\nalone", "text\nalone"]
        header += ["gain over\naudio", "gain over\ntext"]
        tables.append(
            table_of(f"gain by {name}", f"Gain by {label}, test", header, "lrrrrrr", rows)
        )
    return tables


def _group_cells(document: ComparisonDocument, table: ComparisonTable) -> list[Cell]:
    """Each group's name, marked where its mean on validation is the highest."""

    def val_mean(group: GroupResult) -> float:
        return group.val[document.metric].mean

    best = val_mean(table.groups[0])
    return [
        Cell(f"{group.name} {CHOSEN}" if val_mean(group) == best else group.name, group.name)
        for group in table.groups
    ]


def _setting_cell(value: Setting) -> Cell:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Cell(plain(value), value)
    return named(plain(value))


def _mean_of(summary: SeedSummary | None) -> float | None:
    return summary.mean if summary else None


def _gain_cell(summary: SeedSummary | None) -> Cell:
    return Cell(signed_mean_sd(summary), _mean_of(summary))


def _p_cell(p: float | None, beside: float | None) -> Cell:
    """A p value with another one in brackets, sorted by the first."""
    return Cell(f"{p_value(p)} ({p_value(beside)})", p)
