"""Runs put together: the seeds of one setting, the folds of one cross-validation."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mmemo.comparison.runs import LeftOut, RunResults, Setting, find_runs, read_runs
from mmemo.errors import InputError
from mmemo.runs.run_folder import RunFolder
from mmemo.runs.settings import SOURCE_RUNS, has_effect

FOLD = "split.test_fold"
VAL_FOLD = "split.val_fold"
NUM_TEST_FOLDS = "num_test_folds"
NUM_FOLDS = f"split.{NUM_TEST_FOLDS}"

DATA = "prepared.digest"
"""Key of what tells one corpus from another, wherever it lies: its utterances and their sound."""

LABEL = "label"
"""Key of the user's own name for runs."""

PART = "rows of"
"""Key of the one of several corpora that the rows of test are of."""

NAMED_RUN = "run"
"""Stands for whichever run another is made of: each seed has its own."""

REFERENCE = re.compile(r"\$\{([\w.]+)\}")


@dataclass(frozen=True)
class Replicate:
    """One seed of a group: one run, or the runs of a cross-validation taken together."""

    seed: int
    runs: tuple[RunResults, ...]

    @property
    def val(self) -> pd.DataFrame:
        """Predictions of validation, of all folds."""
        return _joined([run.val for run in self.runs])

    @property
    def test(self) -> pd.DataFrame:
        """Predictions of test, of all folds."""
        return _joined([run.test for run in self.runs])

    @property
    def missing_folds(self) -> set[int]:
        """Folds of its cross-validation that no run of this seed has tested."""
        return {fold for fold in range(self.num_folds) if fold not in self.test_folds}

    @property
    def num_folds(self) -> int:
        """Folds of its cross-validation; 0 where there is none."""
        num_folds = self.runs[0].protocol.split_settings.get(NUM_TEST_FOLDS)
        # A protocol of an earlier mmemo may hold what its config has alone.
        found = self.runs[0].settings.get(NUM_FOLDS) if num_folds is None else num_folds
        return found if isinstance(found, int) else 0

    @property
    def test_folds(self) -> set[Setting]:
        """Folds that its runs have tested."""
        return {run.settings.get(FOLD) for run in self.runs}

    @property
    def is_uneven(self) -> bool:
        """Whether some test folds lack a validation fold that others have."""
        val_folds = {run.settings.get(VAL_FOLD) for run in self.runs}
        return len(self.runs) < len(self.test_folds) * len(val_folds)


@dataclass(frozen=True)
class RunGroup:
    """Runs that differ in seed, and fold, alone.

    Args:
        settings: All that has an effect.
        replicates: By seed.
    """

    settings: Mapping[str, Setting]
    replicates: tuple[Replicate, ...]

    @property
    def first(self) -> RunResults:
        """The first seed's first run."""
        return self.replicates[0].runs[0]

    def option(self, group: str) -> str | None:
        """The option of conf/ that was chosen of a config group; None if the run does not tell."""
        return self.first.info.choices.get(group)

    @property
    def notes(self) -> tuple[str, ...]:
        """Which folds of a cross-validation are missing."""
        notes: list[str] = []
        if self.first.part is not None:
            # A fold may test one corpus alone.
            return ()
        for replicate in self.replicates:
            if replicate.is_uneven:
                notes.append(f"seed {replicate.seed} lacks validation folds of some test folds")
            missing = set() if FOLD in self.settings else replicate.missing_folds
            if missing:
                folds = ", ".join(map(str, sorted(missing)))
                of = f"of {replicate.num_folds}"
                notes.append(f"seed {replicate.seed} lacks the test folds {folds} {of}")
        return tuple(notes)

    @property
    def modalities(self) -> str:
        """``audio+text``, ``audio`` or ``text``: what the model could hear and read."""
        protocol = self.first.protocol
        encoders = {"audio": protocol.audio_encoder, "text": protocol.text_encoder}
        missing = protocol.missing
        return "+".join(n for n, name in encoders.items() if name != "none" and n != missing)


def group_runs(results: Sequence[RunResults]) -> tuple[list[RunGroup], list[LeftOut]]:
    """Group runs by their settings; of two with the same seed and fold the later one counts."""
    by_settings: dict[str, dict[tuple[int, Setting, Setting], RunResults]] = defaultdict(dict)
    left_out = []
    folds = [{run.settings.get(key) for run in results} - {None} for key in (FOLD, VAL_FOLD)]
    has_folds = any(len(values) > 1 for values in folds)
    for run in sorted(results, key=lambda run: run.info.started or ""):
        settings = effective_settings(run, pool_folds=has_folds)
        key = json.dumps(settings, sort_keys=True, default=str)
        place = (run.seed, run.settings.get(FOLD), run.settings.get(VAL_FOLD))
        earlier = by_settings[key].get(place)
        if earlier is not None:
            reason = f"has the settings and the seed of a later run, {run.name}"
            left_out.append(LeftOut(earlier.name, reason))
        by_settings[key][place] = run
    groups = []
    for runs in by_settings.values():
        seeds: dict[int, list[RunResults]] = defaultdict(list)
        for place in sorted(runs, key=lambda place: (place[0], str(place[1]), str(place[2]))):
            seeds[place[0]].append(runs[place])
        replicates = tuple(Replicate(seed, tuple(runs)) for seed, runs in sorted(seeds.items()))
        first = replicates[0].runs[0]
        settings = effective_settings(first, pool_folds=has_folds)
        groups.append(RunGroup(settings, replicates))
    return groups, left_out


def effective_settings(run: RunResults, pool_folds: bool) -> dict[str, Setting]:
    """Settings that tell a group of runs from another, the data that they were trained on too.

    One that is null is as one that the run's version did not have; one that takes its value from
    another has that value, or none where the other has no effect. Of a run that another is made of
    counts that there is one, not which.
    """
    settings: dict[str, Setting] = {DATA: run.prepared_digest}
    for key, value in run.settings.items():
        source = derived_from(value)
        if source is not None and source in run.settings:
            value = run.settings[source] if has_effect(source) else None
        if key in SOURCE_RUNS and value is not None:
            settings[key] = NAMED_RUN
        if value is None or not has_effect(key) or (pool_folds and key in (FOLD, VAL_FOLD)):
            continue
        settings[key] = value
    if run.label is not None:
        settings[LABEL] = run.label
    if run.protocol.missing:
        settings["missing"] = run.protocol.missing
    if run.protocol.evaluated_on:
        settings["evaluated_on"] = run.protocol.evaluated_on.stamp
    if run.part is not None:
        settings[PART] = run.part
    return settings


def derived_from(value: Setting) -> str | None:
    """The key that a setting takes its value from: of ``${seed}`` it is ``seed``."""
    if not isinstance(value, str) or not value.startswith("${"):
        return None
    found = REFERENCE.fullmatch(value)
    return found[1] if found else None


def _joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return tables[0] if len(tables) == 1 else pd.concat(tables, ignore_index=True)


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
        and one.folder.other is None
        and one.prepared_digest == own.prepared_digest
        and effective_settings(one, pool_folds=False) == effective_settings(own, pool_folds=False)
    )
