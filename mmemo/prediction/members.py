"""The runs that answer together: named one by one, or as the folder of a group of seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmemo.comparison.groups import group_runs
from mmemo.comparison.runs import find_runs, read_runs
from mmemo.errors import InputError
from mmemo.prediction.ensemble import Ensemble
from mmemo.runs.predictor import Predictor
from mmemo.runs.run_folder import RunFolder


def open_ensemble(
    runs: Sequence[str | Path], trusted: Sequence[str] = (), accelerator: str = "auto"
) -> Ensemble:
    """Load runs from their folders.

    Args:
        runs: Run folders, or folders with the runs of one setting.
        trusted: What they may build beside what mmemo's own configs do.
        accelerator: The device, as Lightning names it.

    Raises:
        InputError: If there is none, one cannot be loaded, or they do not fit together.
    """
    folders = run_folders(runs)
    return Ensemble([Predictor.open(path, trusted, accelerator) for path in folders])


def run_folders(given: Sequence[str | Path]) -> list[Path]:
    """Each run's folder once, in the order in which they were named.

    Raises:
        InputError: If none is named, or a folder holds runs of several settings.
    """
    found: list[Path] = []
    for name in given:
        path = Path(name).expanduser().absolute()
        is_run = (path / RunFolder.INFO_NAME).is_file() or not path.is_dir()
        found += [path] if is_run else _group(path)
    if not found:
        raise InputError("run: expected a run folder, got none; name one")
    return list(dict.fromkeys(found))


def _group(folder: Path) -> list[Path]:
    """The runs of the one setting that a folder holds, by seed."""
    results, left_out = read_runs([run for run in find_runs([folder]) if run.missing is None])
    groups, _ = group_runs(results)
    if len(groups) == 1:
        return [run.folder.path for seed in groups[0].replicates for run in seed.runs]
    if not groups:
        why = f"; {left_out[0].run}: {left_out[0].reason}" if left_out else ""
        raise InputError(f"{folder}: expected evaluated runs, found none{why}")
    names = ", ".join(group.first.folder.path.name for group in groups)
    raise InputError(
        f"{folder}: expected runs that differ in the seed alone, found {len(groups)} settings "
        f"(one of each: {names}); name the runs: run=[A,B,C]"
    )
