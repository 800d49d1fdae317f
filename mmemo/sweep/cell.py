"""One cell of a sweep, in whatever process the launcher runs it."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from mmemo.cores import num_cores
from mmemo.errors import InputError
from mmemo.runs.input_errors import input_error
from mmemo.runs.run_files import check_checksums
from mmemo.runs.run_folder import ENDED, RunFolder, RunTakenError
from mmemo.sweep.cells import DONE, LOG_FILE, CellState, cell_state
from mmemo.training.stop_signals import Stopped, hand_on

HYDRA_FOLDER = ".hydra"
ENCODERS = ("audio_encoder", "text_encoder")

_stopped: list[Stopped] = []
"""The signal that this process obeys: a launcher's worker would begin the next cell."""


def run_cell(cfg: DictConfig, work: Callable[[DictConfig], float]) -> float | None:
    """Run, continue or skip a cell; what it prints goes into a file in its folder.

    A failing cell does not raise, so that the others go on: its folder tells.

    Args:
        cfg: The cell's config; its folder has been made.
        work: Trains in the folder ``cfg.run_dir``, or continues the run ``cfg.resume``.

    Returns:
        The best validation score; None where there is none: the cell failed, or another process
        works on it.

    Raises:
        Stopped: If a signal ended it.
    """
    if _stopped:
        raise _stopped[0]
    folder = RunFolder(Path(cfg.run_dir))
    state = cell_state(folder)
    if state in DONE or state is CellState.RUNNING:
        return best_score(folder)
    try:
        with _output_to(folder.path / LOG_FILE):
            if state is CellState.DAMAGED:
                print(f"begun anew: {_problem(folder)}")
            return _work_on(folder, state, cfg, work)
    except Stopped as stop:
        note_stop(stop)
        hand_on(stop)
        raise


def _work_on(
    folder: RunFolder, state: CellState, cfg: DictConfig, work: Callable[[DictConfig], float]
) -> float | None:
    try:
        _take_up(folder, state, cfg)
        _without_bar(cfg)
        _share_cores(cfg)
        _start_processes_as_ever()
        return work(cfg)
    except RunTakenError as error:
        print(error, file=sys.stderr)
    except Exception as error:
        _note_failure(folder, error)
    finally:
        _free_memory()
    return None


def note_stop(stop: Stopped) -> None:
    """Let no further cell of this process begin."""
    _stopped.append(stop)


def forget_stop() -> None:
    """Before a new sweep in a process that has stopped one."""
    _stopped.clear()


def best_score(folder: RunFolder) -> float | None:
    """The best validation score that the folder tells of, if any."""
    with suppress(InputError):
        return folder.read_info().best_score
    return None


def _problem(folder: RunFolder) -> str:
    try:
        folder.read_info()
    except InputError as error:
        return str(error)
    return ""


def _take_up(folder: RunFolder, state: CellState, cfg: DictConfig) -> None:
    """Go on from the last checkpoint, or begin again in the same folder.

    A run that failed while it trained begins again: its last state may be what failed it. So does
    one with a file that is damaged.
    """
    if state is CellState.WAITING:
        return
    if state is not CellState.DAMAGED and _can_go_on(folder, state):
        cfg.resume = str(folder.path)
    else:
        folder.clear(keep=(LOG_FILE, HYDRA_FOLDER), unless=ENDED)


def _can_go_on(folder: RunFolder, state: CellState) -> bool:
    info = folder.read_info()
    is_trained = info.checkpoint is not None
    has_state = folder.last_checkpoint.is_file() and folder.composed_config_file.is_file()
    if not has_state or not (state is CellState.INTERRUPTED or is_trained):
        return False
    kept = [folder.data_file, *(folder.assets(name) for name in ENCODERS)]
    kept += [folder.path / info.checkpoint] if info.checkpoint is not None else []
    try:
        for path in kept:
            folder.check_digest(path)
        if folder.data_file.is_file():
            folder.read_data_card()
        if info.digests:
            check_checksums(folder.last_checkpoint)
    except ValueError as error:
        print(f"begun anew: {error}")
        return False
    return True


def _without_bar(cfg: DictConfig) -> None:
    """The log would have a line for every batch."""
    callbacks = (cfg.get("callbacks") or {}).values()
    if "trainer" in cfg and not any("ProgressBar" in str(c) for c in callbacks):
        show = cfg.trainer.get("enable_progress_bar", False)
        OmegaConf.update(cfg, "trainer.enable_progress_bar", show, force_add=True)


def _share_cores(cfg: DictConfig) -> None:
    """Let preparation take this cell's share of the cores where several run on one machine.

    The threads of torch are shared by the launcher itself, before torch is there.
    """
    num_cells = HydraConfig.get().launcher.get("n_jobs", 1)
    cores = num_cores()
    if num_cells < 0:
        # As joblib counts: -1 for all cores.
        num_cells = max(cores + 1 + num_cells, 1)
    share = max(cores // num_cells, 1)
    parts = [cfg[name] for name in ("preparer", "corpus") if name in cfg]
    parts += (OmegaConf.select(cfg, "corpus.parts") or {}).values()
    for part in parts:
        if num_cells > 1 and part.get("num_workers", 0) is None:
            part.num_workers = share


def _start_processes_as_ever() -> None:
    """In joblib's workers the default is a way of joblib's own, on which pools break."""
    if multiprocessing.get_start_method(allow_none=True) == "loky":
        multiprocessing.set_start_method(None, force=True)


def _note_failure(folder: RunFolder, error: Exception) -> None:
    problem = input_error(error)
    if problem is None:
        traceback.print_exception(error)
    else:
        print(f"mmemo: error: {problem}", file=sys.stderr)
    if not folder.info_file.is_file():
        RunFolder.create(folder.path)
    folder.fail(str(problem) if problem else f"{type(error).__name__}: {error}")


def _free_memory() -> None:
    """What a failed cell leaves on the GPU is not there for the next one."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


@contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """Send what this process and those that it starts print to the end of a file."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        # Hydra's, which would write the lines of its other handler into the same file again.
        if isinstance(handler, logging.FileHandler):
            root.removeHandler(handler)
            handler.close()
    sys.stdout.flush()
    sys.stderr.flush()
    kept = {number: os.dup(number) for number in (1, 2)}
    with path.open("a", buffering=1, encoding="utf-8", errors="replace") as file:
        for number in kept:
            os.dup2(file.fileno(), number)
        try:
            with redirect_stdout(file), redirect_stderr(file):
                yield
        finally:
            for number, copy in kept.items():
                os.dup2(copy, number)
                os.close(copy)
