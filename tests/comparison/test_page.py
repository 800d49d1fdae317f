"""The page of a hand-made comparison document, read as a browser reads it."""

import itertools
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from mmemo.comparison.figures import (
    gain_figures,
    seed_scatter,
    seed_strip,
)
from mmemo.comparison.page import confusions, write_comparison_page
from mmemo.comparison.panels import metric_curves, reliability
from mmemo.reporting.figures import COLOURS
from tests.comparison.comparison_document import HOSTILE, comparison, difference, group, typed

VOID = {"meta", "br", "img", "link", "input"}


class Page(HTMLParser):
    """Tables as rows of texts, all tags with their attributes, and whether they are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if any(tag in ("td", "th") for tag in self.open):
            self.tables[-1][-1][-1] += data


def written(document: dict[str, Any], folder: Path) -> str:
    write_comparison_page(typed(document), folder / "comparison.html")
    return (folder / "comparison.html").read_text(encoding="utf-8")


def test_the_page_holds_the_tables_and_nothing_from_outside(tmp_path: Path) -> None:
    text = written(comparison(), tmp_path)
    page = Page(text)
    assert page.open == []
    results = page.tables[0]
    assert results[0][:3] == ["#", "group", "seeds"]
    assert results[1] == [
        *("1", "bottleneck_dim=128 †", "3", "0.850 ± 0.010", "0.800 ± 0.010"),
        *("[0.750, 0.850]", "[0.780, 0.820]", "0.820 ± 0.010", "0.780 ± 0.010"),
    ]
    assert "://" not in text
    for tag, attributes in page.tags:
        assert tag not in ("img", "link", "iframe") and "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")
    keys = re.findall(r'<td class="n" data-key="([^"]+)">0\.850 ± 0\.010', text)
    assert keys[0] == "0.85"


def test_every_figure_says_what_it_shows(tmp_path: Path) -> None:
    text = written(comparison(), tmp_path)
    page = Page(text)
    figures = [attributes for tag, attributes in page.tags if tag == "svg"]
    titles = {attributes.get("id") for tag, attributes in page.tags if tag == "title"}
    assert all(f["role"] == "img" and f["aria-labelledby"] in titles for f in figures)
    # Strip, scatter, two curves and reliability of each table; forest, agreement and four gains.
    assert len(figures) == 2 * 5 + 6
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids), "ids of one page"


def test_text_of_others_is_no_markup(tmp_path: Path) -> None:
    document = comparison(first_name=HOSTILE)
    document["left_out"][0]["reason"] = HOSTILE
    text = written(document, tmp_path)
    assert "<script>alert" not in text
    assert text.count("<script>") == 1
    assert Page(text).tables[0][1][1] == f"{HOSTILE} †"


def test_a_leaky_part_is_marked_in_each_of_its_figures(tmp_path: Path) -> None:
    official, leaky = written(comparison(), tmp_path).split('<section id="table-2"')
    assert ">LEAKY<" not in official
    assert leaky.count(">LEAKY<") == leaky.count("<svg") == 5
    assert '<p class="leaky">LEAKY: 90.0 % of the 130 rows' in leaky
    assert "Not ranked against table 1" in leaky


def test_what_is_undefined_leaves_its_part_out(tmp_path: Path) -> None:
    document = comparison()
    for table in document["tables"]:
        table["modality_gain"] = None
        table["differences"] = []
        for row in table["groups"]:
            row.update(curves=[], fit_s=None, samples_per_s=None)
            row.update(num_parameters=None)
            row["test"]["weighted_f1"].update(interval=None, interval_models=None)
    page = Page(written(document, tmp_path))
    assert not any("interval" in name for name in page.tables[0][0])
    assert sum(tag == "svg" for tag, _ in page.tags) == 2 * 3


def test_a_kind_without_utterances_has_no_figure(tmp_path: Path) -> None:
    document = comparison()
    gain = document["tables"][0]["modality_gain"]
    gain["by"]["duration_s"] = []
    gain.update(agreement=None, oracle=None)
    for rows in gain["by"].values():
        for row in rows:
            row.update(text=None, gain_over_text=None)
    assert len(gain_figures(typed(document).tables[0])) == 3
    assert "Gain by duration" not in written(document, tmp_path)


def test_many_groups_are_drawn_in_part_and_that_is_told(tmp_path: Path) -> None:
    document = comparison()
    table = document["tables"][0]
    table["groups"] = [group(f"lr={index}", 0.9 - 0.01 * index) for index in range(33)]
    names = [row["name"] for row in table["groups"]]
    table["baseline"] = None
    table["differences"] = [difference(a, b, 0.01) for a, b in itertools.combinations(names, 2)]
    text = written(document, tmp_path)
    assert len(text.encode()) < 3e6
    assert "show the best 12 of 33 groups by validation" in text
    assert "The first 30 of 528 differences are drawn" in text
    page = Page(text)
    assert len(page.tables[0]) == 1 + 33
    assert text.count("<caption>") == 12 + 1


def points(axes: Axes, colour: str, size: float) -> list[tuple[float, float]]:
    """Where the marks of a size stand, in order."""
    lines = [one for one in axes.lines if one.get_markersize() == size and one.get_marker() != ""]
    found = [one for one in lines if one.get_markeredgecolor() == colour]
    return [place for one in found for place in zip(*one.get_data(), strict=True)]


def test_the_scatter_puts_seeds_at_their_scores() -> None:
    document = comparison()
    document["tables"][0]["groups"] = document["tables"][0]["groups"][:1]
    found = typed(document)
    (axes,) = seed_scatter(found, found.tables[0]).figure.axes
    assert points(axes, COLOURS[0], 5) == [(0.84, 0.79), (0.85, 0.8), (0.86, 0.81)]
    assert points(axes, COLOURS[0], 15) == [(0.85, 0.8)]
    assert [text.get_text() for text in axes.texts] == ["1"]
    assert axes.get_xlim() == axes.get_ylim()


def test_the_strip_draws_interval_and_mean() -> None:
    found = typed(comparison())
    (axes,) = seed_strip(found, found.tables[0]).figure.axes
    whiskers = [tuple(one.get_xdata()) for one in axes.lines if one.get_linewidth() == 2]
    assert whiskers == [(0.75, 0.85), (0.73, 0.83), (0.7, 0.8), (0.5, 0.6)]
    means = [points(axes, colour, 8)[0][0] for colour in COLOURS[:4]]
    assert means == [0.8, 0.78, 0.75, 0.55]
    assert [x for x, _ in points(axes, COLOURS[0], 4)] == [0.79, 0.8, 0.81]
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels[0] == "1  bottleneck_dim=128"


def test_curves_break_where_undefined_and_mark_the_choice() -> None:
    found = typed(comparison())
    titled = metric_curves(found, found.tables[0])
    assert titled is not None
    assert len(titled.figure.axes) == 4
    for axes, colour in zip(titled.figure.axes, COLOURS, strict=False):
        lines = [one for one in axes.lines if one.get_linestyle() == "-"]
        assert len(lines) == 3
        # Epoch 0 has no score.
        for one in lines:
            assert np.isnan(one.get_ydata()).tolist() == [True, False, False, False]
        assert [x for x, _ in points(axes, colour, 6.5)] == [2, 2, 2]


def test_a_confusion_cell_is_the_share_of_its_row() -> None:
    row = confusions(typed(comparison()).tables[0])[0].rows[0]
    assert (row.name, row.total) == ("anger", 108)
    assert [cell.count for cell in row.cells] == [90, 6, 12]
    assert row.cells[0].percent == pytest.approx(100 * 90 / 108)
    assert row.cells[0].is_dark and not row.cells[1].is_dark


def test_reliability_names_both_errors() -> None:
    panels = reliability(typed(comparison()).tables[0]).figure.axes
    assert [axes.texts[0].get_text() for axes in panels] == ["ECE 0.120 → 0.040"] * 4


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs the browser chromium")
def test_a_button_sorts_and_turns_the_order(tmp_path: Path) -> None:
    document = comparison()
    # What is undefined stands last in either order.
    document["tables"][0]["groups"][1]["test"]["weighted_f1"]["interval"] = None
    text = written(document, tmp_path)
    presses = """<script>
const names = () => [...document.querySelector("table").tBodies[0].rows]
  .map((row) => row.cells[1].textContent).join(";");
const button = document.querySelectorAll("table th")[5].firstChild;
const log = [button.tagName, names()];
button.click(); log.push(names()); button.click(); log.push(names());
log.push(button.parentNode.getAttribute("aria-sort"));
document.querySelectorAll("table th")[1].firstChild.click(); log.push(names());
document.body.dataset.log = log.join("|");
</script></body>"""
    text = text.replace("</body>", presses)
    driven = tmp_path / "driven.html"
    driven.write_text(text, encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-quic"]
    options += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    options += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", driven.as_uri()]
    run = subprocess.run(["chromium", *options], capture_output=True, text=True, timeout=120)
    log = re.search(r'data-log="([^"]*)"', run.stdout)
    assert log, run.stderr
    names = [
        "bottleneck_dim=128 †",
        "bottleneck_dim=256",
        "audio_encoder=none",
        "text_encoder=none",
    ]
    falling = ";".join([names[0], names[2], names[3], names[1]])
    rising = ";".join([names[3], names[2], names[0], names[1]])
    by_name = ";".join([names[2], names[0], names[1], names[3]])
    assert log[1].split("|") == [
        *("BUTTON", ";".join(names), falling, rising, "ascending", by_name)
    ]
