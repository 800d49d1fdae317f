"""Text and JSON files of annotations, as the releases of corpora have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from mmemo.errors import InputError

Schema = TypeVar("Schema")

AGAIN = "unpack the corpus again"


def read_lines(path: Path, remedy: str = AGAIN) -> list[str]:
    """The lines of a text file in UTF-8, or else in Windows-1252, without their line ends.

    Args:
        path: The file.
        remedy: What to do where it cannot be read.

    Raises:
        InputError: If it cannot be read, or holds a NUL byte.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: expected a text file of the corpus, could not read it "
            f"({error.strerror or error}); {remedy}"
        ) from error
    if b"\0" in content:
        raise InputError(f"{path}: expected a text file, found a NUL byte; {remedy}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
    # Not splitlines: it takes some characters inside of a line for its end.
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def text_files(folder: Path) -> list[Path]:
    """The ``.txt`` files of a folder, by name; none where there is no folder.

    What macOS leaves beside files (``._name``) is none of them.
    """
    return sorted(path for path in folder.glob("*.txt") if not path.name.startswith("."))


def read_json(path: Path, kind: TypeAdapter[Schema], what: str, remedy: str = AGAIN) -> Schema:
    """A JSON file, checked against what its release documents; unknown keys are not looked at.

    Args:
        path: The file.
        kind: What it should hold.
        what: That in words, for the message.
        remedy: What to do where it is something else.

    Raises:
        InputError: If it is missing, is not JSON, or holds something else.
    """
    return parse_json("\n".join(read_lines(path, remedy)), str(path), kind, what, remedy)


def parse_json(
    text: str, where: str, kind: TypeAdapter[Schema], what: str, remedy: str = AGAIN
) -> Schema:
    """JSON text, checked as ``read_json`` checks a file.

    Raises:
        InputError: If it is not JSON, or holds something else.
    """
    try:
        return kind.validate_python(json.loads(text))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{where}: expected {what}; {place or 'it'}: {first['msg']}; {remedy}"
        ) from error
    # Nested too deeply is a RecursionError.
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: expected {what}; it is no JSON: {error}; {remedy}") from error
