"""Pages of the site that are made of the code: schemas of the documents, and the API reference.

MkDocs calls the functions ``on_…``; nothing is written but the site.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

from griffe import Docstring, DocstringSectionKind
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import TypeAdapter

PACKAGE = Path(__file__).resolve().parents[1] / "mmemo"

SCHEMAS = "schemas.md"
REFERENCE = "reference"

NAMED = re.compile(r"Contents of ``([\w.]+\.json)``")
"""How the docstring of a document begins, to say which file holds it."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the rooms of the reference behind the pages that are written by hand."""
    pages = [{name: f"{REFERENCE}/{name}.md"} for name in rooms()]
    config.nav = [*(config.nav or []), {"API reference": pages}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    files.append(File.generated(config, SCHEMAS, content=schemas_page()))
    for name, modules in rooms().items():
        page = reference_page(name, modules)
        files.append(File.generated(config, f"{REFERENCE}/{name}.md", content=page))
    return files


def rooms() -> dict[str, list[Path]]:
    """The modules of each room, and first those beside the rooms, by name."""
    found = {"mmemo": sorted(PACKAGE.glob("*.py"))}
    for folder in sorted(PACKAGE.iterdir()):
        if (folder / "__init__.py").is_file():
            found[folder.name] = sorted(folder.rglob("*.py"))
    return found


def reference_page(name: str, modules: list[Path]) -> str:
    """A room's page: what each of its files is about, then the docstrings of each."""
    written = [path for path in modules if path.name not in ("__init__.py", "__main__.py")]
    lines = [f"# {name}", "", room_summary(name), "", "| file | |", "|---|---|"]
    for path in written:
        anchor = module_name(path)
        summary = docstring_of(path).partition("\n")[0].replace("|", "\\|")
        lines.append(f"| [`{path.relative_to(PACKAGE).as_posix()}`](#{anchor}) | {summary} |")
    for path in written:
        lines += ["", f"::: {module_name(path)}"]
    return "\n".join(lines) + "\n"


def room_summary(name: str) -> str:
    """What a room's own docstring says."""
    path = PACKAGE / "__init__.py" if name == "mmemo" else PACKAGE / name / "__init__.py"
    return docstring_of(path)


def docstring_of(path: Path) -> str:
    """A module's docstring; nothing is imported for it."""
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def module_name(path: Path) -> str:
    """``mmemo.data.batch`` for its file."""
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


def documents() -> dict[str, type[Any]]:
    """By file of JSON the class whose objects it holds, as the class' docstring says."""
    found = {}
    for modules in rooms().values():
        for path in modules:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for node in tree.body:
                if not isinstance(node, ast.ClassDef):
                    continue
                named = NAMED.match(ast.get_docstring(node) or "")
                if named is not None:
                    module = importlib.import_module(module_name(path))
                    found[named[1]] = getattr(module, node.name)
    return dict(sorted(found.items()))


def schemas_page() -> str:
    """The page of schemas: for each file its fields, and those of what is in it."""
    lines = [
        "# Schemas",
        "",
        "What mmemo writes as JSON, field by field; made of the classes that write and read it. "
        "A file that lacks a field, holds another kind of value, or is of another version, is "
        "refused with a message that names the place.",
    ]
    for file, kind in documents().items():
        lines += ["", f"## {file}", "", *_document_lines(kind)]
    return "\n".join(lines) + "\n"


def _document_lines(kind: type[Any]) -> list[str]:
    schema = TypeAdapter(kind).json_schema()
    parts = schema.pop("$defs", {})
    version = getattr(kind, "VERSION", None)
    lines = [f"`{kind.__module__}.{kind.__qualname__}`. {_summary(kind)}"]
    if version is not None:
        lines += ["", f"Version {version}."]
    lines += ["", *_table(schema, kind)]
    for name, part in sorted(parts.items()):
        told = part.get("description", "").partition("\n")[0]
        lines += ["", f"### {name} {{#{kind.__name__}-{name}}}", "", told, "", *_table(part, None)]
    return [line.replace("#PART-", f"#{kind.__name__}-") for line in lines]


def _table(schema: dict[str, Any], kind: type[Any] | None) -> list[str]:
    described = _described(kind, schema)
    needed = schema.get("required", [])
    if not schema.get("properties"):
        return [f"A value: {_type(schema)}."]
    lines = ["| field | value | meaning |", "|---|---|---|"]
    for name, field in schema["properties"].items():
        told = described.get(name, field.get("description", ""))
        told += "" if name in needed else " May be missing." if told else "may be missing"
        lines.append(f"| `{name}` | {_type(field)} | {' '.join(told.split())} |")
    return lines


def _type(schema: dict[str, Any]) -> str:
    """A JSON type in words, with a link where it is one of the parts below."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#PART-{name})"
    if "anyOf" in schema:
        return " or ".join(_type(option) for option in schema["anyOf"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    kind = schema.get("type", "anything")
    if kind == "array":
        if "prefixItems" in schema:
            return f"list of {', '.join(map(_type, schema['prefixItems']))}"
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"mapping to {_type(values)}" if isinstance(values, dict) else "mapping"
    names = {"string": "text", "number": "number", "integer": "whole number"}
    return names.get(kind, "true or false" if kind == "boolean" else kind)


def _summary(kind: type[Any]) -> str:
    told = _sections(inspect.getdoc(kind), DocstringSectionKind.text)
    return str(told[0]) if told else ""


def _described(kind: type[Any] | None, schema: dict[str, Any]) -> dict[str, str]:
    """What the Args of a class' docstring say of each field."""
    text = inspect.getdoc(kind) if kind is not None else schema.get("description")
    sections = _sections(text, DocstringSectionKind.parameters)
    return {parameter.name: parameter.description for found in sections for parameter in found}


def _sections(docstring: str | None, kind: DocstringSectionKind) -> list[Any]:
    """The contents of a docstring's sections of a kind."""
    # Types stand in the class, where the docstring's parser does not look.
    parsed = Docstring(inspect.cleandoc(docstring or "")).parse("google", warnings=False)
    return [section.value for section in parsed if section.kind is kind]
