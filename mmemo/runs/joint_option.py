"""``corpus=[demo,table]``: what Hydra would merge into one corpus, as an option of its own."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, QuotedString
from hydra.errors import HydraException

from mmemo.errors import InputError

GROUP = "corpus"
JOINT = "joint"
PARTS = "parts"
RESERVED = ("parts", "rule")
"""Settings of several corpora together."""

CHOICE = re.compile(rf"\+{{0,2}}{GROUP}=")
SETTING = re.compile(
    rf"(?P<sign>\+{{0,2}}|~){GROUP}\.(?P<parts>{PARTS}\.)?(?P<name>\w+)\.(?P<rest>.+)", re.S
)
EXAMPLE = "write corpus=[demo,table], or corpus=[own:table,theirs:table]"


@dataclass(frozen=True)
class JointOption:
    """Several corpora, as one option of the group ``corpus``.

    Args:
        options: By name of a corpus the option that it is made from.
    """

    options: dict[str, str]

    @property
    def name(self) -> str:
        """``demo+table``, ``own:table+theirs:table``."""
        parts = self.options.items()
        return "+".join(name if name == option else f"{name}:{option}" for name, option in parts)

    def store(self) -> None:
        """Let Hydra know it, in this process and in those that it hands its state to.

        Each corpus is composed from its own file into a section of its own.
        """
        parts = [{f"/{GROUP}@{PARTS}.{name}": option} for name, option in self.options.items()]
        node = {"defaults": [JOINT, *parts, "_self_"]}
        ConfigStore.instance().store(self.name, node, group=GROUP)


def with_joint_corpora(overrides: Sequence[str]) -> list[str]:
    """Overrides that Hydra reads as they are meant where they choose several corpora.

    ``corpus=[demo,table]`` chooses an option that is stored here. Of two corpora or more
    ``corpus.demo.seed=1`` is the setting ``seed`` of ``demo``, which is ``corpus.parts.demo.seed``.

    Args:
        overrides: As typed.

    Raises:
        InputError: If two corpora have one name, or a list or a setting names what is no corpus.
    """
    chosen, found = _stored(overrides)
    names = {name for one in chosen if isinstance(one, JointOption) for name in one.options}
    if not names:
        return found
    alone = {one for one in chosen if isinstance(one, str)}
    return [_of_part(override, names | alone) for override in found]


def of_swept_corpora(overrides: Sequence[str]) -> list[str]:
    """Where the corpus is swept, let its settings wait for the cells that have them.

    Hydra would look for them in the corpus that it composes before there are cells.

    Args:
        overrides: Of a sweep, readable by Hydra.
    """
    chosen = [c for o in overrides if CHOICE.match(o) for c in _choices(o) or ()]
    if len(chosen) < 2:
        return list(overrides)
    return [_waiting(o) if o.lstrip("+").startswith(f"{GROUP}.") else o for o in overrides]


def of_cell(overrides: Sequence[str]) -> list[str]:
    """The overrides of a sweep's cell: settings of a corpus as they are called there.

    Those of one that the cell has beside others are ``corpus.parts.NAME.KEY``, of one that it has
    alone ``corpus.KEY``; those of a corpus that it does not have are left out.
    """
    chosen, found = _stored(overrides)
    if not chosen:
        return found
    last = chosen[-1]
    names = last.options if isinstance(last, JointOption) else ()
    of_cell = []
    for override in found:
        setting = SETTING.fullmatch(override)
        if setting is None or not (setting["parts"] or setting["name"] in (*names, last)):
            of_cell.append(override)
        elif setting["name"] in names:
            of_cell.append(_of_part(override, names))
        elif setting["name"] == last:
            of_cell.append(f"{setting['sign']}{GROUP}.{setting['rest']}")
    return of_cell


def _stored(overrides: Sequence[str]) -> tuple[list[JointOption | str], list[str]]:
    """What is chosen of the group, and the overrides with stored options in place of lists."""
    chosen: list[JointOption | str] = []
    found: list[str] = []
    for override in overrides:
        values = (_choices(override) if CHOICE.match(override) else None) or []
        chosen += values
        joint = [value for value in values if isinstance(value, JointOption)]
        for option in joint:
            option.store()
        texts = [value if isinstance(value, str) else value.name for value in values]
        key = override.partition("=")[0]
        found.append(f"{key}={','.join(texts)}" if joint else override)
    return chosen, found


def _choices(override: str) -> list[JointOption | str] | None:
    """What a choice of the corpus chooses, one or several of a sweep; None where Hydra decides."""
    try:
        value = OverridesParser.create().parse_override(override).value()
    except HydraException:
        return None
    items = value.list if isinstance(value, ChoiceSweep) else [value]
    if not all(isinstance(item, str | QuotedString | list) for item in items):
        return None
    # Where a sweep's cell names several, they are an option already: demo+table.
    return [_option(item if isinstance(item, list) else _text(item).split("+")) for item in items]


def _text(item: object) -> str:
    return item.text if isinstance(item, QuotedString) else str(item)


def _option(items: Sequence[object]) -> JointOption | str:
    texts = [_text(item) for item in items]
    if len(texts) == 1 and ":" not in texts[0]:
        return texts[0]
    options: dict[str, str] = {}
    for text in texts:
        name, _, option = text.rpartition(":")
        name = name or option
        if not re.fullmatch(r"[A-Za-z_]\w*", name) or name in RESERVED or not option:
            raise InputError(f"corpus: expected names of corpora, got '{text}'; {EXAMPLE}")
        if name in options:
            raise InputError(
                f"corpus: expected corpora of different names, got {name} twice; {EXAMPLE}"
            )
        options[name] = option
    if len(options) < 2:
        raise InputError(
            f"corpus: expected two corpora or more in a list, got {', '.join(texts) or 'none'}; "
            f"{EXAMPLE}"
        )
    return JointOption(options)


def _of_part(override: str, names: Collection[str]) -> str:
    """A setting of one of several corpora where the config has it.

    Raises:
        InputError: If it is of another corpus.
    """
    found = SETTING.fullmatch(override)
    if found is None or not (found["parts"] or found["name"] in names):
        return override
    if found["name"] not in names:
        raise InputError(
            f"{override.partition('=')[0]}: expected the name of a corpus, one of "
            f"{', '.join(sorted(names))}, got {found['name']}"
        )
    return f"{found['sign']}{GROUP}.{PARTS}.{found['name']}.{found['rest']}"


def _waiting(override: str) -> str:
    """A setting as an axis of one value: of cells alone, and left out of those that lack it."""
    key, _, value = override.partition("=")
    try:
        is_axis = OverridesParser.create().parse_override(override).is_sweep_override()
    except HydraException:
        return override
    return override if is_axis else f"{key}=choice({value})"
