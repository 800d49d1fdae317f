"""Documents: frozen dataclasses that are written to files of JSON and read back, checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from mmemo.errors import InputError
from mmemo.folders import write_whole


class Document(Protocol):
    """A frozen dataclass of numbers, text, None, tuples, mappings and other such dataclasses."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    VERSION: ClassVar[int]
    """The number of its schema. Another one is not read, but those of ``READ_VERSIONS``, where a
    kind has them: earlier ones that lack nothing but what has a default."""


Kind = TypeVar("Kind", bound=Document)
Schema = TypeVar("Schema")

_ADAPTERS: dict[type[object], TypeAdapter[Any]] = {}
"""Made once for each kind, which takes longer than to read."""


def write_document(path: Path, document: Document) -> None:
    """Write a document as JSON; its first key is ``version``.

    Raises:
        InputError: If it cannot be written.
        ValueError: If it holds a number that is not finite, which JSON lacks.
    """
    write_whole(path, document_text(document))


def document_text(document: Document) -> str:
    """A document as JSON, as ``write_document`` writes it."""
    versioned = {"version": document.VERSION, **content_of(document)}
    return json.dumps(versioned, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def content_of(part: object) -> dict[str, Any]:
    """A document, or a dataclass in one, as the plain mapping that JSON holds."""
    content: dict[str, Any] = _adapter(type(part)).dump_python(part, mode="json", by_alias=True)
    return content


class OtherVersionError(InputError):
    """A file is whole, but of a schema that this mmemo does not know."""


def read_document(
    path: Path, kind: type[Kind], what: str, remedy: str, unnumbered: int | None = None
) -> Kind:
    """Read a document back.

    Args:
        path: The file.
        kind: The dataclass; keys that it lacks are not looked at.
        what: What it is, for the message: ``the comparison``.
        remedy: What to do where it is missing, damaged, or of another version.
        unnumbered: The version that a file without one is of; None where each has one.

    Raises:
        OtherVersionError: If it has another schema.
        InputError: If it is missing, is not JSON, or holds something else.
    """
    text, content = _read(path, what, remedy)
    # What is no mapping is refused as that.
    version = content.get("version", unnumbered) if isinstance(content, dict) else kind.VERSION
    if version not in (kind.VERSION, *getattr(kind, "READ_VERSIONS", ())):
        found = "it has no version" if version is None else f"its version is {version!r}"
        problem = damaged(path, what, f"{found}, this mmemo reads {kind.VERSION}", remedy)
        raise OtherVersionError(str(problem)) if isinstance(version, int) else problem
    adapter: TypeAdapter[Kind] = _adapter(kind)
    return _validated(path, text, adapter, what, remedy)


def read_text(path: Path, what: str, remedy: str) -> str:
    """Read a file of text.

    Raises:
        InputError: If it is missing or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise damaged(path, what, "there is no such file", remedy) from error
    except (OSError, ValueError) as error:
        raise damaged(path, what, f"it cannot be read: {reason(error)}", remedy) from error


def damaged(path: Path, what: str, problem: str, remedy: str) -> InputError:
    """The one kind of message about a file that mmemo has written."""
    return InputError(f"{path}: expected {what}; {problem}; {remedy}")


def reason(error: BaseException) -> str:
    """The first line of an error, with its kind."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _adapter(kind: type[object]) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def _read(path: Path, what: str, remedy: str) -> tuple[str, object]:
    text = read_text(path, what, remedy)
    try:
        return text, json.loads(text, parse_constant=_refuse)
    # Nested too deeply is a RecursionError.
    except (ValueError, RecursionError) as error:
        raise damaged(path, what, f"it cannot be read: {reason(error)}", remedy) from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number of JSON")


def _validated(
    path: Path, text: str, adapter: TypeAdapter[Schema], what: str, remedy: str
) -> Schema:
    try:
        return adapter.validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise damaged(path, what, f"{place or 'it'}: {first['msg']}", remedy) from error
