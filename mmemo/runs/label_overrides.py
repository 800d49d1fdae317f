"""Classes of one's own on the command line: labels=[anger,joy], labels=FILE.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from mmemo.errors import InputError
from mmemo.runs.overrides import quoted

GROUP = "labels"
SETTINGS = ("name", "column", "classes", "colours")
NO_TEXT = ("null", "none", "true", "false", "yes", "no", "on", "off", "nan", "inf")
FORM = "a list of classes, a mapping of classes to colours, or classes, colours, column and name"


def with_own_labels(overrides: Sequence[str]) -> list[str]:
    """Put what a list or a file of classes says into overrides that a run's config keeps.

    Args:
        overrides: As Hydra reads them.

    Raises:
        InputError: If a file is missing or holds something else.
    """
    return [statement for override in overrides for statement in _statements(override)]


def _statements(override: str) -> list[str]:
    key, _, value = override.partition("=")
    if key != GROUP:
        return [override]
    if value.startswith("[") and value.endswith("]"):
        classes = OverridesParser.create().parse_override(override).value()
        names = [str(name) for name in classes] if isinstance(classes, list) else []
        return _chosen({"name": _name(names), "classes": names})
    text = value.strip("'\"")
    if Path(text).suffix not in (".yaml", ".yml"):
        return [override]
    return _chosen(_read(Path(text).expanduser()))


def _read(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(
            f"labels={path}: expected a file with {FORM}, could not read it ({error})"
        ) from error
    if isinstance(found, Mapping) and not ("classes" in found or "colours" in found):
        found = {"classes": list(found), "colours": {k: v for k, v in found.items() if v}}
    if isinstance(found, list):
        found = {"classes": found}
    is_set = isinstance(found, Mapping)
    is_set = is_set and isinstance(found.get("classes") or [], list)
    is_set = is_set and isinstance(found.get("colours") or {}, Mapping)
    if not is_set or set(found) - {*SETTINGS, "_target_"}:
        raise InputError(f"labels={path}: expected {FORM}, got {str(found)[:200]}")
    settings = {"name": path.stem, **{k: v for k, v in found.items() if k in SETTINGS}}
    settings["classes"] = settings.get("classes") or list(settings.get("colours") or ())
    return settings


def _chosen(settings: Mapping[str, Any]) -> list[str]:
    classes = ",".join(_value(str(name)) for name in settings["classes"])
    found = [f"{GROUP}=custom", f"{GROUP}.classes=[{classes}]"]
    found += [
        f"{GROUP}.{k}={_value(str(settings[k]))}" for k in ("name", "column") if k in settings
    ]
    if settings.get("colours"):
        colours = (f"{_key(str(k))}: {quoted(str(v))}" for k, v in settings["colours"].items())
        found.append(f"{GROUP}.colours={{{', '.join(colours)}}}")
    return found


def _name(classes: Sequence[str]) -> str:
    """What a list of classes is called in reports and in names of files."""
    name = "-".join(classes)
    return name if re.fullmatch(r"[\w-]{1,40}", name) else "custom"


def _value(text: str) -> str:
    """Quoted where Hydra would read something else than the text."""
    is_plain = re.fullmatch(r"[^\W\d]\w*(-\w+)*", text) and text.lower() not in NO_TEXT
    return text if is_plain else quoted(text)


def _key(text: str) -> str:
    return re.sub(r"([^\w -])", r"\\\1", text)
