"""Damage and malice for run folders, by a seeded generator."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

FILES = (
    *("run.json", "data.json", "metrics.json", "composed.yaml", "config.yaml", "history.csv"),
    *("predictions.parquet", "text_encoder/tokenizer.json", "checkpoints/last.ckpt"),
)

WRONG_VALUES: tuple[Any, ...] = (None, [], {}, "x", -1, 1.5, float("nan"), True, [[1]], 1e300)


def touching(marker: Path) -> list[dict[str, Any]]:
    """Objects that make a file where they are built: what evaluates text, calls or unpickles."""
    command = f"open({str(marker)!r}, 'w').close()"
    return [
        {"_target_": "builtins.exec", "_args_": [command]},
        {"_target_": "builtins.eval", "_args_": [f"open({str(marker)!r}, 'w').close()"]},
        {"_target_": "pathlib.Path.touch", "self": _path(marker)},
        {"_target_": "sympy.sympify", "a": f"__import__('os').system('touch {marker}')"},
        {"_target_": "os.system", "command": f"touch {marker}"},
        {"_target_": "subprocess.run", "args": ["touch", str(marker)]},
        {"_target_": "pandas.read_pickle", "filepath_or_buffer": str(marker.with_suffix(".pkl"))},
        {"_target_": "torch.load", "f": str(marker.with_suffix(".pkl")), "weights_only": False},
        {"_target_": "numpy.load", "file": str(marker.with_suffix(".pkl")), "allow_pickle": True},
        {"_target_": "hydra.utils.call", "config": {"_target_": "builtins.exec"}},
        {"_target_": "mmemo.folders.write_whole", "path": str(marker), "content": ""},
        {"_target_": ["builtins.exec"], "_args_": [command]},
        {"_target_": "mmemo.corpora.utterance.LabelSet", "_partial_": True},
    ]


def _path(path: Path) -> dict[str, Any]:
    return {"_target_": "pathlib.Path", "_args_": [str(path)]}


class Pickled:
    """What makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def leaves(node: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:  # noqa: ANN401
    """Places of all values, and of what holds them, below the root."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    found = []
    for key, value in items:
        found.append((*place, key))
        if isinstance(value, dict | list):
            found += leaves(value, (*place, key))
    return found


def put(node: Any, place: tuple[Any, ...], value: Any) -> None:  # noqa: ANN401
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value


def read(path: Path) -> Any:  # noqa: ANN401
    text = path.read_text()
    return yaml.safe_load(text) if path.suffix == ".yaml" else json.loads(text)


def write(path: Path, document: Any) -> None:  # noqa: ANN401
    path.write_text(yaml.safe_dump(document) if path.suffix == ".yaml" else json.dumps(document))


Mutation = Callable[[Path, random.Random], str]


def delete(run: Path, draw: random.Random) -> str:
    name = draw.choice(FILES)
    (run / name).unlink()
    return f"delete {name}"


def empty(run: Path, draw: random.Random) -> str:
    name = draw.choice(FILES)
    contents = (b"", b"{}", b"[]", b"null", b"\x00\xff\xfe", b"[" * 9999)
    (run / name).write_bytes(draw.choice(contents))
    return f"empty {name}"


def truncate(run: Path, draw: random.Random) -> str:
    name = draw.choice(FILES)
    data = (run / name).read_bytes()
    (run / name).write_bytes(data[: draw.randrange(len(data))])
    return f"truncate {name}"


def flip(run: Path, draw: random.Random) -> str:
    name = draw.choice(FILES)
    data = bytearray((run / name).read_bytes())
    place, bit = draw.randrange(len(data)), draw.randrange(8)
    data[place] ^= 1 << bit
    (run / name).write_bytes(data)
    return f"flip bit {bit} of byte {place} of {name}"


def wrong_type(run: Path, draw: random.Random) -> str:
    name = draw.choice(("run.json", "data.json", "metrics.json", "composed.yaml"))
    document = read(run / name)
    place, value = draw.choice(leaves(document)), draw.choice(WRONG_VALUES)
    put(document, place, value)
    write(run / name, document)
    return f"{name}: {place} = {value!r}"


def without_digests(run: Path) -> None:
    """As whoever means harm leaves a folder: nothing tells that it was changed."""
    info = read(run / "run.json")
    info.pop("digests", None)
    write(run / "run.json", info)


def unnoticed(mutation: Mutation) -> Mutation:
    def mutate(run: Path, draw: random.Random) -> str:
        without_digests(run)
        return f"without digests, {mutation(run, draw)}"

    return mutate


def hostile_target(run: Path, draw: random.Random) -> str:
    without_digests(run)
    document = read(run / "composed.yaml")
    place = draw.choice(leaves(document))
    value = draw.choice(touching(run.parent / "marker"))
    put(document, place, value)
    write(run / "composed.yaml", document)
    return f"{place} = {value}"


def orders_to_hydra(run: Path, draw: random.Random) -> str:
    without_digests(run)
    document = read(run / "composed.yaml")
    target = draw.choice(touching(run.parent / "marker"))
    orders = draw.choice(
        [
            {"defaults": ["_self_", {"override hydra/launcher": "joblib"}]},
            {"hydra": {"callbacks": {"own": target}}},
            {"hydra": {"launcher": target, "mode": "MULTIRUN"}},
            {"hydra": {"searchpath": [f"file://{run}"]}},
            {"hydra/callbacks": target},
        ]
    )
    write(run / "composed.yaml", {**document, **orders})
    return str(orders)


MUTATIONS: tuple[Mutation, ...] = (
    *(delete, empty, truncate, flip, wrong_type, hostile_target, orders_to_hydra),
    *map(unnoticed, (empty, truncate, flip, wrong_type)),
)
