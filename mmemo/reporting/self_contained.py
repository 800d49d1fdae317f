"""Pages that need nothing but themselves: templates with escaped text, pictures inside."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import jinja2


def render_page(template: str, **values: Any) -> str:  # noqa: ANN401
    """Fill a template of this room; text is escaped, a value that is missing is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mmemo.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def as_data_uri(path: Path) -> str:
    """A PNG as the source of an image."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
