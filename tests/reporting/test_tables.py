"""One hand-made table in every format."""

import re
from html.parser import HTMLParser

import jinja2
import pytest

from mmemo.reporting.self_contained import render_page
from mmemo.reporting.tables import (
    NUM_COLUMNS,
    Cell,
    Table,
    escape_latex,
    latex,
    markdown,
    named,
    plain_console,
    print_table,
    printed,
    table_of,
)

HOSTILE = "<b>|*_x_$1&2\\"


@pytest.fixture
def table() -> Table:
    return table_of(
        "scores",
        "Scores",
        # Two columns of one name: a class may be called as a column is.
        ["group", "F1,\ntest", "group"],
        "lrr",
        [
            [named(HOSTILE), Cell("0.812 ± 0.010", 0.81234), "−3"],
            [named("[0.1]"), Cell("–"), "12"],
        ],
        note="Note.",
        kinds=["main", ""],
    )


def text_of(table: Table, limit: int | None = None) -> str:
    console = plain_console()
    print_table(console, table, limit)
    return printed(console)


def test_the_terminal_shows_texts_as_they_are(table: Table) -> None:
    lines = text_of(table).splitlines()
    assert [line.split() for line in lines if line.strip("─ ")] == [
        ["Scores"],
        ["F1,"],
        ["group", "test", "group"],
        [HOSTILE, "0.812", "±", "0.010", "−3"],
        ["[0.1]", "–", "12"],
        ["Note."],
    ]
    assert "The first 1 of 2; the page has them all." in text_of(table, limit=1)
    assert "[0.1]" not in text_of(table, limit=1)


def test_the_terminal_indents_what_belongs_to_the_row_above() -> None:
    rows = [["all", "3"], ["joy", "2"]]
    lines = text_of(table_of("n", "N", ["", "rows"], "lr", rows, kinds=["main", "sub"]))
    assert lines.splitlines()[-2:] == ["all       3", "  joy     2"]


def test_columns_that_do_not_fit_stand_below_with_the_names() -> None:
    header = ["group", *(f"column {index}" for index in range(20))]
    row = ["a long name of a group"] + ["0.812 ± 0.010"] * 20
    lines = text_of(table_of("wide", "Wide", header, "l" + "r" * 20, [row])).splitlines()
    assert max(map(len, lines)) <= NUM_COLUMNS
    text = "\n".join(lines)
    assert text.count("0.812 ± 0.010") == 20
    # 100 columns for numbers of 13 with a gap of 2: six beside each other, four times.
    assert text.count("a long name of a group") == 4
    assert "…" not in text


def test_markdown_escapes_what_it_would_read(table: Table) -> None:
    assert markdown(table).splitlines() == [
        "| group | F1, test | group |",
        "| --- | ---: | ---: |",
        r"| \<b\>\|\*_x_\$1&2\\ | 0.812 ± 0.010 | −3 |",
        r"| \[0.1\] | – | 12 |",
    ]


def test_latex_escapes_and_has_booktabs_rules(table: Table) -> None:
    text = latex(table, "Of 100 %.", "tab:scores", max_rows=2)
    assert r"\caption{Of 100 \%.}" in text and r"\label{tab:scores}" in text
    assert r"\begin{tabular}{@{}p{0.34\linewidth}rr@{}}" in text
    head, first, second = re.findall(r"(?m)^.* & .* \\\\$", text)
    assert head == r"group & \begin{tabular}[t]{@{}r@{}}F1, \\ test\end{tabular} & group \\"
    assert first == (r"$<$b$>$\textbar{}*\_x\_\$1\&2\textbackslash{} & 0.812 $\pm$ 0.010 & $-$3 \\")
    # A bracket after a line break would be read as its argument.
    assert second == r"{}[0.1] & -- & 12 \\"
    assert [text.count(rf"\{rule}rule") for rule in ("top", "mid", "bottom")] == [1, 1, 1]
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    cut = latex(table, "Caption.", "tab:scores", max_rows=1)
    assert r"\caption{Caption. The first 1 of 2 rows.}" in cut and "0.1]" not in cut


def test_latex_escapes_each_character_once() -> None:
    assert escape_latex("50%_{x}~^") == r"50\%\_\{x\}\textasciitilde{}\textasciicircum{}"


class Rows(HTMLParser):
    """Collects attributes and text of the cells, and the rows' classes."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[tuple[dict[str, str | None], str]] = []
        self.kinds: list[str | None] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.kinds.append(dict(attrs).get("class"))
        if tag in ("td", "th"):
            self.cells.append((dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.cells and data.strip():
            attributes, text = self.cells.pop()
            self.cells.append((attributes, text + data))


def page_of(monkeypatch: pytest.MonkeyPatch, table: Table) -> Rows:
    source = '{% from "parts.html.j2" import grid %}{{ grid(table, colours={"–": "#123456"}) }}'
    package = jinja2.PackageLoader("mmemo.reporting")
    loader = jinja2.ChoiceLoader([jinja2.DictLoader({"page": source}), package])
    monkeypatch.setattr(jinja2, "PackageLoader", lambda _: loader)
    rows = Rows()
    rows.feed(render_page("page", table=table))
    return rows


def test_a_page_shows_texts_as_they_are_with_keys_to_sort_by(
    monkeypatch: pytest.MonkeyPatch, table: Table
) -> None:
    rows = page_of(monkeypatch, table)
    assert "b" not in rows.tags
    assert rows.kinds == [None, "main", None]
    assert [text for _, text in rows.cells[3:8]] == [
        *(HOSTILE, "0.812 ± 0.010", "−3"),
        *("[0.1]", "–"),
    ]
    assert [cell.get("data-key") for cell, _ in rows.cells[3:]] == [
        *(HOSTILE, "0.81234", None),
        *("[0.1]", None, None),
    ]
    assert [cell.get("class") for cell, _ in rows.cells[:6]] == [None, "n", "n", "l", "n", "n"]
    assert "span" in rows.tags, "the swatch"


def test_what_does_not_fit_the_texts_is_refused(table: Table) -> None:
    with pytest.raises(ValueError, match="align: expected 3 letters l or r, got 'lr'"):
        Table("n", "t", table.texts, "lr")
    with pytest.raises(ValueError, match="kinds: expected one for each of 2 rows"):
        Table("n", "t", table.texts, "lrr", kinds=["main"])


def test_columns_are_left_out_with_their_keys(table: Table) -> None:
    narrow = table.without(lambda name: name.startswith("F1"))
    assert (narrow.header, narrow.align) == (["group", "group"], "lr")
    assert [[cell.text for cell in row] for _, row in narrow.rows()] == [
        [HOSTILE, "−3"],
        ["[0.1]", "12"],
    ]
    assert [row[0].key for _, row in narrow.rows()] == [HOSTILE, "[0.1]"]
