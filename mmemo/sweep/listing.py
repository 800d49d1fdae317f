"""``mmemo train --dry-run``: the cells of a sweep, without running any."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmemo.errors import InputError

if TYPE_CHECKING:
    # Every command looks for the flag, and few list a sweep.
    from mmemo.sweep.cells import Cell

DRY_RUN = "--dry-run"


MULTIRUN = re.compile(r"-m|--multirun|\+{0,2}sweep=.*|hydra\.mode=MULTIRUN")


def is_sweep_of_cells(arguments: Sequence[str]) -> bool:
    """Whether what follows ``mmemo train`` is a sweep."""
    return any(MULTIRUN.fullmatch(argument) for argument in arguments)


def check_listable(command: str, arguments: Sequence[str]) -> None:
    """Refuse ``--dry-run`` where there are no cells to list.

    Raises:
        InputError: If the command is no sweep of trainings.
    """
    if DRY_RUN not in arguments:
        return
    if command != "train" or not is_sweep_of_cells(arguments):
        raise InputError(
            f"{DRY_RUN}: expected a sweep, whose cells it lists (mmemo train -m … or +sweep=…), "
            "got one command to run; --cfg job shows its settings"
        )


@dataclass(frozen=True)
class ListedCell:
    """A cell and what composes it.

    Args:
        cell: The cell.
        overrides: Of its job, as Hydra is given them.
    """

    cell: Cell
    overrides: Sequence[str]


def listing(cells: Sequence[ListedCell], folder: Path, is_search: bool) -> str:
    """A line for the state and name of each cell, and one for its overrides.

    Args:
        cells: In the order in which they would run.
        folder: The sweep's.
        is_search: Whether a sweeper chooses further cells by the scores of these.
    """
    from mmemo.sweep.cells import DONE, CellState, cell_state

    lines, num_to_run = [], 0
    for listed in cells:
        state = cell_state(listed.cell.folder)
        num_to_run += state not in (*DONE, CellState.RUNNING)
        lines += [f"{state.value:<12}{listed.cell.name}", f"{'':<12}{shlex.join(listed.overrides)}"]
    lines.append(f"{len(cells)} cells, {num_to_run} to be run; sweep folder: {folder}")
    if is_search:
        lines.append("These are the first; the sweeper chooses the others by their scores.")
    return "\n".join(lines)


def remove_traces(folder: Path, output_dir: Path) -> None:
    """Remove what Hydra has made for a sweep that was only listed: nothing that holds a run.

    Args:
        folder: The sweep's.
        output_dir: The folder that all runs lie in, which stays.
    """
    with suppress(OSError):
        if not any(path.is_dir() for path in folder.iterdir()):
            (folder / "multirun.yaml").unlink(missing_ok=True)
    for path in (folder, *folder.parents):
        if output_dir not in path.parents:
            break
        try:
            path.rmdir()
        except OSError:
            break
