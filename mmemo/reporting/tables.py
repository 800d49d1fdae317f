"""Tables of texts: a data frame that is written for a terminal, Markdown, LaTeX and pages.

``table.html.j2`` writes them for a page; ``table.texts.to_csv`` as CSV.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table as TerminalTable
from rich.text import Text

from mmemo.reporting.numbers import interval, mean_sd, score

if TYPE_CHECKING:
    from mmemo.evaluation.intervals import Interval
    from mmemo.evaluation.seed_summary import SeedSummary

NUM_COLUMNS = 120
MIN_NAME_WIDTH = 20
COLUMN_GAP = 2
SUB_INDENT = "  "
NAME_WIDTH = {1: 0.34, 2: 0.2}
MANY_NAMES_WIDTH = 0.1
LATEX_CHARACTERS = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    "|": r"\textbar{}",
    '"': "''",
    "±": r"$\pm$",
    "−": r"$-$",
    "–": "--",
    "→": r"$\rightarrow$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "†": r"$^{\dagger}$",
    "…": r"\ldots{}",
    "’": "'",
    "\u00a0": "~",
    "\n": " ",
}
LATEX_PATTERN = re.compile("|".join(map(re.escape, LATEX_CHARACTERS)))


class Cell(NamedTuple):
    """One cell.

    Args:
        text: What is read.
        key: What it is sorted by; None where it is undefined.
    """

    text: str
    key: float | str | None = None


@dataclass(frozen=True)
class Table:
    """A table of texts; ``table_of`` makes one from rows.

    Args:
        name: What it holds, for choosing among tables.
        title: Above it.
        texts: What is read; the columns' names are the header, in which a line break stands where
            a narrow column breaks. Names may repeat.
        align: One letter for each column: ``l`` for names, ``r`` for numbers.
        note: What must be known to read it.
        keys: What the cells are sorted by, in the shape of ``texts``, None where undefined; a page
            then lets its reader sort. None for a table of one order.
        kinds: A class of the style sheet for each row: ``main``, ``sub``, ``aside`` or nothing.
            Empty for rows that are all alike.
    """

    name: str
    title: str
    texts: pd.DataFrame
    align: str
    note: str = ""
    keys: pd.DataFrame | None = None
    kinds: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Check that ``align`` and ``kinds`` are of the texts' shape."""
        num_rows, num_columns = self.texts.shape
        if len(self.align) != num_columns or set(self.align) - {"l", "r"}:
            raise ValueError(f"align: expected {num_columns} letters l or r, got {self.align!r}")
        if self.kinds and len(self.kinds) != num_rows:
            raise ValueError(f"kinds: expected one for each of {num_rows} rows, got {self.kinds}")

    @property
    def header(self) -> list[str]:
        """The columns' names."""
        return [str(name) for name in self.texts.columns]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.texts)

    def without(self, is_left_out: Callable[[str], bool]) -> Table:
        """The table without the columns of some names."""
        kept = [place for place, name in enumerate(self.header) if not is_left_out(name)]
        return replace(
            self,
            texts=self.texts.iloc[:, kept],
            align="".join(self.align[place] for place in kept),
            keys=None if self.keys is None else self.keys.iloc[:, kept],
        )

    def rows(self) -> Iterator[tuple[str, list[Cell]]]:
        """Each row's kind and cells."""
        texts = self.texts.itertuples(index=False, name=None)
        if self.keys is None:
            rows = [[Cell(text) for text in row] for row in texts]
        else:
            keys = self.keys.itertuples(index=False, name=None)
            rows = [list(map(Cell, *row)) for row in zip(texts, keys, strict=True)]
        return zip(self.kinds or [""] * len(self), rows, strict=True)


def table_of(
    name: str,
    title: str,
    header: Sequence[str],
    align: str,
    rows: Sequence[Sequence[Cell | str]],
    note: str = "",
    kinds: Sequence[str] = (),
) -> Table:
    """A table from its rows, of as many cells as the header; see ``Table`` for the rest.

    It can be sorted in a page if any cell has a key.
    """
    cells = [[Cell(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    texts, keys = (
        pd.DataFrame(
            [[cell[part] for cell in row] for row in cells], columns=list(header), dtype="object"
        )
        for part in (0, 1)
    )
    is_sortable = any(cell.key is not None for row in cells for cell in row)
    return Table(name, title, texts, align, note, keys if is_sortable else None, kinds)


def named(text: str) -> Cell:
    """A cell that is sorted as it reads."""
    return Cell(text, text)


def score_cell(value: float | None) -> Cell:
    """A score, a dash where it is undefined."""
    return Cell(score(value), value)


def mean_cell(summary: SeedSummary | None) -> Cell:
    """Mean and standard deviation, sorted by the mean."""
    return Cell(mean_sd(summary), None if summary is None else summary.mean)


def interval_cell(bounds: Interval | None, with_sign: bool = False) -> Cell:
    """An interval, sorted by its lower bound."""
    return Cell(interval(bounds, with_sign), bounds[0] if bounds else None)


def plain_console() -> Console:
    """A console of ``NUM_COLUMNS`` plain columns that keeps what is printed, for ``printed``."""
    return Console(
        file=StringIO(),
        record=True,
        width=NUM_COLUMNS,
        color_system=None,
        force_terminal=False,
        legacy_windows=False,
    )


def printed(console: Console) -> str:
    """What was printed to a ``plain_console``, without blanks at the ends of lines."""
    text = console.export_text(clear=False)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def print_table(console: Console, table: Table, limit: int | None = None) -> None:
    """Print a table, its columns in several below each other where the width does not suffice.

    Args:
        console: A console of ``NUM_COLUMNS`` columns.
        table: What to print.
        limit: How many rows at most; what is left out is said. None for all.
    """
    shown = table.texts if limit is None else table.texts.head(limit)
    console.print(Text(f"\n{table.title}"))
    for places in _stacked_columns(table):
        part = TerminalTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        part.show_edge = False
        for place in places:
            is_name = table.align[place] == "l"
            # Names may break; a number that breaks cannot be read.
            part.add_column(
                Text(table.header[place]),
                justify="left" if is_name else "right",
                no_wrap=not is_name,
                overflow="fold",
            )
        rows = shown.iloc[:, places].itertuples(index=False, name=None)
        for kind, (first, *others) in zip(table.kinds or [""] * len(table), rows, strict=False):
            part.add_row(*map(Text, (f"{SUB_INDENT}{first}" if kind == "sub" else first, *others)))
        console.print(part)
    if len(table) > len(shown):
        console.print(Text(f"The first {len(shown)} of {len(table)}; the page has them all."))
    if table.note:
        console.print(Text(table.note))


def _stacked_columns(table: Table) -> list[list[int]]:
    """Columns in so many stacked tables that each fits; the names stand in every one."""
    names = [place for place, side in enumerate(table.align) if side == "l"]
    room = NUM_COLUMNS - len(names) * MIN_NAME_WIDTH
    stacks: list[list[int]] = [[]]
    used = 0
    for place in (place for place, side in enumerate(table.align) if side == "r"):
        texts = [table.header[place], *table.texts.iloc[:, place]]
        width = max(len(line) for text in texts for line in text.split("\n")) + COLUMN_GAP
        if used + width > room and stacks[-1]:
            stacks.append([])
            used = 0
        stacks[-1].append(place)
        used += width
    return [sorted(names + stack) for stack in stacks]


def markdown(table: Table) -> str:
    """The rows of a table as Markdown; title and note are the caller's."""
    rows = [
        table.header,
        ["---" if side == "l" else "---:" for side in table.align],
        *table.texts.itertuples(index=False, name=None),
    ]
    escaped = (
        row if index == 1 else [escape_markdown(text.replace("\n", " ")) for text in row]
        for index, row in enumerate(rows)
    )
    return "\n".join(f"| {' | '.join(row)} |" for row in escaped)


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it reads; underscores inside words need no escape."""
    return re.sub(r"([\\`*<>|\[\]#~$])", r"\\\1", text)


def latex(table: Table, caption: str, label: str, max_rows: int) -> str:
    r"""A ``table*`` with booktabs' rules, never wider than the text; needs graphicx too.

    In a document of one column ``table*`` is ``table``.

    Args:
        table: What to write.
        caption: Above it.
        label: Name of ``\label``; letters, digits, ``:`` and ``-``.
        max_rows: A page holds no more; the caption says what is left out.
    """
    if len(table) > max_rows:
        caption += f" The first {max_rows} of {len(table)} rows."
    width = NAME_WIDTH.get(table.align.count("l"), MANY_NAMES_WIDTH)
    columns = table.align.replace("l", rf"p{{{width}\linewidth}}")
    heads = [_latex_head(*head) for head in zip(table.header, table.align, strict=True)]
    shown = table.texts.head(max_rows).map(escape_latex).set_axis(heads, axis="columns")
    # After the row before, a bracket or star would be read as an argument of its line break.
    shown.isetitem(0, shown.iloc[:, 0].str.replace(r"^(?=[\[*])", "{}", regex=True).array)
    tabular = shown.style.hide(axis="index").to_latex(
        column_format=f"@{{}}{columns}@{{}}", hrules=True
    )
    return "\n".join(
        [
            r"\begin{table*}[htbp]",
            r"\centering\small\setlength{\tabcolsep}{4pt}",
            rf"\caption{{{escape_latex(caption)}}}",
            rf"\label{{{label}}}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            tabular.rstrip() + "}",
            r"\end{table*}",
        ]
    )


def escape_latex(text: str) -> str:
    """Text that LaTeX prints as it reads; every special character is escaped once."""
    return LATEX_PATTERN.sub(lambda match: LATEX_CHARACTERS[match[0]], text)


def _latex_head(text: str, side: str) -> str:
    lines = list(map(escape_latex, text.split("\n")))
    if len(lines) == 1:
        return lines[0]
    return rf"\begin{{tabular}}[t]{{@{{}}{side}@{{}}}}" + r" \\ ".join(lines) + r"\end{tabular}"
