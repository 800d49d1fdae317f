"""Runs of the same setting with another seed."""

from __future__ import annotations

from pathlib import Path

from mmemo.comparison.run_groups import effective_settings
from mmemo.comparison.run_results import RunResults, find_runs, read_runs
from mmemo.errors import InputError
from mmemo.runs.run_folder import RunFolder


def seed_siblings(run: RunFolder) -> list[Path]:
    """Finished runs beside a run that differ from it in the seed alone, one for each seed.

    Of several with one seed the last in alphabetical order counts.
    """
    try:
        results, _ = read_runs(find_runs([run.path.parent]))
    except InputError:
        return []
    own = next((one for one in results if one.folder.path == run.path), None)
    if own is None:
        return []
    alike = sorted((one for one in results if _is_alike(one, own)), key=lambda one: one.name)
    by_seed = {one.seed: one.folder.path for one in alike if one.seed != own.seed}
    return [by_seed[seed] for seed in sorted(by_seed)]


def _is_alike(one: RunResults, own: RunResults) -> bool:
    return (
        one.folder.missing is None
        and one.prepared_digest == own.prepared_digest
        and effective_settings(one, pool_folds=False) == effective_settings(own, pool_folds=False)
    )
