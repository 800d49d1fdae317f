"""The tables of a comparison that have a row for each group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmemo.reporting.numbers import (
    UNDEFINED,
    counted,
    duration,
    interval,
    mean_sd,
    metric_name,
    parameters,
    percent,
    plain,
    score,
)
from mmemo.reporting.text_table import Cell, TextTable, mean_cell, mean_of, named

CHOSEN = "†"
CHOSEN_NOTE = f"{CHOSEN}: highest mean on validation, by which groups are chosen and ranked."
"""A mark at the name alone: bold numbers would be read as the highest on test."""


def _group_cells(document: dict[str, Any], table: dict[str, Any]) -> list[Cell]:
    """Each group's name, marked where its mean on validation is the highest."""
    names = [group["name"] for group in table["groups"]]
    means = [group["val"][document["metric"]]["mean"] for group in table["groups"]]
    return [
        Cell(f"{name} {CHOSEN}" if mean is not None and mean == means[0] else name, name)
        for name, mean in zip(names, means, strict=True)
    ]


def results_table(document: dict[str, Any], table: dict[str, Any]) -> TextTable:
    """Validation and test of each group, best on validation first."""
    metric, sizes = document["metric"], table["protocol"]["num_utterances"]
    others = [name for name in table["groups"][0]["test"] if name != metric]
    kinds = interval_kinds(document, table)
    rows = []
    names = _group_cells(document, table)
    for rank, (group, group_cell) in enumerate(zip(table["groups"], names, strict=True), 1):
        test = group["test"]
        rows.append(
            [
                Cell(str(rank), rank),
                group_cell,
                Cell(str(len(group["seeds"])), len(group["seeds"])),
                mean_cell(group["val"][metric]),
                mean_cell(test[metric]),
                *(_interval_cell(test[metric][kind]) for kind in kinds),
                *(mean_cell(test[name]) for name in others),
            ]
        )
    name = metric_name(metric)
    header = ["#", "group", "seeds", f"{name},\nval\n(N = {sizes['val']})"]
    header += [f"{name},\ntest\n(N = {sizes['test']})"]
    header += [f"{percent(document['confidence'])} interval,\n{of}" for of in kinds.values()]
    header += [f"{metric_name(other)},\ntest" for other in others]
    align = "rl" + "r" * (len(header) - 2)
    inference = table["inference"]
    units = counted(inference["num_units"], inference["unit"])
    told = {
        "interval": f"Of the setting: seeds and {units} drawn anew.",
        "interval_models": f"Of these models: {units} drawn anew.",
    }
    note = " ".join(told[kind] for kind in kinds) or f"No intervals: {units}."
    return TextTable("results", "Results", header, align, rows, f"{note} {CHOSEN_NOTE}")


def interval_kinds(document: dict[str, Any], table: dict[str, Any]) -> dict[str, str]:
    """Names of the kinds of interval that some group has, and what they are of."""
    kinds = {"interval": "the setting", "interval_models": "these models"}
    scores = [group["test"][document["metric"]] for group in table["groups"]]
    return {kind: of for kind, of in kinds.items() if any(score[kind] for score in scores)}


def _interval_cell(bounds: Sequence[float] | None) -> Cell:
    return Cell(interval(bounds), bounds[0] if bounds else None)


def settings_table(table: dict[str, Any]) -> TextTable:
    """The settings in which the groups differ, a column for each."""
    keys = list(dict.fromkeys(key for group in table["groups"] for key in group["settings"]))
    lasts = [key.rpartition(".")[2] for key in keys]
    header = [
        last if lasts.count(last) == 1 else key for key, last in zip(keys, lasts, strict=True)
    ]
    rows = [
        [
            named(group["name"]),
            *(_setting(group["settings"][k]) if k in group["settings"] else Cell("") for k in keys),
        ]
        for group in table["groups"]
        if keys
    ]
    align = "l" + "r" * len(keys)
    return TextTable("settings", "What differs", ["group", *header], align, rows)


def _setting(value: Any) -> Cell:  # noqa: ANN401
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return Cell(plain(value), value if is_number else plain(value))


def seeds_table(document: dict[str, Any], table: dict[str, Any]) -> TextTable:
    """Each seed's validation and test score."""
    metric = document["metric"]
    seeds = sorted({seed for group in table["groups"] for seed in group["seeds"]})
    rows = []
    for group in table["groups"]:
        values = zip(group["val"][metric]["values"], group["test"][metric]["values"], strict=True)
        by_seed = dict(zip(group["seeds"], values, strict=True))
        cells = [
            Cell(f"{score(by_seed[seed][0])} / {score(by_seed[seed][1])}", by_seed[seed][0])
            if seed in by_seed
            else Cell(UNDEFINED)
            for seed in seeds
        ]
        rows.append([named(group["name"]), *cells])
    title = f"Each seed's {metric_name(metric)}, validation / test"
    header = ["group", *(f"seed {seed}" for seed in seeds)]
    return TextTable("seeds", title, header, "l" + "r" * len(seeds), rows)


def class_table(document: dict[str, Any], table: dict[str, Any]) -> TextTable:
    """F1 of each class on test."""
    classes = table["protocol"]["classes"]
    rows = [
        [
            group_cell,
            *(mean_cell(group["per_class_f1"][c]) for c in classes),
        ]
        for group, group_cell in zip(table["groups"], _group_cells(document, table), strict=True)
    ]
    align, header = "l" + "r" * len(classes), ["group", *classes]
    return TextTable("classes", "F1 of each class, test", header, align, rows, CHOSEN_NOTE)


def cost_table(table: dict[str, Any]) -> TextTable:
    """Parameters, training time and speed."""
    rows = [
        [
            named(group["name"]),
            Cell(parameters(group["num_parameters"]), group["num_parameters"]),
            Cell(duration(group["fit_s"]), mean_of(group["fit_s"])),
            Cell(mean_sd(group["samples_per_s"], 0), mean_of(group["samples_per_s"])),
        ]
        for group in table["groups"]
    ]
    header = ["group", "parameters", "training time", "samples per second"]
    return TextTable("cost", "Cost", header, "lrrr", rows)


def calibration_table(document: dict[str, Any], table: dict[str, Any]) -> TextTable:
    """Calibration errors before and after the temperature that validation gives."""
    names = ("temperature", "ece", "ece_scaled", "brier", "brier_scaled")
    rows = [
        [named(group["name"]), *(mean_cell(group["calibration"][name]) for name in names)]
        for group in table["groups"]
        if group["calibration"]
    ]
    header = ["group", "temperature", "ECE", "ECE,\nscaled", "Brier", "Brier,\nscaled"]
    note = (
        "Scaled: logarithms of the probabilities divided by the temperature fitted on "
        f"{document['selected_on']}. ECE: expected calibration error of the top class, in equal "
        "bins. Of ECE and Brier score, lower is better."
    )
    return TextTable("calibration", "Calibration, test", header, "lrrrrr", rows, note)
