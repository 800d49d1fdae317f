"""What an offline run on W&B has written, read without W&B's own reader."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

BLOCK_SIZE, HEADER_SIZE, FILE_HEADER_SIZE = 32768, 7, 7
WHOLE, LAST = 1, 4


def read_records(path: Path) -> Iterator[Any]:
    """Records of a .wandb file: a log as LevelDB writes it, in blocks, after seven bytes."""
    data = path.read_bytes()
    assert data[:4] == b":W&B"
    position, parts = FILE_HEADER_SIZE, b""
    while position + HEADER_SIZE <= len(data):
        left_in_block = BLOCK_SIZE - position % BLOCK_SIZE
        if left_in_block < HEADER_SIZE:
            position += left_in_block
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        position += HEADER_SIZE
        parts += data[position : position + length]
        position += length
        if kind in (WHOLE, LAST):
            record = Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


@dataclass(frozen=True)
class WrittenRun:
    """Contents of an offline run."""

    folder: Path
    run: Any
    config: dict[str, Any]
    history: list[dict[str, Any]]
    summary: dict[str, Any]
    artifacts: list[Any]
    exit_code: int | None

    def table(self, key: str) -> tuple[list[str], list[list[Any]]]:
        """Columns and rows of a logged table."""
        (entry,) = [row[key] for row in self.history if key in row]
        content = json.loads((self.folder / "files" / entry["path"]).read_text())
        return content["columns"], content["data"]


def read_run(folder: Path) -> WrittenRun:
    (path,) = folder.glob("*.wandb")
    run, exit_code = None, None
    config: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    history: list[dict[str, Any]] = []
    artifacts: list[Any] = []
    for record in read_records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run = record.run
            _update(config, run.config.update)
        elif kind == "config":
            _update(config, record.config.update)
        elif kind == "summary":
            _update(summary, record.summary.update)
        elif kind == "history":
            row: dict[str, Any] = {}
            _update(row, record.history.item)
            history.append(row)
        elif kind == "artifact":
            artifacts.append(record.artifact)
        elif kind == "exit":
            exit_code = record.exit.exit_code
    return WrittenRun(folder, run, config, history, summary, artifacts, exit_code)


def _update(target: dict[str, Any], items: Any) -> None:  # noqa: ANN401
    for item in items:
        *parents, last = item.nested_key or [item.key]
        node = target
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = json.loads(item.value_json)
