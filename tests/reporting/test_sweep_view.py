import io
import json
import os
from pathlib import Path

import pytest
from rich.console import Console

from mmemo.runs.run_folder import RunFolder
from mmemo.sweep.cells import Cell, CellState
from mmemo.sweep.screen import SweepView, read_progress, time_left_s


def make_cell(folder: Path, **info: object) -> Cell:
    folder.mkdir(exist_ok=True)
    if info:
        (folder / "run.json").write_text(json.dumps(info))
    return Cell(RunFolder(folder), 20, "val/loss", is_maximised=False)


def write_history(folder: Path, *losses: float) -> None:
    rows = [f"{epoch},{loss}" for epoch, loss in enumerate(losses)]
    (folder / "history.csv").write_text("\n".join(["epoch,val/loss", *rows]))


@pytest.mark.parametrize(
    ("took_s", "running_s", "num_waiting", "left_s"),
    [
        # Each takes 30 s: 20 s for what runs and 60 s for the other two.
        ([20.0, 40.0], [10.0], 2, 80.0),
        # Two at a time: (20 + 0 + 90) / 2.
        ([30.0], [10.0, 35.0], 3, 55.0),
        ([30.0], [], 0, 0.0),
    ],
)
def test_the_time_left_is_the_mean_of_what_cells_took(
    took_s: list[float], running_s: list[float], num_waiting: int, left_s: float
) -> None:
    assert time_left_s(took_s, running_s, num_waiting) == left_s


def test_what_an_earlier_launch_left_does_not_count(tmp_path: Path) -> None:
    cell = make_cell(tmp_path, status="failed", error="ValueError: no")
    old_ns = cell.folder.info_file.stat().st_mtime_ns
    assert read_progress(cell, old_ns).state is CellState.WAITING
    assert read_progress(cell, None).error == "ValueError: no"
    cell.folder.info_file.write_text("")
    assert read_progress(cell, None).state is CellState.WAITING, "half written"


def test_the_view_tells_what_happens(tmp_path: Path) -> None:
    view = SweepView("sweep here")
    done = make_cell(tmp_path / "a", status="finished", best_score=1.5)
    assert view.add(done, CellState.FINISHED, False) == ["passed over: a: finished before"]
    taken = make_cell(tmp_path / "b", status="running")
    (line,) = view.add(taken, CellState.RUNNING, False)
    assert line == "passed over: b: another process works on it"
    first, second = make_cell(tmp_path / "c"), make_cell(tmp_path / "d", status="failed")
    assert view.add(first, CellState.WAITING, True) == []
    assert view.add(second, CellState.FAILED, True) == []
    assert view.poll() == []
    assert view.counts() == "4 cells: 1 finished, 1 running, 2 waiting"

    make_cell(tmp_path / "c", status="running")
    write_history(tmp_path / "c", 1.4, 1.2, 1.3)
    assert view.poll() == ["[1/4] running: c"]
    assert view.best() == ["best on validation: val/loss 1.2000, c"]
    file = io.StringIO()
    Console(file=file, width=100).print(view)
    assert "epoch 3 of 20" in file.getvalue()
    assert "time left" not in file.getvalue(), "nothing has finished yet"

    make_cell(tmp_path / "c", status="finished", best_score=1.2)
    make_cell(tmp_path / "d", status="failed", error="RuntimeError: out of memory\nand more")
    os.utime(tmp_path / "d" / "run.json", (0, 0))
    assert view.poll() == [
        "[2/4] finished: c: val/loss 1.2000",
        "[2/4] failed: d: RuntimeError: out of memory",
    ]
    assert view.left().startswith("time left: about 0:00:0")
    view.settle()
    assert view.counts() == "4 cells: 2 finished, 1 interrupted, 1 failed", "b was killed"
