"""Tables of texts as LaTeX; they need the packages booktabs and graphicx."""

from __future__ import annotations

import re

from mmemo.reporting.text_table import Cell, TextTable

NAME_WIDTH = {1: 0.34, 2: 0.2}
MANY_NAMES_WIDTH = 0.1
CHARACTERS = {
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
PATTERN = re.compile("|".join(map(re.escape, CHARACTERS)))


def escape(text: str) -> str:
    """Text that LaTeX prints as it reads; every special character is escaped once."""
    return PATTERN.sub(lambda match: CHARACTERS[match[0]], text)


def booktabs(table: TextTable, caption: str, label: str, max_rows: int) -> str:
    r"""A ``table*`` with ``\toprule``, ``\midrule`` and ``\bottomrule``, never wider than the text.

    In a document of one column ``table*`` is ``table``.

    Args:
        table: What to write.
        caption: Above it.
        label: Of ``\label``; letters, digits, ``:`` and ``-``.
        max_rows: A page holds no more; the caption says what is left out.
    """
    if len(table.rows) > max_rows:
        caption += f" The first {max_rows} of {len(table.rows)} rows."
    names = table.align.count("l")
    width = NAME_WIDTH.get(names, MANY_NAMES_WIDTH)
    columns = table.align.replace("l", rf"p{{{width}\linewidth}}")
    heads = [_head(text, side) for text, side in zip(table.header, table.align, strict=True)]
    return "\n".join(
        [
            r"\begin{table*}[htbp]",
            r"\centering\small\setlength{\tabcolsep}{4pt}",
            rf"\caption{{{escape(caption)}}}",
            rf"\label{{{label}}}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
            r"\toprule",
            _row(heads),
            r"\midrule",
            *(_row(list(map(_cell, row))) for row in table.rows[:max_rows]),
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table*}",
        ]
    )


def _row(cells: list[str]) -> str:
    # After the row before, a bracket or star would be read as an argument of its line break.
    guard = "{}" if cells[0].startswith(("[", "*")) else ""
    return guard + " & ".join(cells) + r" \\"


def _head(text: str, side: str) -> str:
    lines = [escape(line) for line in text.split("\n")]
    if len(lines) == 1:
        return lines[0]
    return rf"\begin{{tabular}}[t]{{@{{}}{side}@{{}}}}" + r" \\ ".join(lines) + r"\end{tabular}"


def _cell(cell: Cell) -> str:
    return escape(cell.text)
