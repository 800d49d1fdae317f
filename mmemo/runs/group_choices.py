"""What an option of conf/ chooses in other groups: an experiment encoders, a system its parts."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from mmemo.errors import InputError
from mmemo.folders import config_dir

OVERRIDE = "override /"
"""How a defaults list begins that chooses in another group."""

SPEECH_MODEL = "wav2vec2_base"
"""What Zou et al. 2022 join with lower levels of sound."""


def chosen_by(group: str, option: str | None) -> dict[str, str]:
    """By group what an option chooses in it; empty where mmemo has no such option.

    Args:
        group: Of conf/.
        option: Its name; None for none.
    """
    file = config_dir() / group / f"{option}.yaml"
    if not file.is_file():
        return {}
    defaults = (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get("defaults", [])
    entries = [item for entry in defaults if isinstance(entry, dict) for item in entry.items()]
    return {
        str(key).removeprefix(OVERRIDE): str(value)
        for key, value in entries
        if str(key).startswith(OVERRIDE)
    }


def speech_model(experiment: str | None) -> str:
    """Hydra's resolver ``speech_model``: the encoder of sound that an experiment chooses.

    An encoder over another stands so over what it is compared with.

    Args:
        experiment: The chosen option; None for none.

    Returns:
        An option of ``audio_encoder``; that of the published system where the experiment has none.
    """
    chosen = chosen_by("experiment", experiment).get("audio_encoder", "none")
    return SPEECH_MODEL if chosen == "none" else chosen


def check_system(choices: Mapping[str, str | None]) -> None:
    """Check that a chosen system is what its name says.

    An option that is typed wins over that of a system, which would then be another under its name.
    What ``modality`` leaves out of both encoders may be missing.

    Args:
        choices: By group of conf/ the option that was chosen.

    Raises:
        InputError: If a part of the system was replaced.
    """
    system = choices.get("system")
    parts = chosen_by("system", system)
    left_out = chosen_by("modality", choices.get("modality"))
    inner = {
        key: option
        for group, chosen in parts.items()
        for key, option in chosen_by(group, chosen).items()
        if choices.get(key) != left_out.get(key)
    }
    for group, expected in {**inner, **parts}.items():
        if choices.get(group) != expected:
            raise InputError(
                f"system={system}: expected {group}={expected}, of which it is made, got "
                f"{group}={choices.get(group)}; leave one of both out, or choose encoders for all "
                "systems with encoders=NAME or experiment=NAME, behind which a system stands"
            )
