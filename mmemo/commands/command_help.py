"""``mmemo <command> --help``, and what was meant by a misspelt option."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf

from mmemo.commands.setting_meanings import SEVERAL, Meaning, meanings
from mmemo.errors import InputError
from mmemo.runs.joint_option import with_joint_corpora

EXAMPLES = {
    "train": (
        "mmemo train experiment=demo",
        "mmemo train experiment=paper corpus.root=/data/MELD.Raw seed=42",
        "mmemo train -m experiment=demo fusion.bottleneck_dim=32,64 seed=1,2,3",
        "mmemo train experiment=demo +sweep=[unimodal,seeds] --dry-run",
        "mmemo train resume=outputs/demo/RUN",
        "mmemo train experiment=demo --cfg job        (show the settings and stop)",
    ),
    "prepare": (
        "mmemo prepare corpus=meld corpus.root=/data/MELD.Raw",
        "mmemo prepare corpus=table corpus.csv=own.csv denoiser=off",
        "mmemo prepare corpus=demo",
    ),
    "audit": (
        "mmemo audit corpus=meld corpus.annotations=/data/MELD.Raw",
        "mmemo audit corpus=table corpus.csv=own.csv",
        "mmemo audit prepared=~/.cache/mmemo/prepared/meld-…",
    ),
    "evaluate": (
        "mmemo evaluate run=outputs/demo/RUN",
        "mmemo evaluate run=outputs/demo/RUN missing=audio",
        "mmemo evaluate run=outputs/demo/RUN corpus=table corpus.csv=own.csv",
    ),
    "predict": (
        'mmemo predict run=outputs/demo/RUN input=clip.wav text="I am fine."',
        "mmemo predict run=outputs/demo/RUN input=clips.csv output=answers.csv",
        "mmemo predict run=[outputs/demo/A,outputs/demo/B] input=folder output=answers.parquet",
        "mmemo predict run=outputs/demo/RUN input=talk.mp3 window_s=8 hop_s=4 timeline=talk",
    ),
    "serve": (
        "mmemo serve run=outputs/demo/RUN",
        "mmemo serve run=outputs/demo/RUN asr=whisper port=8000",
    ),
    "export": (
        "mmemo export run=outputs/demo/RUN format=onnx",
        "mmemo export run=outputs/demo/RUN format=huggingface format.licence=cc-by-4.0",
    ),
    "explain": (
        "mmemo explain run=outputs/demo/RUN",
        "mmemo explain run=outputs/demo/RUN num_random=30 faithfulness=true",
        "mmemo explain run=outputs/demo/RUN keys=[test/dia3_utt0] target=sadness",
    ),
    "stress": (
        "mmemo stress run=outputs/demo/RUN",
        "mmemo stress run=outputs/demo/RUN conditions=[noise,words] num_utterances=50",
        "mmemo stress run=outputs/demo/RUN conditions=[words] asr=whisper",
    ),
    "compare": (
        "mmemo compare outputs/demo",
        "mmemo compare outputs/paper outputs/other metric=macro_f1",
        "mmemo compare outputs/before outputs/after label=[before,after]",
    ),
}
TAKE_A_RUN = ("evaluate", "predict", "serve", "explain", "stress", "export")
"""Commands that are pointed at a run folder."""

RUN_OPTIONS = {"train": "resume", **dict.fromkeys(TAKE_A_RUN, "run")}
"""By command the setting that takes a run folder."""

ADDED_GROUPS = {"train": ("sweep",)}
"""Groups of files that a command takes with a plus in front."""

MANY_OF = {"explain": ("methods",), "serve": ("methods",)}
"""By command the groups of which several options are chosen, as GROUP=[a,b]."""

SHOWN_PLUGINS = ("hydra/launcher", "hydra/sweeper")
BUILT = ("_target_", "_partial_", "_convert_")
WIDTH = 100
COMMENT_COLUMN = 40
MAX_MEANT = 8


def command_help(command: str, summary: str, arguments: Sequence[str], folder: Path) -> str:
    """What a command does and reads: options, and settings with their meanings.

    Args:
        command: Its name.
        summary: What it does, in a line.
        arguments: What was typed with it: the settings are shown as they would be.
        folder: ``conf/``.

    Raises:
        InputError: If what was typed does not compose.
    """
    overrides = _single_values(with_joint_corpora(arguments))
    try:
        cfg, available = _composed(command, overrides, folder)
    except HydraException as error:
        raise InputError(str(error)) from error
    choices = {name: str(choice) for name, choice in cfg.hydra.runtime.choices.items()}
    # Hydra does not tell them; each option is a section of its own name.
    for group in MANY_OF.get(command, ()):
        chosen = [name for name in available[group] if cfg.get(name) is not None]
        choices[group] = SEVERAL.join(chosen)
    descriptions = meanings(folder, command, choices)
    folders = " FOLDER ..." if command == "compare" else ""
    lines = [f"mmemo {command}: {summary}", ""]
    lines += [f"usage: mmemo {command}{folders} [option=name] [key=value] ...", "", "examples:"]
    lines += [f"  {example}" for example in EXAMPLES[command]]
    if available:
        lines += ["", "options (option=name), each a file in conf/:"]
        lines += [_option_line(g, names, choices.get(g), command) for g, names in available.items()]
    lines += [
        "",
        "settings (key=value) as composed now; what stands indented is outer.inner=value:",
    ]
    # Of a group from which nothing is chosen there is nothing to set.
    unset = {key for key in cfg if key in available and cfg[key] is None}
    shown = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key not in (*unset, "hydra")])
    lines += [f"  {line}" for line in _setting_lines(shown, descriptions)]
    return "\n".join(lines)


def did_you_mean(command: str, arguments: Sequence[str], folder: Path) -> list[str]:
    """For each argument that names nothing, the nearest that names something.

    Args:
        command: Of mmemo.
        arguments: What was typed behind it.
        folder: ``conf/``.
    """
    try:
        arguments = with_joint_corpora(arguments)
    except InputError:
        return []
    typed = [argument for argument in arguments if not argument.startswith("-")]
    parsed = [(a, *_key_and_value(a)) for a in typed]
    cfg, available = _composed(command, [], folder)
    chosen = [f"{k}={v}" for _, k, v in parsed if set(_listed(v)) <= {*available.get(k, ())}]
    with suppress(HydraException):
        cfg, available = _composed(command, chosen, folder)
    keys = list(_keys(cfg))
    hints = []
    for argument, key, value in parsed:
        meant = None
        if "=" not in argument:
            is_run = (Path(argument) / "run.json").is_file()
            option = RUN_OPTIONS.get(command)
            meant = f"{option}={argument}" if option and is_run else None
        elif key in MANY_OF.get(command, ()):
            is_there = set(_listed(value)) <= {*available[key]}
            meant = None if is_there else f"{key}=[…] of {SEVERAL.join(available[key])}"
        elif key in available and value is not None and not re.search(r"[,\[(]", value):
            near = get_close_matches(value, available[key], 1)
            is_there = value in available[key] or value == "null"
            meant = f"{key}={near[0]}" if near and not is_there else None
        elif not argument.startswith("+") and key not in (*keys, *available):
            near = _meant(key, [*keys, *available])
            meant = " or ".join(f"{name}={value}" for name in near)
        if meant:
            hints.append(f"{argument}: did you mean {meant}?")
    return hints


def _meant(key: str, keys: Sequence[str]) -> list[str]:
    """The keys that may have been meant: spelt nearly so, elsewhere, or all of that section."""
    parent, _, last = key.rpartition(".")
    beside = [known for known in keys if parent and known.rpartition(".")[0] == parent]
    lasts_beside = [known.rpartition(".")[2] for known in beside]
    elsewhere = [known for known in keys if known.rpartition(".")[2] == last]
    by_last = {known.rpartition(".")[2]: known for known in reversed(keys)}
    return (
        [f"{parent}.{near}" for near in get_close_matches(last, lasts_beside, 1)]
        or elsewhere[:MAX_MEANT]
        or [known for known in beside if known.rpartition(".")[2] not in BUILT][:MAX_MEANT]
        or get_close_matches(key, keys, 1, cutoff=0.75)
        or [by_last[near] for near in get_close_matches(last, by_last, 1, cutoff=0.75)]
    )


def _key_and_value(argument: str) -> tuple[str, str]:
    key, _, value = argument.lstrip("+~").partition("=")
    return key.partition("@")[0], value


def _listed(value: str) -> list[str]:
    """The options that are named by a value: one, or several as [a,b]."""
    # Without brackets they would be cells of a sweep.
    if not value.startswith("["):
        return [value]
    return [name.strip() for name in value.removeprefix("[").removesuffix("]").split(",")]


def _keys(cfg: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in map(str, cfg):
        yield f"{prefix}{key}"
        node = cfg._get_node(key)
        if isinstance(node, DictConfig) and _is_section(node):
            yield from _keys(node, f"{prefix}{key}.")


def _single_values(arguments: Sequence[str]) -> list[str]:
    """The overrides of one run among what was typed: axes of a sweep have no one value."""
    parser = OverridesParser.create()
    kept = []
    for argument in arguments:
        if argument.startswith("-") or "=" not in argument:
            continue
        try:
            is_axis = parser.parse_override(argument).is_sweep_override()
        except HydraException:
            continue
        if not is_axis:
            kept.append(argument)
    return kept


def _composed(
    command: str, overrides: Sequence[str], folder: Path
) -> tuple[DictConfig, dict[str, list[str]]]:
    """A command's config, and the names of the options of each group that it reads."""
    with initialize_config_dir(str(folder.absolute()), version_base="1.3"):
        cfg = compose(command, list(overrides), return_hydra_config=True)
        loader = GlobalHydra.instance().config_loader()
        # Behind @ stands where a group is put once more: one of several corpora.
        chosen = [str(g) for g in cfg.hydra.runtime.choices if "@" not in str(g)]
        chosen += _groups_of_several(folder / f"{command}.yaml")
        groups = sorted(g for g in chosen if not g.startswith("hydra/"))
        groups += (*MANY_OF.get(command, ()), *ADDED_GROUPS.get(command, ()))
        groups += SHOWN_PLUGINS if command == "train" else ()
        return cfg, {group: sorted(loader.get_group_options(group)) for group in groups}


def _groups_of_several(path: Path) -> list[str]:
    """Groups of which a config chooses several options: Hydra tells no choice of these."""
    entries = cast(DictConfig, OmegaConf.load(path)).get("defaults", [])
    pairs = [pair for one in entries if isinstance(one, DictConfig) for pair in one.items()]
    return [str(group) for group, options in pairs if isinstance(options, ListConfig)]


def _option_line(group: str, names: Sequence[str], chosen: str | None, command: str) -> str:
    plus = "+" if group in ADDED_GROUPS.get(command, ()) else ""
    now = f" (now {chosen})" if chosen and chosen != "None" else ""
    line = f"{plus}{group}: {', '.join(names)}{now}"
    return textwrap.fill(
        line, WIDTH, initial_indent="  ", subsequent_indent="      ", break_on_hyphens=False
    )


def _setting_lines(
    cfg: DictConfig, descriptions: Mapping[str, Meaning], prefix: str = ""
) -> list[str]:
    """A setting a line, its meaning above or beside it."""
    lines: list[str] = []
    sections: list[str] = []
    for name in map(str, cfg):
        node = cfg._get_node(name)
        meaning = descriptions.get(f"{prefix}{name}", Meaning())
        if isinstance(node, DictConfig) and _is_section(node):
            inner = _setting_lines(node, descriptions, f"{prefix}{name}.")
            if inner or meaning != Meaning():
                sections += [*_explained(f"{name}:", meaning), *(f"  {line}" for line in inner)]
            continue
        value = OmegaConf.to_container(cfg)[name]  # type: ignore[index, call-overload]
        # A reference of which nothing is said is set where it points to.
        is_set_elsewhere = isinstance(value, str) and value.startswith("${")
        if name not in BUILT and not (is_set_elsewhere and meaning == Meaning()):
            lines += _explained(f"{name}: {_text(value)}", meaning)
    return [*lines, *sections]


def _is_section(node: DictConfig) -> bool:
    return not (node._is_none() or node._is_interpolation() or node._is_missing())


def _explained(setting: str, meaning: Meaning) -> list[str]:
    """A setting with its meaning, which stands above where the line would be too long."""
    line = f"{setting:<{COMMENT_COLUMN}}  # {meaning.beside}" if meaning.beside else setting
    above = list(meaning.above)
    if len(line) > WIDTH:
        line, above = setting, [*above, meaning.beside]
    return [*(f"# {text}" for text in above), line]


def _text(value: Any) -> str:  # noqa: ANN401
    """A value as YAML writes it on one line."""
    if isinstance(value, str):
        return value
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6)
    return text.strip().removesuffix("...").strip()
