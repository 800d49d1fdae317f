"""Runs put together: the seeds of one setting, the folds of one cross-validation."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePath
from typing import Any

import pandas as pd

from mmemo.evaluation.run_results import LeftOut, RunResults
from mmemo.evaluation.sweep_cells import NOT_IN_DIGEST

WITHOUT_EFFECT = (*NOT_IN_DIGEST, "seed", "hydra", "sweep")
"""Settings, and sections of them, that do not tell one group of runs from another."""

PLACES = ("folder", "root", "annotations", "csv", "checkpoint_dir", "dirpath", "path", "save_dir")
"""Last parts of keys that say where something lies."""

ENCODERS = ("audio_encoder", "text_encoder")

FOLD = "split.test_fold"
NUM_FOLDS = "split.num_test_folds"

MAX_KEYS = 4096
"""Keys are the same in most runs: of as many it is remembered whether they have an effect."""

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
        wanted = range(int(self.runs[0].settings.get(NUM_FOLDS) or 0))
        return set(wanted) - {run.settings.get(FOLD) for run in self.runs}


@dataclass(frozen=True)
class RunGroup:
    """Runs that differ in seed, and fold, alone.

    Args:
        settings: All that has an effect.
        replicates: By seed.
    """

    settings: Mapping[str, Any]
    replicates: tuple[Replicate, ...]

    @property
    def first(self) -> RunResults:
        """The first seed's first run."""
        return self.replicates[0].runs[0]

    @property
    def notes(self) -> tuple[str, ...]:
        """Which folds of a cross-validation are missing."""
        notes = []
        for replicate in self.replicates:
            missing = set() if FOLD in self.settings else replicate.missing_folds
            if missing:
                folds = ", ".join(map(str, sorted(missing)))
                num_folds = replicate.runs[0].settings[NUM_FOLDS]
                notes.append(f"seed {replicate.seed} lacks the test folds {folds} of {num_folds}")
        return tuple(notes)

    @property
    def modalities(self) -> str:
        """``audio+text``, ``audio`` or ``text``: what the model could hear and read."""
        protocol = self.first.protocol
        heard = [
            name
            for name in ("audio", "text")
            if protocol[f"{name}_encoder"] != "none" and protocol.get("missing") != name
        ]
        return "+".join(heard)


def group_runs(results: Sequence[RunResults]) -> tuple[list[RunGroup], list[LeftOut]]:
    """Group runs by their settings; of two with the same seed and fold the later one counts."""
    by_settings: dict[str, dict[tuple[int, Any], RunResults]] = defaultdict(dict)
    left_out = []
    folds = {run.settings.get(FOLD) for run in results} - {None}
    for run in sorted(results, key=lambda run: str(run.info.get("started", ""))):
        settings = effective_settings(run, pool_folds=len(folds) > 1)
        key = json.dumps(settings, sort_keys=True, default=str)
        place = (run.seed, run.settings.get(FOLD))
        earlier = by_settings[key].get(place)
        if earlier is not None:
            reason = f"has the settings and the seed of a later run, {run.name}"
            left_out.append(LeftOut(earlier.name, reason))
        by_settings[key][place] = run
    groups = []
    for runs in by_settings.values():
        seeds: dict[int, list[RunResults]] = defaultdict(list)
        for (seed, _), run in sorted(runs.items(), key=lambda item: (item[0][0], str(item[0][1]))):
            seeds[seed].append(run)
        replicates = tuple(Replicate(seed, tuple(runs)) for seed, runs in sorted(seeds.items()))
        first = replicates[0].runs[0]
        settings = effective_settings(first, pool_folds=len(folds) > 1)
        groups.append(RunGroup(settings, replicates))
    return groups, left_out


def effective_settings(run: RunResults, pool_folds: bool) -> dict[str, Any]:
    """Settings that tell a group of runs from another.

    One that is null is as one that the run's version did not have; one that takes its value from
    another has that value, or none where the other has no effect.
    """
    settings = {}
    for key, value in run.settings.items():
        source = derived_from(value)
        if source is not None and source in run.settings:
            value = None if _is_without_effect(source) else run.settings[source]
        if value is None or _is_without_effect(key) or (pool_folds and key == FOLD):
            continue
        settings[key] = value
    if run.protocol.get("missing"):
        settings["missing"] = run.protocol["missing"]
    return settings


def derived_from(value: Any) -> str | None:  # noqa: ANN401
    """The key that a setting takes its value from: of ``${seed}`` it is ``seed``."""
    found = REFERENCE.fullmatch(value) if isinstance(value, str) else None
    return found[1] if found else None


@lru_cache(maxsize=MAX_KEYS)
def _is_without_effect(key: str) -> bool:
    return key.rpartition(".")[2] in PLACES or any(
        key == name or key.startswith(f"{name}.") for name in WITHOUT_EFFECT
    )


def differing_settings(groups: Sequence[RunGroup]) -> list[dict[str, Any]]:
    """For each group the settings in which the groups differ.

    Where a part of another kind was chosen (another encoder, fusion, loss), its name stands for
    it, and of its own settings only those that differ between groups with that same part.
    """
    parts = _parts(groups)
    shown: list[dict[str, Any]] = [{} for _ in groups]
    for section, names in parts.items():
        if len(set(names)) > 1:
            for chosen, name in zip(shown, names, strict=True):
                chosen[section] = name
    for key in sorted({key for group in groups for key in group.settings}):
        section = key.partition(".")[0]
        if all(derived_from(group.first.settings.get(key)) for group in groups):
            continue
        names = parts.get(section, [""] * len(groups))
        for name in sorted(set(names)):
            members = [place for place, other in enumerate(names) if other == name]
            values = [groups[place].settings.get(key) for place in members]
            if any(value != values[0] for value in values):
                for place, value in zip(members, values, strict=True):
                    shown[place][key.removesuffix("._target_")] = _class_name(key, value)
    return shown


def group_names(groups: Sequence[RunGroup]) -> list[str]:
    """A short name for each group, from what differs; different for different groups.

    Encoders that are only there or not are told by the modalities: ``audio+text``, ``text``.
    """
    shown = differing_settings(groups)
    by_modality = _only_left_out(shown)
    keys = {key for settings in shown for key in settings}
    lasts = [key.rpartition(".")[2] for key in keys]
    short = {
        key: key if lasts.count(key.rpartition(".")[2]) > 1 else key.rpartition(".")[2]
        for key in keys
    }
    names = []
    for group, settings in zip(groups, shown, strict=True):
        labels = [group.modalities] if by_modality else []
        labels += [
            f"{short[key]}={_text(value)}"
            for key, value in settings.items()
            if not (by_modality and key in ENCODERS)
        ]
        names.append(", ".join(labels) or str(group.first.protocol["name"]))
    return names


def _only_left_out(shown: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the groups' encoders differ, in nothing but whether they are there."""
    there = [{s[name] for s in shown if name in s} - {"none"} for name in ENCODERS]
    return any(there) and all(len(names) <= 1 for names in there)


def _parts(groups: Sequence[RunGroup]) -> dict[str, list[str]]:
    """For each section that is built from a class, its name in each group.

    The name is short where that tells the groups' parts apart: the last part of a checkpoint.
    """
    sections = {
        key.removesuffix("._target_")
        for group in groups
        for key in group.settings
        if key.count(".") == 1 and key.endswith("._target_")
    }
    parts = {}
    for section in sorted(sections):
        full = [_part(group.settings, section) for group in groups]
        short = [PurePath(name).name for _, name in full]
        is_clear = len(set(short)) == len(set(full))
        parts[section] = short if is_clear else [":".join(filter(None, part)) for part in full]
    return parts


def _part(settings: Mapping[str, Any], section: str) -> tuple[str, str]:
    """Class and name of a part."""
    target = settings.get(f"{section}._target_")
    if target is None:
        return "", "none"
    named = settings.get(f"{section}.checkpoint") or settings.get(f"{section}.name")
    kind = _class_name("_target_", target)
    return kind, str(named or kind)


def _class_name(key: str, value: Any) -> Any:  # noqa: ANN401
    """Of a class its last name; of any other setting its value."""
    is_class = key.endswith("_target_") and isinstance(value, str)
    return value.rpartition(".")[2] if is_class else value


def _text(value: Any) -> str:  # noqa: ANN401
    return (
        "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )


def _joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return tables[0] if len(tables) == 1 else pd.concat(tables, ignore_index=True)
