"""The tables of a comparison that set groups against each other and against published results."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mmemo.reporting.numbers import (
    UNDEFINED,
    counted,
    interval,
    mean_sd,
    metric_name,
    p_value,
    percent,
    plain,
    score,
    signed,
    signed_mean_sd,
)
from mmemo.reporting.text_table import Cell, TextTable, mean_of, named

GAIN_NAMES = {
    "class": "class (recall)",
    "class_f1": "class (F1)",
    "duration_s": "duration",
    "num_words": "words",
    "speaker": "speaker",
}


def ranks_of(table: dict[str, Any]) -> dict[str, int]:
    """The rank on validation of each group's name."""
    return {group["name"]: rank for rank, group in enumerate(table["groups"], 1)}


def differences_table(document: dict[str, Any], table: dict[str, Any]) -> TextTable:
    """Differences between groups with all tests."""
    differences, baseline = table["differences"], table["baseline"]
    ranks = ranks_of(table)
    kinds = difference_kinds(table)
    rows = [_difference_row(difference, baseline, ranks, kinds) for difference in differences]
    header = ["#", "group" if baseline else "a − b", "difference"]
    for kind, name in kinds.items():
        header += [f"{percent(document['confidence'])} interval,\n{name}"]
        header += [f"{P_NAMES[kind]}\n(Holm)"]
    header += ["random. p\n(Holm)", "McNemar\np, each\nseed"]
    header += ["Wilcoxon p\n(least)", "sign test p\n(least)"]
    against = f", each minus {baseline}" if baseline else ""
    inference = table["inference"]
    unit, num = inference["unit"], inference["num_units"]
    units = counted(num, unit)
    told = {
        "interval": f"Of the setting: seeds and {units} drawn anew. ",
        "interval_models": f"Of these models: {units} drawn anew. ",
    }
    note = (
        f"{''.join(told[kind] for kind in kinds)}Randomisation and McNemar are of these models: "
        f"{units} swapped, each as a whole. (Holm) is adjusted for all {len(rows)} comparisons of "
        "this table. Wilcoxon and sign test are over pairs of seeds; (least) is the smallest p "
        "that their number can reach. # gives ranks in the results."
    )
    title = f"Differences in {metric_name(document['metric'])}, test{against}"
    align = "ll" + "r" * (len(header) - 2)
    return TextTable("differences", title, header, align, rows, note)


P_NAMES = {"interval": "p, setting", "interval_models": "bootstrap p"}
P_OF = {"interval": "setting_p", "interval_models": "bootstrap_p"}


def difference_kinds(table: dict[str, Any]) -> dict[str, str]:
    """Names of the kinds of interval that some difference has, and what they are of."""
    kinds = {"interval": "the setting", "interval_models": "these models"}
    return {k: of for k, of in kinds.items() if any(pair[k] for pair in table["differences"])}


def _difference_row(
    difference: dict[str, Any],
    baseline: str | None,
    ranks: dict[str, int],
    kinds: Iterable[str],
) -> list[Cell]:
    a, b, holm = difference["a"], difference["b"], difference["holm"]
    mcnemar = [seed["p"] for seed in difference["mcnemar"]]
    cells = [
        Cell(f"{ranks[a]} − {ranks[b]}", f"{ranks[a]:4d}{ranks[b]:4d}"),
        named(a if b == baseline else f"{a}\n−\u00a0{b}"),
        Cell(signed(difference["difference"]), difference["difference"]),
    ]

    def adjusted(name: str) -> Cell:
        p = difference[name]
        return Cell(f"{p_value(p)} ({p_value(holm[name])})", p)

    for kind in kinds:
        bounds = difference[kind]
        cells.append(Cell(interval(bounds, with_sign=True), bounds[0] if bounds else None))
        cells.append(adjusted(P_OF[kind]))
    cells.append(adjusted("randomisation_p"))
    defined = [p for p in mcnemar if p is not None]
    least = min(defined) if defined else None
    cells.append(Cell("\n".join(map(p_value, mcnemar)) or UNDEFINED, least))
    for name in ("wilcoxon", "sign_test"):
        test = difference[name]
        cells.append(Cell(f"{p_value(test['p'])} ({p_value(test['smallest_p'])})", test["p"]))
    return cells


def gain_tables(table: dict[str, Any]) -> list[TextTable]:
    """Where the fused model gains over the unimodal ones, a table for each breakdown."""
    gain = table["modality_gain"]
    if not gain:
        return []
    tables = []
    for name, lines in gain["by"].items():
        rows = [
            [
                named(plain(line["value"])),
                Cell(str(line["num"]), line["num"]),
                *(Cell(score(line[kind]), line[kind]) for kind in ("both", "audio", "text")),
                *(_gain_cell(line[f"gain_over_{kind}"]) for kind in ("audio", "text")),
            ]
            for line in lines
        ]
        label = GAIN_NAMES.get(name, name)
        header = [label, "N", "both", "audio\nalone", "text\nalone"]
        header += ["gain over\naudio", "gain over\ntext"]
        tables.append(
            TextTable(f"gain by {name}", f"Gain by {label}, test", header, "lrrrrrr", rows)
        )
    return tables


def published_tables(table: dict[str, Any]) -> list[TextTable]:
    """Published results that can stand beside these, and those that cannot, with the reason."""
    beside = [entry for entry in table["published"] if not entry["differs"]]
    others = [entry for entry in table["published"] if entry["differs"]]
    header = ["system", "modalities", "context", "metric", "classes", "split", "value", "source"]
    return [
        TextTable(
            "published",
            "Published, of the same metric, classes and split",
            header,
            "llllllrl",
            [_published_row(entry) for entry in beside],
        ),
        TextTable(
            "published otherwise",
            "Published on another metric, classes or split: no ranking",
            [*header, "differs in"],
            "llllllrll",
            [[*_published_row(entry), named(plain(entry["differs"]))] for entry in others],
        ),
    ]


def _published_row(entry: dict[str, Any]) -> list[Cell]:
    classes, count = entry["classes"], len(entry["classes"])
    others = f"{count}: {plain(classes)}" if classes else "unstated"
    value = mean_sd({"mean": entry["value"], "sd": entry.get("sd")})
    runs = f" ({entry['num_runs']} runs)" if entry.get("num_runs") else ""
    return [
        named(entry["system"]),
        *(named(plain(entry[name])) for name in ("modalities", "context")),
        named(metric_name(entry["metric"])),
        named(others if "classes" in entry["differs"] else f"the same {count}"),
        named(plain(entry["split"])),
        Cell(value + runs, entry["value"]),
        named(plain(entry["source"])),
    ]


def _gain_cell(summary: dict[str, Any] | None) -> Cell:
    return Cell(signed_mean_sd(summary), mean_of(summary))
