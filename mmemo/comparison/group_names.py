"""Short names for groups of runs, from the settings in which they differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os.path import commonprefix
from pathlib import PurePath

from mmemo.comparison.groups import DATA, LABEL, RunGroup, derived_from
from mmemo.comparison.runs import Setting

ENCODERS = ("audio_encoder", "text_encoder")
MODALITY = "modality"
SYSTEM = "system"
AUGMENTATION = "augmentation"
CORPUS_PLACES = ("corpus.csv", "corpus.root", "corpus.annotations", "corpus.folder")
DIGEST_DIGITS = 8


def differing_settings(groups: Sequence[RunGroup]) -> list[dict[str, Setting]]:
    """For each group the settings in which the groups differ.

    Where a part of another kind was chosen (another encoder, fusion, loss), its name stands for
    it, and of its own settings only those that differ between groups with that same part. Groups
    of other data are told by it where nothing else tells them apart.
    """
    parts = _parts(groups)
    shown: list[dict[str, Setting]] = [{} for _ in groups]
    for section, names in parts.items():
        if len(set(names)) > 1:
            for chosen, name in zip(shown, names, strict=True):
                chosen[section] = name
    for key in sorted({key for group in groups for key in group.settings}):
        section = key.partition(".")[0]
        # A run from before an option was there lacks what now refers to it.
        given = [group.first.settings[key] for group in groups if key in group.first.settings]
        if key == DATA or (given and all(map(derived_from, given))):
            continue
        names = parts.get(section, [""] * len(groups))
        for name in sorted(set(names)):
            members = [place for place, other in enumerate(names) if other == name]
            values = [groups[place].settings.get(key) for place in members]
            if any(value != values[0] for value in values):
                for place, value in zip(members, values, strict=True):
                    shown[place][key.removesuffix("._target_")] = _class_name(key, value)
    _add_data(groups, shown)
    return shown


def _add_data(groups: Sequence[RunGroup], shown: Sequence[dict[str, Setting]]) -> None:
    """Add what tells the data apart: where the corpus lies, else the digest of the data."""
    descriptions = [repr(sorted(settings.items(), key=str)) for settings in shown]
    for same in set(descriptions):
        members = [place for place, text in enumerate(descriptions) if text == same]
        if len({groups[place].settings.get(DATA) for place in members}) < 2:
            continue
        for key in CORPUS_PLACES:
            paths = [str(groups[place].first.settings.get(key)) for place in members]
            if len(set(paths)) == len(paths):
                names = [PurePath(path).name for path in paths]
                values = names if len(set(names)) == len(names) else paths
                break
        else:
            key = DATA
            values = [str(groups[place].settings.get(DATA))[:DIGEST_DIGITS] for place in members]
        for place, value in zip(members, values, strict=True):
            shown[place][key] = value


def group_names(groups: Sequence[RunGroup]) -> list[str]:
    """A short name for each group, from what differs; different for different groups.

    Encoders that are only there or not are told by the modalities: ``audio+text``, ``text``; by
    the option where that chose them, ``modality=text``. Where each group has chosen a system, it
    stands for all that follows from it. A label of the user's own stands first, and alone where it
    suffices.
    """
    labels_alone = [group.settings.get(LABEL) for group in groups]
    if None not in labels_alone and len(set(labels_alone)) == len(groups):
        return [str(label) for label in labels_alone]
    systems = _systems(groups)
    shown = _without_what_follows(systems, differing_settings(groups))
    by_modality = _only_left_out(shown)
    keys = {key for settings in shown for key in settings}
    lasts = [key.rpartition(".")[2] for key in keys]
    short = {
        key: key if lasts.count(key.rpartition(".")[2]) > 1 else key.rpartition(".")[2]
        for key in keys
    }
    names = []
    for group, system, settings in zip(groups, systems, shown, strict=True):
        labels = [str(settings[LABEL])] if settings.get(LABEL) else []
        labels += [system] if system else []
        labels += [_modality(groups, group)] if by_modality else []
        labels += [
            f"{short[key]}={_text(value)}"
            for key, value in settings.items()
            if not (by_modality and key in ENCODERS) and key != LABEL
        ]
        names.append(", ".join(labels) or str(group.first.protocol.name))
    return names


def _systems(groups: Sequence[RunGroup]) -> list[str | None]:
    """The system that each group has chosen; None for all where one has none, or none differs."""
    systems = [group.option(SYSTEM) for group in groups]
    tells = None not in systems and len(set(systems)) > 1
    return systems if tells else [None] * len(groups)


def _without_what_follows(
    systems: Sequence[str | None], shown: Sequence[Mapping[str, Setting]]
) -> list[dict[str, Setting]]:
    """The settings that differ between groups of one system, or all where there is none."""
    if None in systems:
        return [dict(settings) for settings in shown]
    members = [
        [settings for system, settings in zip(systems, shown, strict=True) if system == name]
        for name in set(systems)
    ]
    told = {
        key
        for same in members
        for key in {key for settings in same for key in settings}
        if any(settings.get(key) != same[0].get(key) for settings in same)
    }
    return [{key: value for key, value in one.items() if key in told} for one in shown]


def _modality(groups: Sequence[RunGroup], group: RunGroup) -> str:
    """What a group hears and reads, by the name of the option where each group has chosen one."""
    chosen = [other.option(MODALITY) for other in groups]
    is_missing = any(other.first.protocol.missing for other in groups)
    if None in chosen or is_missing:
        return group.modalities
    return f"{MODALITY}={group.option(MODALITY)}"


def _only_left_out(shown: Sequence[Mapping[str, Setting]]) -> bool:
    """Whether the groups' encoders differ, in nothing but whether they are there."""
    there = [{s[name] for s in shown if name in s} - {"none"} for name in ENCODERS]
    return any(there) and all(len(names) <= 1 for names in there)


def _parts(groups: Sequence[RunGroup]) -> dict[str, list[str]]:
    """For each section that is built from a class, its name in each group.

    That is the option which the user chose. Where a run does not tell it, it is what was built,
    by a short name where that tells the groups' parts apart: the last part of a checkpoint.
    """
    sections = {
        key.removesuffix("._target_")
        for group in groups
        for key in group.settings
        if key.count(".") == 1 and key.endswith("._target_")
    }
    parts = {}
    for section in sorted(sections):
        options = [_chosen_option(group, section) for group in groups]
        if None not in options:
            parts[section] = [str(option) for option in options]
            continue
        full = [_part(group.settings, section) for group in groups]
        short = [PurePath(name).name for _, name in full]
        is_clear = len(set(short)) == len(set(full))
        parts[section] = short if is_clear else [":".join(filter(None, part)) for part in full]
    parts[AUGMENTATION] = [_perturbations(group.settings) for group in groups]
    return parts


def _perturbations(settings: Mapping[str, Setting]) -> str:
    """What is done to training sound, in its order; ``none`` for nothing."""
    names = [
        key.split(".")[1]
        for key in settings
        if key.startswith(f"{AUGMENTATION}.") and key.endswith("._target_")
    ]
    return "+".join(names) or "none"


def _chosen_option(group: RunGroup, section: str) -> str | None:
    """The option of conf/ that a part was made from; ``none`` for no part, None if unknown."""
    if group.settings.get(f"{section}._target_") is None:
        return "none"
    return group.option(section)


def _part(settings: Mapping[str, Setting], section: str) -> tuple[str, str]:
    """Class and name of a part."""
    target = settings.get(f"{section}._target_")
    if target is None:
        return "", "none"
    named = settings.get(f"{section}.checkpoint") or settings.get(f"{section}.name")
    kind = str(_class_name("_target_", target))
    return kind, str(named or kind)


def _class_name(key: str, value: Setting) -> Setting:
    """Of a class its last name; of any other setting its value."""
    if key.endswith("_target_") and isinstance(value, str):
        return value.rpartition(".")[2]
    return value


def _text(value: Setting) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def short_names(names: Sequence[str], most: int) -> list[str]:
    """The names with at most so many characters each, different where the names are.

    Values without their keys where that suffices (``text, 64`` for ``modality=text,
    bottleneck_dim=64``), else without the middle, else from where they begin to differ.

    Args:
        names: Names of groups, which may hold ``key=value`` apart by commas.
        most: Characters; at least 8.
    """
    shared = len(commonprefix(list(names))) if len(names) > 1 else 0
    ways: tuple[Callable[[str], str], ...] = (
        lambda name: name,
        lambda name: ", ".join(part.partition("=")[2] or part for part in name.split(", ")),
        lambda name: _without_middle(name, most),
        lambda name: _without_middle("…" + name[max(shared - 3, 0) :], most),
    )
    for way in ways:
        short = [way(name) for name in names]
        fits = all(len(name) <= most for name in short)
        if fits and len(set(short)) == len(set(names)):
            return short
    return [_without_middle(f"{rank} {name}", most) for rank, name in enumerate(names, 1)]


def _without_middle(name: str, most: int) -> str:
    if len(name) <= most:
        return name
    head = (most - 1) // 2
    return f"{name[:head]}…{name[len(name) - (most - 1 - head) :]}"
