"""Tables of texts in plain characters, for a terminal or a pipe."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mmemo.reporting.text_table import TextTable

NUM_COLUMNS = 120
MIN_NAME_WIDTH = 20
COLUMN_GAP = 2


def print_table(console: Console, part: TextTable, limit: int | None = None) -> None:
    """Print a table, its columns in several below each other where the width does not suffice.

    Args:
        console: Of ``NUM_COLUMNS`` columns.
        part: What to print.
        limit: How many rows at most; what is left out is said. None for all.
    """
    max_rows = len(part.rows) if limit is None else limit
    console.print(Text(f"\n{part.title}"))
    for columns in _fitting(part):
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
        for column in columns:
            is_name = part.align[column] == "l"
            # Names may break; a number that breaks cannot be read.
            table.add_column(
                Text(part.header[column]),
                justify="left" if is_name else "right",
                no_wrap=not is_name,
                overflow="fold",
            )
        for row in part.rows[:max_rows]:
            table.add_row(*(Text(row[column].text) for column in columns))
        console.print(table)
    if len(part.rows) > max_rows:
        console.print(Text(f"The first {max_rows} of {len(part.rows)}; the page has them all."))
    if part.note:
        console.print(Text(part.note))


def _fitting(part: TextTable) -> list[list[int]]:
    """Columns in so many stacked tables that each fits; the names stand in every one."""
    names = [i for i, side in enumerate(part.align) if side == "l"]
    room = NUM_COLUMNS - len(names) * MIN_NAME_WIDTH
    stacks: list[list[int]] = [[]]
    used = 0
    for column in (i for i, side in enumerate(part.align) if side == "r"):
        texts = [part.header[column], *(row[column].text for row in part.rows)]
        width = max(len(line) for text in texts for line in text.split("\n")) + COLUMN_GAP
        if used + width > room and stacks[-1]:
            stacks.append([])
            used = 0
        stacks[-1].append(column)
        used += width
    return [sorted(names + stack) for stack in stacks]
