"""Every text of a hand-made comparison document is known."""

import re
from typing import Any

import pytest

from mmemo.comparison.exports import frame, latex, markdown, terminal_text
from mmemo.comparison.published import published_tables
from mmemo.comparison.sentences import gain_summary
from mmemo.comparison.tables import chosen_note, class_table, results_table
from mmemo.evaluation.seed_summary import SeedSummary
from mmemo.reporting import numbers
from mmemo.reporting.tables import Cell, Table, escape_latex
from tests.comparison.comparison_document import (
    HOSTILE,
    comparison,
    group,
    published,
    spread,
    typed,
)


@pytest.fixture
def document() -> dict[str, Any]:
    return comparison()


def test_numbers_are_written_alike() -> None:
    def of(mean: float, sd: float | None) -> SeedSummary:
        return SeedSummary(mean, sd, ())

    assert numbers.mean_sd(of(0.81234, 0.01)) == "0.812 ± 0.010"
    assert numbers.mean_sd(of(0.81234, None)) == "0.812"
    assert numbers.mean_sd(None) == "–"
    assert numbers.signed(-0.0124) == "−0.012"
    assert numbers.interval((-0.5, 0.25), with_sign=True) == "[−0.500, +0.250]"
    assert numbers.interval(None) == "–"
    assert [numbers.p_value(p) for p in (0.0009, 0.001, 1.0, None)] == [
        "<0.001",
        "0.001",
        "1.000",
        "–",
    ]
    assert [numbers.parameters(n) for n in (640, 812_345, 94_600_000, None)] == [
        "640",
        "812 k",
        "94.6 M",
        "–",
    ]
    # The deviation is in the unit of the mean.
    assert numbers.duration(of(90, 3)) == "90.0 ± 3.0 s"
    assert numbers.duration(of(600, 30)) == "10.0 ± 0.5 min"
    assert numbers.duration(of(9000, None)) == "2.5 h"
    assert numbers.plain({"val": 1, "classes": ["a", "b"]}) == "val 1, classes a, b"


def line_of(text: str, start: str) -> list[str]:
    """The cells of the first line that starts so; columns stand two spaces apart."""
    line = next(line for line in text.splitlines() if line.startswith(start))
    return re.split(r" {2,}", line.strip())


def test_the_terminal_shows_validation_test_interval_and_seeds(document: dict[str, Any]) -> None:
    text = terminal_text(typed(document))
    assert line_of(text, "1  bottleneck_dim=128") == [
        *("1", "bottleneck_dim=128 †", "3", "0.850 ± 0.010", "0.800 ± 0.010"),
        *("[0.750, 0.850]", "0.820 ± 0.010", "0.780 ± 0.010"),
    ]
    assert line_of(text, "text_encoder=none") == [
        *("text_encoder=none", "0.590 / 0.540", "0.600 / 0.550", "0.610 / 0.560")
    ]
    assert line_of(text, "1 − 2") == [
        *("1 − 2", "+0.020", "[+0.000, +0.040]", "0.020 (0.060)", "<0.001 (0.001)"),
        *("0.010", "0.250 (0.250)"),
    ]
    assert "least 0.25" in text
    assert "outputs/killed: not finished: status running" in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 120


def test_many_classes_and_seeds_stay_whole_in_120_columns(document: dict[str, Any]) -> None:
    table = document["tables"][0]
    classes = [f"class{index}" for index in range(9)]
    table["protocol"]["classes"] = classes
    for index, row in enumerate(table["groups"]):
        row["name"] = f"a_long_name={'x' * 40}, another={index}"
        row["per_class_f1"] = {name: spread(0.5 + 0.01 * i) for i, name in enumerate(classes)}
    text = terminal_text(typed(document | {"tables": [table | {"differences": []}]}))
    assert max(map(len, text.splitlines())) <= 120
    assert "…" not in text
    # The columns that do not fit stand in a second table.
    assert text.count("0.580 ± 0.010") >= 4
    assert len(re.findall("(?m)^group", text)) == 4


def cells(table: Table) -> list[list[Cell]]:
    return [row for _, row in table.rows()]


def marked(document: dict[str, Any]) -> list[bool]:
    found = typed(document)
    names = [row[1] for row in cells(results_table(found, found.tables[0]))]
    assert [row[0].text for row in cells(class_table(found, found.tables[0]))] == [
        name.text for name in names
    ]
    assert [name.key for name in names] == [group.name for group in found.tables[0].groups]
    return [name.text.endswith(" †") for name in names]


def test_the_best_on_validation_is_marked_and_no_number_is_bold(document: dict[str, Any]) -> None:
    table = document["tables"][0]
    # The second is better on test, which must not matter.
    table["groups"][1]["test"]["weighted_f1"]["mean"] = 0.99
    assert marked(document) == [True, False, False, False]
    rows = [line for line in markdown(typed(document)).splitlines() if line.startswith("| 2 |")]
    assert rows == [
        "| 2 | bottleneck_dim=256 | 3 | 0.830 ± 0.010 | 0.990 ± 0.010 | \\[0.730, 0.830\\] "
        "| \\[0.760, 0.800\\] | 0.800 ± 0.010 | 0.760 ± 0.010 |"
    ]
    first = table["groups"][0]["name"]
    for write, mark in ((markdown, "†"), (terminal_text, "†"), (latex, r"$^{\dagger}$")):
        text = write(typed(document))
        name = escape_latex(first) if write is latex else first
        assert f"{name} {mark}" in text
        assert text.count(chosen_note(typed(document)).replace("†", mark)) >= 2, (
            "what the mark means"
        )
        assert "**0" not in text and r"\textbf{" not in text


def test_groups_that_tie_on_validation_are_both_best(document: dict[str, Any]) -> None:
    table = document["tables"][0]
    table["groups"][1] = group("tied", 0.85)
    assert marked(document) == [True, True, False, False]


@pytest.mark.parametrize("write", [terminal_text, markdown, latex])
def test_a_leaky_table_says_so_and_is_not_ranked(document: dict[str, Any], write: Any) -> None:  # noqa: ANN401
    text = " ".join(write(typed(document)).replace("\\", "").split())
    assert "LEAKY: 90.0 % of the 130 rows of test have a copy in training." in text
    assert (
        "Not ranked against table 1: the protocols differ (table 1 → table 2) in split protocol: "
        "official → oversampled_before_split; LEAKY: no → yes; "
        "N: val 73, test 116 → val 120, test 130."
    ) in text
    assert text.count("Not ranked against table 1") == 1


@pytest.mark.parametrize("write", [terminal_text, markdown, latex])
def test_what_is_drawn_stands_with_the_numbers(document: dict[str, Any], write: Any) -> None:  # noqa: ANN401
    text = " ".join(write(typed(document)).replace("\\", "").replace("%", " ").split())
    assert (
        "Test units: 36 dialogues (as good as 31 of one size), which the split keeps together. Of "
        "the setting: mixed model of seeds and dialogues. Of these trained models: bootstrap and "
        "randomisation over dialogues (1,000 resamples, seed 0)."
    ) in text
    assert "Test units: 36 dialogues, as asked for." in text
    assert "Of the setting: seeds and 36 dialogues drawn anew." in text
    for table in document["tables"]:
        for row in table["groups"]:
            row["test"]["weighted_f1"].update(interval=None, interval_models=None)
        for pair in table["differences"]:
            pair.update(interval=None, interval_models=None)
    without = " ".join(write(typed(document)).replace("\\", "").split())
    assert "Of these trained models: randomisation over dialogues" in without
    assert "No intervals: 36 dialogues." in without
    assert "Of the setting: " not in without.partition("Test units")[2]


def test_what_is_drawn_stands_in_each_row_of_the_data(document: dict[str, Any]) -> None:
    rows = frame(typed(document))
    assert rows["unit"].tolist() == ["dialogue"] * 5
    assert rows["num_units"].tolist() == [36] * 5
    first = rows.iloc[0]
    assert (first["test_weighted_f1_low"], first["test_weighted_f1_high"]) == (0.75, 0.85)
    bounds = (first["test_weighted_f1_models_low"], first["test_weighted_f1_models_high"])
    assert bounds == (0.78, 0.82)


@pytest.mark.parametrize("write", [terminal_text, markdown, latex])
def test_what_each_fold_chooses_is_told(document: dict[str, Any], write: Any) -> None:  # noqa: ANN401
    document["tables"][0]["fold_choice"] = {
        "chosen": {"0": "bottleneck_dim=128", "1": "text_encoder=none", "2": "bottleneck_dim=128"},
        "seeds": [1, 2, 3],
        "test": {"weighted_f1": spread(0.7, interval=[0.6, 0.8], interval_models=None)},
    }
    text = " ".join(write(typed(document)).replace("\\", "").replace("%", " ").split())
    assert (
        "Chosen in each fold by its own validation: bottleneck_dim=128 in fold 0, 2; "
        "text_encoder=none in fold 1. Together: test weighted F1 0.700 ± 0.010, 95 of the setting "
        "[0.600, 0.800] (3 seeds, 36 dialogues)."
    ) in text.replace("$pm$", "±")


def test_one_seed_has_no_deviation(document: dict[str, Any]) -> None:
    found = typed(document)
    (row,) = cells(results_table(found, found.tables[1]))
    assert [cell.text for cell in row][2:6] == ["1", "0.970", "0.920", "[0.900, 0.940]"]


def test_published_results_of_another_kind_stand_apart(document: dict[str, Any]) -> None:
    table = document["tables"][0]
    table["published"] = [
        published("same"),
        published("other classes", classes=["joy", "anger", "fear"], differs=["classes"]),
        published("unstated", classes=[], split="unstated", differs=["classes", "split"]),
        published("other metric", metric="accuracy", differs=["metric"]),
    ]
    beside, apart = published_tables(typed(document).tables[0].published)
    assert [[cell.text for cell in row] for row in cells(beside)] == [
        ["same", "audio+text", "none", "weighted F1", "the same 3", "official"]
        + ["0.637 ± 0.009 (5 runs)", "Doe 2020"]
    ]
    assert [(row[0].text, row[4].text, row[-1].text) for row in cells(apart)] == [
        ("other classes", "3: joy, anger, fear", "classes"),
        ("unstated", "unstated", "classes, split"),
        ("other metric", "the same 3", "metric"),
    ]
    assert "no ranking" in apart.title


def test_what_was_compared_by_modality_is_named(document: dict[str, Any]) -> None:
    table = document["tables"][0]
    gain = table["modality_gain"]
    gain["models"] = {"audio+text": "bottleneck_dim=64", "audio": "audio", "text": "text"}
    gain["agreement"]["kappa"] = None
    sentence = gain_summary(typed(document).tables[0])
    assert sentence is not None
    models, rest = sentence.split(". ", maxsplit=1)
    assert models.endswith("on validation: audio+text (bottleneck_dim=64); audio; text")
    assert rest.startswith("Audio alone and text alone: both right 0.500")
    assert "(kappa –)" in rest
    gain.update(agreement=None, oracle=None)
    assert gain_summary(typed(document).tables[0]) == f"{models}."
    table["modality_gain"] = None
    assert gain_summary(typed(document).tables[0]) is None


def test_latex_is_balanced_and_escaped() -> None:
    text = latex(typed(comparison(first_name=HOSTILE)))
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert escape_latex(HOSTILE) == (
        r"$<$script$>$alert('x')$<$/script$>$ \& 50\%\_\$\#\{\}\textasciitilde{}"
        r"\textasciicircum{}\textbackslash{}"
    )
    assert escape_latex(HOSTILE) in body and HOSTILE not in body
    bare = re.sub(r"\\[\\{}$%#&_]", "", body)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    # A percent sign that is left ends its line.
    assert all(line.count("%") == line.endswith("%") for line in bare.splitlines())
    for name in ("table*", "tabular"):
        assert body.count(rf"\begin{{{name}}}") == body.count(rf"\end{{{name}}}") > 0
    num_tables = body.count(r"\begin{table*}")
    for rule in ("top", "mid", "bottom"):
        assert body.count(rf"\{rule}rule") == num_tables
    for rows in re.findall(r"\\midrule\n(.*?)\\bottomrule", bare, re.S):
        counts = {row.count("&") for row in rows.strip().splitlines()}
        assert len(counts) == 1


def test_a_first_cell_with_a_bracket_is_no_argument() -> None:
    text = latex(typed(comparison(first_name="[0.1]")))
    assert r"{}[0.1] $^{\dagger}$ & 0.850" in text
    assert "\n[0.1]" not in text


def test_markdown_shows_what_it_reads() -> None:
    text = markdown(typed(comparison(first_name="a|b*c <i>")))
    rows = [line for line in text.splitlines() if "a\\|b\\*c \\<i\\>" in line]
    assert rows and all(line.startswith("|") for line in rows)


def test_the_frame_has_a_row_for_each_group(document: dict[str, Any]) -> None:
    table = frame(typed(document))
    assert list(table["group"]) == [
        *("bottleneck_dim=128", "bottleneck_dim=256", "audio_encoder=none", "text_encoder=none"),
        "bottleneck_dim=128",
    ]
    assert list(table["table"]) == [1, 1, 1, 1, 2]
    assert list(table["leaky"]) == [False] * 4 + [True]
    first = table.iloc[0]
    assert first["val_weighted_f1_mean"] == 0.85
    assert first["test_weighted_f1_values"] == "0.79 0.8 0.81"
    assert (first["test_weighted_f1_low"], first["test_weighted_f1_high"]) == (0.75, 0.85)
    assert first["f1_joy_mean"] == 0.75
    assert first["setting fusion.bottleneck_dim"] == 128
    assert first["num_test"] == 116
    assert frame(typed(document))["test_weighted_f1_sd"].isna().tolist() == [False] * 4 + [True]
